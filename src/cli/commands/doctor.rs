//! `doctor`: what local clusters need, one line each.

use owo_colors::Style;

use crate::{
    api::{ApiClient, Clusters as _},
    cli::{
        CliError, Exit,
        args::DoctorArguments,
        caller,
        checks::{self, Check, Finding},
        output::print_data,
        printer::{Printer, paint},
        session::Session,
    },
    controller::{Clock, Fate, Listed, Sweep, SystemClock, process::Locations},
};

/// Runs the verb. Fails when a check does.
pub async fn doctor(session: &Session, arguments: DoctorArguments) -> Result<(), CliError> {
    let locations = session.locations()?;
    let environment = caller::environment(&session.printer);
    let mut found = vec![checks::clock(SystemClock.now()), checks::open_files()];
    found.extend(checks::directories(&locations));
    let directory = caller::working_directory()?;
    found.push(python(&environment, &directory).await);
    found.push(checks::uv(&environment, &directory));
    found.extend(controller(&locations).await);
    let printer = &session.printer;
    match arguments.output {
        Some(format) => print_data(printer, format, &found)?,
        None => print(printer, &found)?,
    }
    let failed = found.iter().any(|check| check.finding == Finding::Fail);
    if failed { Err(CliError::Said(Exit::Failed)) } else { Ok(()) }
}

async fn python(environment: &crate::model::CallerEnvironment, directory: &std::path::Path) -> Check {
    const WHAT: &str = "python";
    let Some(path) = caller::find_interpreter(environment, directory) else {
        return Check::fail(WHAT, "there is no python3 on the path")
            .hint("install Python 3.10 or later, or activate the environment that has it");
    };
    match caller::probe_versions(&path, environment).await {
        Err(error) => Check::fail(WHAT, error.to_string()).hint("activate an environment whose Python runs"),
        Ok(versions) => checks::software(WHAT, &path, &versions),
    }
}

/// The controller, the records that it cannot use, and what was left behind.
async fn controller(locations: &Locations) -> Vec<Check> {
    const WHAT: &str = "controller";
    let client = match ApiClient::connect_or_start(locations).await {
        Ok(client) => client,
        Err(error) => return vec![Check::fail(WHAT, error.to_string()).or_hint(error.hint())],
    };
    let hello = client.hello();
    let mut found = vec![Check::ok(WHAT, format!("version {}, process {}", hello.version, hello.pid))];
    match client.summaries().await {
        Err(error) => found.push(Check::fail("records", error.to_string()).or_hint(error.hint)),
        Ok(listed) => {
            let problems: Vec<Check> = listed.iter().filter_map(unreadable).collect();
            if problems.is_empty() {
                found.push(checks::records(listed.len()));
            }
            found.extend(problems);
        }
    }
    match client.gc(Sweep::DryRun).await {
        Err(error) => found.push(Check::fail("leftovers", error.to_string()).or_hint(error.hint)),
        Ok(leftovers) if leftovers.is_empty() => found.push(Check::ok("leftovers", "none")),
        Ok(leftovers) => found.extend(leftovers.into_iter().map(|leftover| match leftover.fate {
            Fate::Kept(why) => Check::warn("leftovers", format!("{} ({why})", leftover.description)),
            Fate::Removed | Fate::WouldBeRemoved => {
                Check::warn("leftovers", leftover.description).hint("`crewcall gc` removes it")
            }
        })),
    }
    found
}

fn unreadable<T>(listed: &Listed<T>) -> Option<Check> {
    match listed {
        Listed::Cluster(_) => None,
        Listed::Unreadable { name, problem } => {
            Some(Check::fail("records", format!("the record of cluster {name} cannot be used: {problem}")))
        }
    }
}

fn print(printer: &Printer, found: &[Check]) -> Result<(), CliError> {
    let color = printer.result_color();
    for check in found {
        let (word, style) = match check.finding {
            Finding::Ok => ("ok  ", Style::new().green()),
            Finding::Warn => ("warn", Style::new().yellow().bold()),
            Finding::Fail => ("fail", Style::new().red().bold()),
        };
        let message = check.message.replace('\n', "\n                  ");
        printer.result_line(&format!("{}  {:<10}  {message}", paint(word, style, color), check.what))?;
        if let Some(hint) = &check.hint {
            printer.result_line(&format!("                  hint: {hint}"))?;
        }
    }
    Ok(())
}
