//! `logs`: what nodes have written.

use futures_util::{StreamExt, stream};

use crate::{
    cli::{
        CliError,
        args::LogsArguments,
        session::{Session, explain},
    },
    model::NodeName,
    provider::Follow,
    spec::ClusterName,
};

/// A line without an end is shown once it is this long.
const LONGEST_LINE: usize = 64 << 10;

/// Runs the verb. Followed, it ends with the nodes.
pub async fn logs(session: &Session, arguments: LogsArguments) -> Result<(), CliError> {
    let cluster = &arguments.name;
    let client = session.controller_of(cluster).await?;
    let nodes = match client.logged_nodes(cluster).await {
        Ok(nodes) => nodes,
        Err(error) => return Err(explain(&*client, cluster, error).await),
    };
    let chosen = choose(cluster, arguments.node.as_deref(), &nodes)?;
    let (printer, follow) = (&session.printer, if arguments.follow { Follow::Yes } else { Follow::No });
    if chosen.is_empty() {
        printer.note(&format!("no node of cluster {cluster} has logged anything yet"));
    }
    if let [node] = chosen.as_slice() {
        let mut chunks = client.logs(cluster, node, arguments.tail, follow);
        while let Some(chunk) = chunks.next().await {
            printer.result_bytes(&chunk?)?;
        }
        return Ok(());
    }
    let labels: Vec<String> = chosen.iter().map(|node| short(cluster, node).to_owned()).collect();
    let width = labels.iter().map(String::len).max().unwrap_or(0);
    let lines = chosen.iter().zip(&labels).map(|(node, label)| {
        let prefix = format!("{label:<width$} | ");
        let chunks = client.logs(cluster, node, arguments.tail, follow).map(Some).chain(stream::iter([None]));
        chunks.scan(Lines::new(prefix), |lines, chunk| {
            let text = match chunk {
                Some(chunk) => chunk.map(|chunk| lines.of(&chunk)),
                None => Ok(lines.rest()),
            };
            std::future::ready(Some(text))
        })
    });
    match follow {
        Follow::Yes => {
            let mut lines = stream::select_all(lines.map(StreamExt::boxed));
            while let Some(text) = lines.next().await {
                printer.result_bytes(&text?)?;
            }
        }
        Follow::No => {
            for mut lines in lines {
                while let Some(text) = lines.next().await {
                    printer.result_bytes(&text?)?;
                }
            }
        }
    }
    Ok(())
}

/// A node's name without the cluster's in front.
fn short<'a>(cluster: &ClusterName, node: &'a NodeName) -> &'a str {
    let name = node.as_str();
    name.strip_prefix(cluster.as_str()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name)
}

/// The nodes that a person means, the scheduler's first. A position means whoever was there last.
fn choose(
    cluster: &ClusterName,
    wanted: Option<&str>,
    nodes: &[NodeName],
) -> Result<Vec<NodeName>, CliError> {
    let is_scheduler = |node: &NodeName| short(cluster, node).starts_with("scheduler-");
    let mut ordered: Vec<&NodeName> = nodes.iter().collect();
    ordered.sort_by_key(|node| !is_scheduler(node));
    let Some(wanted) = wanted else { return Ok(ordered.into_iter().cloned().collect()) };
    let wanted_short =
        wanted.strip_prefix(cluster.as_str()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(wanted);
    let fits = |pattern: &str| {
        let matching = |node: &&&NodeName| {
            let name = short(cluster, node);
            name == pattern || name.strip_prefix(pattern).is_some_and(is_numbers)
        };
        ordered.iter().filter(matching).map(|node| (*node).clone()).collect::<Vec<_>>()
    };
    // A cluster may be named like the beginning of its own nodes' groups.
    let found = [wanted, wanted_short].into_iter().map(fits).find(|found| !found.is_empty());
    let mut found = found.ok_or_else(|| CliError::NoNode {
        cluster: cluster.clone(),
        node: wanted.to_owned(),
        nodes: ordered.iter().map(|node| short(cluster, node).to_owned()).collect(),
    })?;
    let dashes = |text: &str| text.matches('-').count();
    let is_one = wanted_short == "scheduler" || dashes(wanted_short) == 1;
    if is_one && found.len() > 1 {
        found.drain(..found.len() - 1);
    }
    Ok(found)
}

/// `-0` or `-0-3`.
fn is_numbers(rest: &str) -> bool {
    let mut parts = rest.split('-');
    parts.next() == Some("") && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Chunks to whole lines, each with a prefix.
struct Lines {
    prefix: String,
    open: Vec<u8>,
}

impl Lines {
    fn new(prefix: String) -> Self {
        Self { prefix, open: Vec::new() }
    }

    fn of(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") || self.open.len() >= LONGEST_LINE {
                self.take(&mut out);
            }
        }
        out
    }

    /// What has no line break at the end of the log.
    fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.open.is_empty() {
            self.take(&mut out);
        }
        out
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.append(&mut self.open);
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 5] = [
        "demo-workers-0-0",
        "demo-scheduler-0-0",
        "demo-workers-0-1",
        "demo-workers-10-0",
        "demo-highmem-0-0",
    ];

    fn chosen(wanted: Option<&str>) -> Vec<String> {
        let nodes = NODES.map(NodeName::new);
        let chosen = choose(&"demo".parse().unwrap(), wanted, &nodes).unwrap();
        chosen.iter().map(|node| node.as_str().trim_start_matches("demo-").to_owned()).collect()
    }

    #[test]
    fn without_a_node_the_scheduler_comes_first() {
        assert_eq!(chosen(None)[0], "scheduler-0-0");
        assert_eq!(chosen(None).len(), NODES.len());
    }

    #[test]
    fn a_position_means_its_newest_node() {
        assert_eq!(chosen(Some("workers-0")), ["workers-0-1"]);
        assert_eq!(chosen(Some("demo-workers-0")), ["workers-0-1"]);
        let another = choose(&"demo".parse().unwrap(), Some("workers-1"), &NODES.map(NodeName::new));
        assert!(another.is_err(), "workers-10 is another position: {another:?}");
    }

    #[test]
    fn a_whole_name_a_group_and_the_scheduler_are_understood() {
        assert_eq!(chosen(Some("demo-workers-0-0")), ["workers-0-0"]);
        assert_eq!(chosen(Some("workers")).len(), 3);
        assert_eq!(chosen(Some("scheduler")), ["scheduler-0-0"]);
    }

    #[test]
    fn a_node_that_is_not_there_lists_those_that_are() {
        let error = choose(&"demo".parse().unwrap(), Some("gpu"), &NODES.map(NodeName::new)).unwrap_err();
        assert!(error.hint().unwrap().starts_with("there are scheduler-0-0, workers-0-0"), "{error:?}");
    }

    #[test]
    fn chunks_become_whole_lines_each_with_its_prefix() {
        let mut lines = Lines::new("w | ".to_owned());
        assert_eq!(lines.of(b"one\ntw"), b"w | one\n");
        assert_eq!(lines.of(b"o\n"), b"w | two\n");
        assert_eq!(lines.of(b"end"), b"");
        assert_eq!(lines.rest(), b"w | end\n");
        assert_eq!(lines.rest(), b"");
    }
}
