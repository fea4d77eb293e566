//! `dashboard`: the link, in a browser.

use std::process::{Command, Stdio};

use crate::cli::{CliError, args::DashboardArguments, session::Session};

/// What opens a link on this operating system.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Runs the verb. The link is printed where no browser can be opened.
pub async fn dashboard(session: &Session, arguments: DashboardArguments) -> Result<(), CliError> {
    let (_, view) = session.cluster(&arguments.name).await?;
    let Some(link) = &view.dashboard else {
        return Err(CliError::Refused {
            message: format!("cluster {} has no dashboard: it is {}", view.name, view.phase),
            hint: Some("a dashboard needs the package bokeh in the cluster's software".to_owned()),
        });
    };
    let printer = &session.printer;
    if !arguments.print && opens(link) {
        printer.note(&format!("opened {link}"));
        return Ok(());
    }
    printer.result_line(link)
}

fn opens(link: &str) -> bool {
    let silent = || Stdio::null();
    let status = Command::new(OPENER).arg(link).stdin(silent()).stdout(silent()).stderr(silent()).status();
    status.is_ok_and(|status| status.success())
}
