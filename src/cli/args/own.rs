//! Arguments of the verbs about Crewcall itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataFormat;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Print the custom resource definition for Kubernetes instead, as YAML for `kubectl apply -f -`.
    #[arg(long)]
    pub crd: bool,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// The verb it is about [default: crewcall itself].
    pub verb: Option<String>,
}

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub struct ControllerArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: ControllerVerb,
}

/// What to do with the controller.
#[derive(Debug, Subcommand)]
pub enum ControllerVerb {
    /// Say whether it runs, since when, and where its files are.
    Status(ControllerStatusArguments),
    /// Start it if none runs, and say the same as `status`.
    Start(ControllerStatusArguments),
    /// End it. Clusters live on; the next command starts another.
    Stop,
    /// Print its log.
    Logs(ControllerLogsArguments),
}

/// Arguments of `controller status`.
#[derive(Debug, Args)]
pub struct ControllerStatusArguments {
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}

/// Arguments of `controller logs`.
#[derive(Debug, Args)]
pub struct ControllerLogsArguments {
    /// Go on with what is logged from now on, also by the controllers that follow.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines.
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
}

/// Arguments of `__gateway`.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Args)]
pub struct GatewayArguments {
    /// The process with which it ends.
    #[arg(long, value_name = "PID")]
    pub owner: u32,
}

/// Arguments of `__generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// The directory that holds `docs`, `completions` and `man`.
    pub directory: PathBuf,
}
