//! From the words of a command line to an exit code.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::{
    Arguments, CliError, Exit,
    args::{CreateArguments, DeleteArguments, ReportFormat, ScaleArguments, Verb},
    commands, generate,
    printer::{Printer, Talk},
    session::Session,
};
use crate::telemetry::{self, Detail};

/// Runs the command that the words say, the first of which is the program's own name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let parsed = Arguments::command().try_get_matches_from(words);
    let arguments = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results; the rest is a usage error.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let Arguments { global, verb } = arguments;
    let talk = if global.quiet { Talk::Quiet } else { Talk::Normal };
    let session = Session::new(Printer::new(global.color, talk), global);
    let is_for_programs = reports_to_programs(&verb);
    let done = session.start_logging(&verb).and_then(|()| dispatch(&session, verb));
    match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            if is_for_programs && let Ok(line) = serde_json::to_string(&error.to_json_line()) {
                // Whoever does not read it has stderr and the exit code.
                drop(session.printer.result_line(&line));
            }
            session.printer.error(&error);
            error.exit()
        }
    }
}

/// Whether a program reads what the verb reports, and so should read its failure too.
fn reports_to_programs(verb: &Verb) -> bool {
    match verb {
        Verb::Create(CreateArguments { output, .. })
        | Verb::Scale(ScaleArguments { output, .. })
        | Verb::Delete(DeleteArguments { output, .. }) => *output == Some(ReportFormat::Json),
        _ => false,
    }
}

impl Session {
    /// The hidden processes have logs of their own.
    fn start_logging(&self, verb: &Verb) -> Result<(), CliError> {
        let detail = match (verb, self.verbosity()) {
            #[cfg(all(feature = "local", target_os = "linux"))]
            (Verb::Host(_), _) => return Ok(()),
            #[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
            (Verb::Forwarder(_), _) => return Ok(()),
            #[cfg(feature = "kubernetes")]
            (Verb::Operator(_), _) => return Ok(()),
            (Verb::ControllerProcess(_), _) => return Ok(()),
            (_, 0) => Detail::Nothing,
            (_, 1) => Detail::Steps,
            (_, _) => Detail::Everything,
        };
        Ok(telemetry::to_stderr(detail)?)
    }
}

fn dispatch(session: &Session, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create(arguments) => wait(commands::create(session, arguments)),
        Verb::List(arguments) => wait(commands::list(session, arguments)),
        Verb::Get(arguments) => wait(commands::get(session, arguments)),
        Verb::Describe(arguments) => wait(commands::describe(session, arguments)),
        Verb::Events(arguments) => wait(commands::events(session, arguments)),
        Verb::Logs(arguments) => wait(commands::logs(session, arguments)),
        Verb::Scale(arguments) => wait(commands::scale(session, arguments)),
        Verb::Run(arguments) => wait(commands::run(session, arguments)),
        Verb::Env(arguments) => wait(commands::env(session, arguments)),
        Verb::Dashboard(arguments) => wait(commands::dashboard(session, arguments)),
        Verb::Delete(arguments) => wait(commands::delete(session, arguments)),
        Verb::Doctor(arguments) => wait(commands::doctor(session, arguments)),
        Verb::Gc(arguments) => wait(commands::gc(session, arguments)),
        Verb::Controller(arguments) => wait(commands::controller(session, arguments)),
        Verb::Schema(arguments) => commands::schema(session, &arguments),
        Verb::Completions(arguments) => commands::completions(session, &arguments),
        Verb::Man(arguments) => commands::man(session, &arguments),
        Verb::Generate(arguments) => generate::write_all(&arguments.directory),
        #[cfg(all(feature = "local", target_os = "linux"))]
        Verb::Host(arguments) => commands::host(&arguments),
        #[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
        Verb::Forwarder(arguments) => commands::forwarder(&arguments),
        #[cfg(feature = "kubernetes")]
        Verb::Operator(arguments) => commands::operator(session, &arguments),
        #[cfg(feature = "kubernetes")]
        Verb::Gateway(arguments) => wait(commands::gateway(session, arguments)),
        Verb::ControllerProcess(arguments) => commands::controller_process(&arguments),
    }
}

/// One thread is enough for a client, and starts sooner than several.
fn wait(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Bug(format!("cannot start: {error}")))?;
    let done = runtime.block_on(work);
    // A thread that reads standard input or waits for Python must not keep the process.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(words: &[&str]) -> Exit {
        run(["crewcall"].iter().chain(words).map(OsString::from))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        assert_eq!(exit(&["lsit"]), Exit::Usage);
        assert_eq!(exit(&["get", "No_Name"]), Exit::Usage);
        assert_eq!(exit(&["scale", "demo"]), Exit::Usage);
        assert_eq!(exit(&["scale", "demo", "3", "--max", "4"]), Exit::Usage);
        assert_eq!(exit(&["delete"]), Exit::Usage);
        assert_eq!(exit(&["delete", "demo", "--all"]), Exit::Usage);
        assert_eq!(exit(&["run", "demo"]), Exit::Usage);
        assert_eq!(exit(&["--context", "kube:prod", "controller", "status"]), Exit::Usage);
    }
}
