//! The `crewcall` program.

use std::{fmt::Display, process::ExitCode};

use clap::{Parser, Subcommand};
use crewcall::api::process::{ControllerArguments, run_controller};
#[cfg(all(feature = "local", target_os = "linux"))]
use crewcall::provider::local::host::{HostArguments, run_host};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(all(feature = "local", target_os = "linux"))]
    #[command(name = "__host", hide = true)]
    Host(HostArguments),
    #[command(name = "__controller", hide = true)]
    Controller(ControllerArguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        #[cfg(all(feature = "local", target_os = "linux"))]
        Command::Host(arguments) => finished(run_host(&arguments)),
        Command::Controller(arguments) => finished(run_controller(&arguments)),
    }
}

fn finished(outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
