//! Only the hidden subcommand of the local provider's host processes, so far.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crewcall::provider::local::host::{HostArguments, run_host};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(name = "__host", hide = true)]
    Host(HostArguments),
}

fn main() -> ExitCode {
    let Command::Host(arguments) = Arguments::parse().command;
    match run_host(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
