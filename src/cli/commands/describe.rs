//! `describe`: one cluster, for people.

use std::fmt::Write as _;

use jiff::Timestamp;
use owo_colors::Style;

use crate::{
    cli::{
        CliError,
        args::NameArguments,
        output::{Table, age, event_lines, word},
        printer::paint,
        session::{Session, explain},
    },
    controller::{Clock, ClusterView, NodeView, SystemClock},
    model::{Event, label},
    spec::{ColorChoice, ProviderKind},
};

/// Events that are shown; `crewcall events` shows more.
const EVENTS: usize = 15;

/// Runs the verb.
pub async fn describe(session: &Session, arguments: NameArguments) -> Result<(), CliError> {
    let (client, view) = session.cluster(&arguments.name).await?;
    let events = match client.events(&arguments.name, EVENTS).await {
        Ok(events) => events,
        Err(error) => return Err(explain(&*client, &arguments.name, error).await),
    };
    let printer = &session.printer;
    printer.result(&text(&view, &events, SystemClock.now(), printer.result_color()))
}

fn text(view: &ClusterView, events: &[Event], now: Timestamp, color: ColorChoice) -> String {
    let mut text = overview(view, now);
    let mut section = |title: &str, content: &str| {
        let _ = write!(text, "\n{}\n{content}", paint(title, Style::new().bold(), color));
    };
    section("Conditions", &conditions(view, now, color));
    section("Groups", &groups(view, color));
    section("Nodes", &nodes(view, now, color));
    if view.provider == ProviderKind::Kubernetes {
        section("Disruptions", &disruptions(view));
    }
    if let Some(software) = software(view) {
        section("Software", &software);
    }
    section("Files", &files(view));
    let lines: String = events.iter().map(|event| indented(&event_lines(event, now))).collect();
    section("Events", if lines.is_empty() { "  none\n" } else { &lines });
    text
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat()
}

fn overview(view: &ClusterView, now: Timestamp) -> String {
    let unknown = || if view.clients.is_some() { "no" } else { "unknown" }.to_owned();
    let idle = view.idle_since.map_or_else(unknown, |since| format!("for {}", age(since, now)));
    let pairs = [
        ("Name", view.name.to_string()),
        ("Uid", view.uid.to_string()),
        ("Phase", view.phase.to_string()),
        ("Provider", view.provider.as_str().to_owned()),
        ("Age", age(view.created_at, now)),
        ("Endpoint", view.endpoint.clone().unwrap_or_else(|| "none yet".to_owned())),
        ("Dashboard", view.dashboard.clone().unwrap_or_else(|| "none".to_owned())),
        ("Clients", view.clients.map_or_else(|| "unknown".to_owned(), |clients| clients.to_string())),
        ("Idle", idle),
    ];
    let cost = view
        .spending
        .as_ref()
        .map(|spending| ("Cost", format!("{} so far, {} an hour", spending.until(now), spending.hourly)));
    let mut text = String::new();
    for (key, value) in pairs.into_iter().chain(cost) {
        let _ = writeln!(text, "{:<11}{value}", format!("{key}:"));
    }
    text
}

fn conditions(view: &ClusterView, now: Timestamp, color: ColorChoice) -> String {
    let mut table = Table::new(&["type", "status", "since", "reason", "message"]);
    for condition in &view.conditions {
        // A table has one line for each; events and logs have the others.
        let message = condition.message.lines().next().unwrap_or_default().to_owned();
        let since = age(condition.last_transition_time, now);
        table.row([word(&condition.kind), word(&condition.status), since, condition.reason.clone(), message]);
    }
    if table.is_empty() { "  none\n".to_owned() } else { table.render(2, color) }
}

fn groups(view: &ClusterView, color: ColorChoice) -> String {
    let mut table = Table::new(&["name", "size", "ready", "starting", "draining", "threads", "memory"]);
    for group in &view.groups {
        let spec = view.document.spec.group(&group.name);
        table.row([
            group.name.to_string(),
            group.size.map_or_else(|| "leaving".to_owned(), |size| size.to_string()),
            format!("{}/{}", group.ready, group.wanted),
            group.starting.to_string(),
            group.draining.to_string(),
            spec.map(|spec| spec.threads().to_string()).unwrap_or_default(),
            spec.and_then(|spec| spec.memory).map(|memory| memory.to_string()).unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return "  none\n".to_owned();
    }
    let mut text = table.render(2, color);
    for reason in view.groups.iter().filter_map(|group| group.reason.as_ref()) {
        text.push_str("  ");
        text.push_str(reason);
        text.push('\n');
    }
    text
}

fn nodes(view: &ClusterView, now: Timestamp, color: ColorChoice) -> String {
    let mut table = Table::new(&["name", "state", "since", "address", "tasks", "results", "held"]);
    for node in &view.nodes {
        table.row(node_cells(node, now));
    }
    if table.is_empty() { "  none\n".to_owned() } else { table.render(2, color) }
}

fn node_cells(node: &NodeView, now: Timestamp) -> [String; 7] {
    let worker = node.worker.as_ref();
    [
        node.name.to_string(),
        word(&node.state),
        age(node.since, now),
        node.address.clone().unwrap_or_default(),
        worker.map(|worker| worker.processing.to_string()).unwrap_or_default(),
        worker.map(|worker| worker.held_results.to_string()).unwrap_or_default(),
        worker.map(|worker| bytes(worker.held_bytes)).unwrap_or_default(),
    ]
}

/// What becomes of pods that somebody else ends.
fn disruptions(view: &ClusterView) -> String {
    let name = &view.name;
    format!(
        "  A worker that is evicted, drained from its node or deleted hands its results over in its grace period,\n  \
         and is replaced. There is no PodDisruptionBudget: it would keep nodes from being drained for as long as\n  \
         the cluster lives. To have the scheduler, and with it all results, stay where it is until you say so:\n  \
         kubectl create poddisruptionbudget {name}-scheduler --min-available=1 \\\n    \
         --selector={}={},{}=scheduler\n",
        label::CLUSTER_UID,
        view.uid,
        label::ROLE,
    )
}

fn software(view: &ClusterView) -> Option<String> {
    let interpreter = view.interpreter.as_ref()?;
    let mut text = format!("  {}\n", interpreter.path.display());
    let installed =
        interpreter.versions.0.iter().filter_map(|(package, version)| Some((package, version.as_ref()?)));
    let versions: Vec<String> = installed.map(|(package, version)| format!("{package} {version}")).collect();
    if !versions.is_empty() {
        let _ = writeln!(text, "  {}", versions.join(", "));
    }
    Some(text)
}

fn files(view: &ClusterView) -> String {
    let mut text = match &view.context.kubernetes {
        // An operator has no directory of its caller's.
        Some(place) if view.context.custom_resource.is_some() => {
            format!("  namespace          {}\n", place.namespace)
        }
        _ => format!("  working directory  {}\n", view.context.working_directory.display()),
    };
    if let Some(files) = &view.client {
        for (what, path) in [("authority", &files.ca), ("certificate", &files.cert), ("key", &files.key)] {
            let _ = writeln!(text, "  {what:<17}  {}", path.display());
        }
    }
    text
}

/// `0 B`, `1.5 MiB`.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => {
            let tenths = u128::from(count) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::goal::tests_support::{at, condition, view},
        model::ConditionKind,
    };

    #[test]
    fn every_section_is_there_even_when_nothing_runs() {
        let mut view = view(0, 2);
        view.conditions.push(condition(ConditionKind::Encrypted, "MutualTls", "every connection\nis safe"));
        let text = text(&view, &[], at(90), ColorChoice::Never);
        for part in [
            "Name:      demo\n",
            "Age:       1m30s\n",
            "\nConditions\n",
            "\nNodes\n  none\n",
            "\nEvents\n  none\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(text.contains("every connection\n") && !text.contains("is safe"), "{text}");
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024), bytes(1_572_864)],
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]
        );
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
