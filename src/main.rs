//! The `crewcall` program.

use std::process::ExitCode;

use crewcall::api::process::{ControllerOptions, run_controller};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = |version: Option<&str>| {
        let mut options = ControllerOptions::of_this_process()?;
        if let Some(version) = version {
            version.clone_into(&mut options.version);
        }
        run_controller(&options)
    };
    let outcome = match arguments.as_slice() {
        ["__controller"] => run(None),
        ["__controller", "--as-version", version] => run(Some(version)),
        _ => return ExitCode::from(2),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
