//! `dashboard`: the link, in a browser.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use crate::cli::{CliError, args::DashboardArguments, probe, session::Session};

/// What opens a link on this operating system.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// How long a dashboard may take to answer after its scheduler listens.
const LONGEST_START: Duration = Duration::from_secs(10);
/// How long one answer may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between one and the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the verb. The link is printed where no browser can be opened.
pub async fn dashboard(session: &Session, arguments: DashboardArguments) -> Result<(), CliError> {
    let view = session.reached(&arguments.name).await?;
    let Some(link) = &view.dashboard else {
        return Err(CliError::Refused {
            message: format!("cluster {} has no dashboard: it is {}", view.name, view.phase),
            hint: Some("a dashboard needs the package bokeh in the cluster's software".to_owned()),
        });
    };
    let printer = &session.printer;
    if !arguments.print && comes_up(link).await && opens(link) {
        printer.note(&format!("opened {link}"));
        return Ok(());
    }
    printer.result_line(link)
}

/// Waits until the dashboard answers. One that does not is for the person to try.
async fn comes_up(link: &str) -> bool {
    let answers = async {
        while !probe::answers(link, ATTEMPT).await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(LONGEST_START, answers).await.is_ok()
}

fn opens(link: &str) -> bool {
    let silent = || Stdio::null();
    let status = Command::new(OPENER).arg(link).stdin(silent()).stdout(silent()).stderr(silent()).status();
    status.is_ok_and(|status| status.success())
}
