//! What nodes printed, kept on this machine when their pods go.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, StreamExt as _, stream};
use kube::api::LogParams;
use tokio::task::JoinHandle;

use super::{client::KubernetesClient, names::CONTAINER, observe::SeenPod};
use crate::{
    model::{ErrorKind, NodeName},
    provider::{Follow, LogRequest, LogStream, ProviderError},
    spec::ClusterName,
};

/// Most lines of a log that are kept.
const KEPT_LINES: i64 = 20_000;

/// Most bytes of a log that are kept.
const KEPT_BYTES: u64 = 8 << 20;

/// How long the end of a log is waited for.
const END_OF_LOG: Duration = Duration::from_mins(5);

/// How long a log may take to begin.
const BEGIN: Duration = Duration::from_secs(5);

/// The kept logs of one cluster. That a log is kept also says that its node has been: its name is used up.
#[derive(Debug, Clone)]
pub struct KeptLogs {
    directory: PathBuf,
}

impl KeptLogs {
    /// Those of a cluster, beside its record.
    pub fn of(state: &Path, cluster: &ClusterName) -> Self {
        Self { directory: state.join("clusters").join(cluster.as_str()).join("logs") }
    }

    fn path(&self, node: &NodeName) -> PathBuf {
        self.directory.join(format!("{node}.log"))
    }

    /// Whether a node's log is kept, which it is once the node has ended.
    pub fn is_kept(&self, node: &NodeName) -> bool {
        self.path(node).exists()
    }

    /// Nodes whose log is kept, oldest first.
    pub fn nodes(&self) -> io::Result<Vec<NodeName>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.strip_suffix(".log")?.to_owned();
                Some((entry.metadata().ok()?.modified().ok()?, NodeName::new(name)))
            })
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    /// The last lines of a kept log.
    pub fn tail(&self, node: &NodeName, lines: usize) -> Vec<String> {
        let Ok(bytes) = fs::read(self.path(node)) else { return Vec::new() };
        let text = String::from_utf8_lossy(&bytes);
        let mut last: VecDeque<&str> = VecDeque::new();
        for line in text.lines() {
            last.push_back(line);
            if last.len() > lines {
                last.pop_front();
            }
        }
        last.into_iter().map(str::to_owned).collect()
    }

    /// Forgets them all.
    pub fn remove(&self) -> Result<(), ProviderError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ProviderError::unsure(format!("cannot remove {}: {error}", self.directory.display())))
            }
            _ => Ok(()),
        }
    }

    /// Begins to keep the log of a pod that is about to go: all it has printed, and what it prints until its
    /// end. Returns once what was printed before is sure to be read.
    pub async fn keep(&self, client: &KubernetesClient, pod: &SeenPod) -> io::Result<Option<JoinHandle<()>>> {
        let node = pod.id.name();
        let Some(file) = self.claim(&node)? else { return Ok(None) };
        if !pod.started {
            return Ok(None);
        }
        let parameters = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: !pod.has_ended(),
            tail_lines: Some(KEPT_LINES),
            ..LogParams::default()
        };
        let begun = tokio::time::timeout(BEGIN, client.log(node.as_str(), &parameters)).await;
        let log = match begun {
            Ok(Ok(log)) => log,
            Ok(Err(error)) => {
                tracing::info!(%node, "its log is not kept: {error}");
                return Ok(None);
            }
            Err(_) => {
                tracing::info!(%node, "its log is not kept: none came within {} s", BEGIN.as_secs());
                return Ok(None);
            }
        };
        let file = tokio::fs::File::from_std(file);
        Ok(Some(tokio::spawn(async move {
            match tokio::time::timeout(END_OF_LOG, copy(log, file)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::info!(%node, "its log is kept in part: {error}"),
                Err(_) => tracing::info!(%node, "its log is kept in part: it has no end"),
            }
        })))
    }

    /// A new file for a node's log; `None` where there is one.
    fn claim(&self, node: &NodeName) -> io::Result<Option<fs::File>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let opened = fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(node));
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A kept log as a stream, which does not go on.
    pub fn read(&self, node: &NodeName, tail: Option<usize>) -> Result<LogStream, ProviderError> {
        let path = self.path(node);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                ProviderError::new(ErrorKind::NotFound, format!("node {node} has no log"))
            }
            _ => ProviderError::new(ErrorKind::Transient, format!("cannot read {}: {error}", path.display())),
        })?;
        let from = tail.map_or(0, |lines| start_of_last(&bytes, lines));
        let wanted = bytes.get(from..).unwrap_or_default().to_vec();
        Ok(stream::iter((!wanted.is_empty()).then_some(Ok(wanted))).boxed())
    }
}

/// Where the last lines begin.
fn start_of_last(bytes: &[u8], lines: usize) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match lines {
        0 => bytes.len(),
        lines => ends.take(lines).nth(lines - 1).unwrap_or(0),
    }
}

async fn copy(log: impl AsyncBufRead, mut file: tokio::fs::File) -> io::Result<()> {
    use tokio::io::AsyncWriteExt as _;

    let mut log = std::pin::pin!(log.take(KEPT_BYTES));
    loop {
        let chunk = log.fill_buf().await?;
        if chunk.is_empty() {
            return file.flush().await;
        }
        let length = chunk.len();
        file.write_all(chunk).await?;
        log.as_mut().consume_unpin(length);
    }
}

/// The log of a pod as the API server has it.
pub async fn of_pod(
    client: &KubernetesClient,
    node: &NodeName,
    request: LogRequest,
) -> Result<LogStream, ProviderError> {
    let parameters = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: request.follow == Follow::Yes,
        tail_lines: request.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
        ..LogParams::default()
    };
    let log = Box::pin(client.log(node.as_str(), &parameters).await?);
    let node = node.clone();
    Ok(stream::unfold(Some((log, node)), |state| async {
        let (mut log, node) = state?;
        let chunk = match log.fill_buf().await {
            Ok(chunk) => chunk.to_vec(),
            Err(error) => {
                let broken =
                    ProviderError::new(ErrorKind::Transient, format!("the log of {node} broke off: {error}"));
                return Some((Err(broken), None));
            }
        };
        if chunk.is_empty() {
            return None;
        }
        log.as_mut().consume_unpin(chunk.len());
        Some((Ok(chunk), Some((log, node))))
    })
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_begin_where_they_do() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(&text[start_of_last(text, 1)..], b"three\n");
        assert_eq!(&text[start_of_last(text, 2)..], b"two\nthree\n");
        assert_eq!(start_of_last(text, 9), 0);
        assert_eq!(start_of_last(text, 0), text.len());
        assert_eq!(&b"one\ntwo"[start_of_last(b"one\ntwo", 1)..], b"two");
    }

    #[test]
    fn a_name_whose_log_is_kept_is_kept_once() {
        let state = tempfile::tempdir().unwrap();
        let kept = KeptLogs::of(state.path(), &"demo".parse().unwrap());
        let node = NodeName::new("demo-workers-0-0");
        assert!(!kept.is_kept(&node) && kept.nodes().unwrap().is_empty());
        assert!(kept.claim(&node).unwrap().is_some());
        assert!(kept.claim(&node).unwrap().is_none());
        assert!(kept.is_kept(&node));
        assert_eq!(kept.nodes().unwrap(), [node]);
        kept.remove().unwrap();
        kept.remove().unwrap();
    }
}
