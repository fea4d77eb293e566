//! The command line: a client of the controller that says what goes on.
//!
//! ```text
//! args ─► run ─► commands::* ─► session (the controller) ─► follow (waits, with a bound)
//!                    └─► printer: results to stdout, talk to stderr; diagnostics: error, hint, exit code
//! ```

mod args;
mod caller;
mod checks;
mod commands;
mod diagnostics;
mod document;
mod exit;
mod follow;
mod generate;
mod goal;
mod output;
mod owner;
mod printer;
mod probe;
mod progress;
mod run;
mod session;
mod settings;
mod shell;
mod tail;

pub use args::Arguments;
pub use diagnostics::CliError;
pub use exit::Exit;
pub use run::run;
