//! `scale`: another number of workers.

use std::time::Duration;

use serde_json::json;

use crate::{
    cli::{
        CliError,
        args::{ReportFormat, ScaleArguments},
        follow::{Follower, Parting},
        goal::{Goal, workers},
        session::{Session, explain},
    },
    controller::{ClusterView, ScaleRequest, Unplaced},
    spec::{GroupName, Size, Span},
};

/// What is added to the document's own bounds, so that the controller gives up before its client.
const MARGIN: Duration = Duration::from_secs(30);

/// Runs the verb.
pub async fn scale(session: &Session, arguments: ScaleArguments) -> Result<(), CliError> {
    let (name, group) = (&arguments.name, &arguments.group);
    let request = ScaleRequest {
        group: Some(group.clone()),
        size: size(&arguments)?,
        unplaced: if arguments.force { Unplaced::Lose } else { Unplaced::Keep },
    };
    let client = session.controller_of(name).await?;
    let view = match client.scale(name, &request).await {
        Ok(view) => view,
        Err(error) => return Err(explain(&*client, name, error).await),
    };
    let printer = &session.printer;
    let mut progress = printer.progress(super::create::reader(arguments.output));
    if arguments.no_wait {
        progress.outcome("accepted", json!({"cluster": view}));
        return match arguments.output {
            Some(ReportFormat::Json) => Ok(()),
            Some(ReportFormat::Name) => printer.result_line(name.as_str()),
            None => printer.result_line(&format!(
                "cluster {name}: group {group} is on its way to {}",
                described(request.size)
            )),
        };
    }
    let spec = &view.document.spec;
    let given = || spec.wait_for.timeout().max(spec.drain_timeout()) + MARGIN;
    let bound = arguments.timeout.map_or_else(given, Span::duration);
    let parting = Parting {
        goes_on: format!("group {group} of cluster {name} goes on to {}", described(request.size)),
        undo: Some(format!("`crewcall describe {name}` shows how far it is")),
        when_late: format!("it goes on: `crewcall describe {name}` shows how far it is"),
    };
    let goal = Goal::Sized { generation: view.generation, group: group.clone() };
    let seen = Follower::new(session, &mut progress, name, goal).wait(client, bound, parting).await?;
    let view = seen.unwrap_or(view);
    progress.outcome("scaled", json!({"cluster": view}));
    match arguments.output {
        Some(ReportFormat::Json) => Ok(()),
        Some(ReportFormat::Name) => printer.result_line(name.as_str()),
        None => printer.result_line(&format!(
            "cluster {name}: group {group} has {}{}",
            workers(ready(&view, group), ""),
            bounds(request.size)
        )),
    }
}

fn ready(view: &ClusterView, group: &GroupName) -> u32 {
    view.groups.iter().find(|known| known.name == *group).map_or(0, |group| group.ready)
}

fn size(arguments: &ScaleArguments) -> Result<Size, CliError> {
    match (arguments.workers, arguments.min.unwrap_or(0), arguments.max) {
        (Some(workers), _, _) => Ok(Size::Fixed(workers)),
        (None, min, Some(max)) if min <= max => Ok(Size::Adaptive { min, max }),
        (None, min, Some(max)) => {
            Err(CliError::Usage { message: format!("--min {min} is more than --max {max}"), hint: None })
        }
        // The parser asks for one of the two.
        (None, _, None) => Err(CliError::Bug("neither a number nor --max was given".to_owned())),
    }
}

fn described(size: Size) -> String {
    match size {
        Size::Fixed(count) => workers(count, ""),
        Size::Adaptive { .. } => format!("{size} workers"),
    }
}

fn bounds(size: Size) -> String {
    match size {
        Size::Fixed(_) => String::new(),
        Size::Adaptive { .. } => format!(", and as many as the work needs from {size}"),
    }
}
