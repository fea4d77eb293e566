//! `doctor`: what clusters need, one line each.

use std::path::Path;

use owo_colors::Style;

use crate::{
    api::{ApiClient, Clusters as _},
    cli::{
        CliError, Exit,
        args::{DoctorArguments, ExaminedProvider},
        caller,
        checks::{self, Check, Finding},
        document,
        output::print_data,
        printer::{Printer, paint},
        session::Session,
    },
    controller::{Clock, Fate, Listed, Sweep, SystemClock, process::Locations},
    model::CallerEnvironment,
    spec::{ComputeCluster, ProviderKind},
};

/// Runs the verb. Fails when a check does.
pub async fn doctor(session: &Session, arguments: DoctorArguments) -> Result<(), CliError> {
    let locations = session.locations()?;
    let environment = caller::environment(&session.printer);
    let directory = caller::working_directory()?;
    let document = match &arguments.file {
        Some(file) => Some(document::read(file, &directory, &session.printer)?.cluster),
        None => None,
    };
    let mut found = vec![checks::clock(SystemClock.now()), checks::open_files()];
    found.extend(checks::directories(&locations));
    found.push(python(&environment, &directory).await);
    found.push(checks::uv(&environment, &directory));
    match examined(arguments.provider, document.as_ref())? {
        ExaminedProvider::Local => {}
        ExaminedProvider::Ec2 => found.extend(ec2(&environment, &directory, document, &locations).await?),
    }
    found.extend(controller(&locations).await);
    let printer = &session.printer;
    match arguments.output {
        Some(format) => print_data(printer, format, &found)?,
        None => print(printer, &found)?,
    }
    let failed = found.iter().any(|check| check.finding == Finding::Fail);
    if failed { Err(CliError::Said(Exit::Failed)) } else { Ok(()) }
}

/// Which provider is meant.
fn examined(
    named: Option<ExaminedProvider>,
    document: Option<&ComputeCluster>,
) -> Result<ExaminedProvider, CliError> {
    let of_document = match document.map(|document| document.spec.provider.kind()) {
        None => None,
        Some(ProviderKind::Local) => Some(ExaminedProvider::Local),
        Some(ProviderKind::Ec2) => Some(ExaminedProvider::Ec2),
        Some(ProviderKind::Kubernetes) => {
            return Err(CliError::Usage {
                message: "doctor does not look at clusters on Kubernetes".to_owned(),
                hint: Some("`crewcall create --dry-run -f FILE` asks the API server".to_owned()),
            });
        }
    };
    match (named, of_document) {
        (Some(named), Some(of_document)) if named != of_document => Err(CliError::Usage {
            message: "the document is one of another provider than `--provider` names".to_owned(),
            hint: Some("leave `--provider` out".to_owned()),
        }),
        (named, of_document) => Ok(named.or(of_document).unwrap_or(ExaminedProvider::Local)),
    }
}

/// The account of AWS.
#[cfg(feature = "ec2")]
async fn ec2(
    environment: &CallerEnvironment,
    directory: &Path,
    document: Option<ComputeCluster>,
    locations: &Locations,
) -> Result<Vec<Check>, CliError> {
    use crate::{
        cli::document::ANY_ON_EC2,
        provider::{
            ec2::{
                Ec2Api as _, Ec2Client,
                examine::{Outcome, examine},
                resolve,
            },
            installation,
        },
    };

    let document = match document {
        Some(document) => document,
        None => crate::spec::load("the default", ANY_ON_EC2)?.cluster,
    };
    let region = document.spec.ec2().and_then(|ec2| ec2.region.clone());
    let failed =
        |error: crate::provider::ProviderError| Check::fail("caller", error.message).or_hint(error.hint);
    let context = match resolve(environment, directory, region.as_deref()).await {
        Ok(context) => context,
        Err(error) => return Ok(vec![failed(error)]),
    };
    let client = Ec2Client::new(context);
    client.renew(environment);
    let installation = match installation(locations.state()) {
        Ok(installation) => installation,
        Err(error) => return Ok(vec![failed(error)]),
    };
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    let found = examine(&client, &document, environment, &installation, bits, SystemClock.now()).await;
    let check = |one: crate::provider::ec2::examine::Examined| match one.outcome {
        Outcome::Good(message) => Check::ok(one.what, message),
        Outcome::Doubtful(error) => Check::warn(one.what, error.message).or_hint(error.hint),
        Outcome::Bad(error) => Check::fail(one.what, error.message).or_hint(error.hint),
    };
    Ok(found.into_iter().map(check).collect())
}

#[cfg(not(feature = "ec2"))]
#[expect(clippy::unused_async, reason = "with the feature it asks AWS")]
async fn ec2(
    _: &CallerEnvironment,
    _: &Path,
    _: Option<ComputeCluster>,
    _: &Locations,
) -> Result<Vec<Check>, CliError> {
    Err(caller::without_ec2())
}

async fn python(environment: &CallerEnvironment, directory: &Path) -> Check {
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
            Fate::Adopted | Fate::WouldBeAdopted => {
                Check::warn("leftovers", leftover.description).hint("`crewcall gc` takes it up again")
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
