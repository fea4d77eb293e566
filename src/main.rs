//! The `crewcall` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    crewcall::cli::run(std::env::args_os()).into()
}
