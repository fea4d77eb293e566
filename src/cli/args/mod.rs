//! The command line as types; their comments are the manual.

mod changing;
mod formats;
mod own;
mod reading;
mod verbs;

pub use changing::{CallerArguments, CreateArguments, DeleteArguments, GcArguments, ScaleArguments};
pub use formats::{DataFormat, EventFormat, OutputFormat, ReportFormat, ShellFormat};
#[cfg(feature = "kubernetes")]
pub use own::GatewayArguments;
pub use own::{
    CompletionsArguments, ControllerArguments, ControllerLogsArguments, ControllerStatusArguments,
    ControllerVerb, GenerateArguments, ManArguments, SchemaArguments,
};
pub use reading::{
    DashboardArguments, DoctorArguments, EnvArguments, EventsArguments, ExaminedProvider, GetArguments,
    ListArguments, LogsArguments, NameArguments, RunArguments,
};
pub use verbs::{Arguments, ColorWhen, GlobalArguments, Verb};
