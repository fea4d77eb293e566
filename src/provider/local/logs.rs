//! Reading nodes' logs.

use std::{
    collections::VecDeque,
    fs::{self, File},
    future::Future,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use rustix::fs::inotify;
use tokio::net::unix::pipe;

use super::paths;
use crate::{
    model::NodeName,
    provider::{ErrorKind, Follow, LogRequest, LogStream, ProviderError},
};

/// Bytes handed on at once.
const CHUNK: usize = 64 << 10;

/// Reads a node's log, its rotated part first. `hints` yield when the node may have ended; `is_alive` says
/// whether it has.
pub fn read<A, F>(
    directory: &Path,
    node: &NodeName,
    request: LogRequest,
    hints: BoxStream<'static, ()>,
    is_alive: A,
) -> Result<LogStream, ProviderError>
where
    A: Fn() -> F + Send + 'static,
    F: Future<Output = bool> + Send,
{
    let path = paths::node_log(directory, node);
    if !path.exists() {
        let message = format!("node {node} has no log at {}", path.display());
        return Err(ProviderError::new(ErrorKind::NotFound, message));
    }
    let failed = |error: &io::Error| cannot_read(&path, error);
    // Before anything is read, so that nothing written after it is missed.
    let watch = match request.follow {
        Follow::Yes => Some(Watch::new(&path).map_err(|error| failed(&error))?),
        Follow::No => None,
    };
    let mut reader = Reader::open(&path).map_err(|error| failed(&error))?;
    if let Some(lines) = request.tail {
        reader.skip_to_tail(lines).map_err(|error| failed(&error))?;
    }
    let follower = Follower { path, reader, watch, hints, is_alive, last_round: false };
    Ok(stream::unfold(Some(follower), |state| async {
        let mut follower = state?;
        match follower.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(follower))),
            Ok(None) => None,
            Err(error) => Some((Err(cannot_read(&follower.path, &error)), None)),
        }
    })
    .boxed())
}

/// Nodes that have a log, newest last.
pub fn nodes(directory: &Path) -> Result<Vec<NodeName>, ProviderError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot_read(directory, &error)),
    };
    let mut found: Vec<(std::time::SystemTime, NodeName)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".log")?.to_owned();
            let metadata = entry.metadata().ok()?;
            // Not every file system knows when a file was made.
            let made = metadata.created().or_else(|_| metadata.modified()).ok()?;
            Some((made, NodeName::new(name)))
        })
        .collect();
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

fn cannot_read(path: &Path, error: &io::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Transient, format!("cannot read {}: {error}", path.display()))
}

/// What is left to read, in the order in which it was written.
struct Reader {
    path: PathBuf,
    /// The rotated part, if that is still to be read.
    older: Option<File>,
    current: File,
    offset: u64,
}

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        let older = match File::open(paths::rotated_log(path)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), older, current: File::open(path)?, offset: 0 })
    }

    /// The next bytes; none at the end.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; CHUNK];
        if let Some(older) = &mut self.older {
            let count = older.read(&mut bytes)?;
            if count > 0 {
                bytes.truncate(count);
                return Ok(bytes);
            }
            self.older = None;
        }
        if self.current.metadata()?.size() < self.offset {
            // It was moved aside: what was not read of it is there now.
            let mut older = File::open(paths::rotated_log(&self.path))?;
            older.seek(SeekFrom::Start(self.offset))?;
            self.older = Some(older);
            self.offset = 0;
            self.current.rewind()?;
            return self.read();
        }
        let count = self.current.read(&mut bytes)?;
        self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or_default());
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Goes on so that only the last lines are left.
    fn skip_to_tail(&mut self, lines: usize) -> io::Result<()> {
        // Where each of the last lines begins, counted over both files.
        let mut starts: VecDeque<u64> = VecDeque::new();
        let (mut position, mut at_start) = (0_u64, true);
        let older_length =
            self.older.as_ref().map_or(Ok(0), |file| file.metadata().map(|found| found.len()))?;
        loop {
            let chunk = self.read()?;
            if chunk.is_empty() {
                break;
            }
            for byte in chunk {
                if at_start {
                    starts.push_back(position);
                    if starts.len() > lines {
                        starts.pop_front();
                    }
                }
                at_start = byte == b'\n';
                position = position.saturating_add(1);
            }
        }
        let start = starts.front().copied().unwrap_or(position);
        let current = start.saturating_sub(older_length);
        if start < older_length {
            let mut older = File::open(paths::rotated_log(&self.path))?;
            older.seek(SeekFrom::Start(start))?;
            self.older = Some(older);
        }
        self.offset = current;
        self.current.seek(SeekFrom::Start(current))?;
        Ok(())
    }
}

/// Reads on while a node lives.
struct Follower<A> {
    path: PathBuf,
    reader: Reader,
    watch: Option<Watch>,
    hints: BoxStream<'static, ()>,
    is_alive: A,
    last_round: bool,
}

impl<A, F> Follower<A>
where
    A: Fn() -> F,
    F: Future<Output = bool>,
{
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let chunk = self.reader.read()?;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
            let Some(watch) = &self.watch else { return Ok(None) };
            if self.last_round {
                return Ok(None);
            }
            if !(self.is_alive)().await {
                // What it wrote between the last look and its end.
                self.last_round = true;
                continue;
            }
            tokio::select! {
                written = watch.changed() => written?,
                hint = self.hints.next() => if hint.is_none() {
                    watch.changed().await?;
                },
            }
        }
    }
}

/// Tells when a file was written to.
struct Watch {
    /// An inotify queue is read as a pipe is.
    events: pipe::Receiver,
}

impl Watch {
    fn new(path: &Path) -> io::Result<Self> {
        let events = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let what =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&events, path, what)?;
        Ok(Self { events: pipe::Receiver::from_owned_fd_unchecked(events)? })
    }

    /// Waits for the next write. What it was does not matter: the log is read to its end.
    async fn changed(&self) -> io::Result<()> {
        loop {
            self.events.readable().await?;
            match self.events.try_read(&mut [0; 4096]) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
