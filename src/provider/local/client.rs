//! The controller's side of the conversation with a host.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    process::Command,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::host::{
    HostArguments,
    protocol::{
        Answer, FromHost, Hello, HostFailure, HostStart, HostStarted, LONGEST_LINE, PROTOCOL, Request,
        RequestLine,
    },
};
use crate::provider::{
    ErrorKind, ProviderError,
    child::{self, StartError},
};

/// How long a host may take to answer what it can answer at once.
pub const ANSWER: Duration = Duration::from_secs(15);

/// How long a process may take from its start to its socket.
const START: Duration = Duration::from_secs(15);

/// A connection to a host. Clones share it.
#[derive(Clone)]
pub struct HostClient {
    requests: mpsc::Sender<Asked>,
    changes: watch::Receiver<u64>,
    socket: PathBuf,
}

struct Asked {
    request: Request,
    answer: oneshot::Sender<Answer>,
}

/// A request that was not answered, or not with what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The host said no; nothing happened.
    #[error(transparent)]
    Refused(HostFailure),
    /// Nobody is there, or nobody answers any more.
    #[error("lost the connection to the host at {} {while_waiting}", socket.display())]
    Lost {
        /// Where it listened.
        socket: PathBuf,
        /// What was waited for.
        while_waiting: String,
    },
    /// Somebody else listens there; nothing was said to them.
    #[error("the socket {} is not a host's of yours: a process of user id {uid} listens there", socket.display())]
    Stranger {
        /// Where they listen.
        socket: PathBuf,
        /// Whose process it is.
        uid: u32,
    },
    /// It did not answer in time.
    #[error("the host at {} did not answer within {} s {while_waiting}", socket.display(), bound.as_secs())]
    Late {
        /// Where it listens.
        socket: PathBuf,
        /// How long it was waited for.
        bound: Duration,
        /// What was waited for.
        while_waiting: String,
    },
    /// It answered something else.
    #[error("the host at {} answered something else {while_waiting}: {problem}", socket.display())]
    Odd {
        /// Where it listens.
        socket: PathBuf,
        /// What was waited for.
        while_waiting: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

impl From<CallError> for ProviderError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(failure) => Self::new(failure.kind, failure.message),
            stranger @ CallError::Stranger { .. } => Self::new(ErrorKind::Auth, stranger.to_string())
                .with_hint("remove that socket; the host makes its own again"),
            other => Self::unsure(other.to_string()),
        }
    }
}

impl HostClient {
    /// Connects and says hello, which makes this the connection that the host serves.
    pub async fn connect(socket: &Path) -> Result<(Self, Hello), CallError> {
        let lost =
            || CallError::Lost { socket: socket.to_owned(), while_waiting: "while connecting".to_owned() };
        let stream =
            timeout(ANSWER, UnixStream::connect(socket)).await.map_err(|_| lost())?.map_err(|_| lost())?;
        // Before the first word: what is said here holds keys and the caller's environment.
        let uid = stream.peer_cred().map_err(|_| lost())?.uid();
        if uid != rustix::process::geteuid().as_raw() {
            return Err(CallError::Stranger { socket: socket.to_owned(), uid });
        }
        let (read, write) = stream.into_split();
        let (requests, asked) = mpsc::channel(64);
        let (hints, changes) = watch::channel(0);
        tokio::spawn(converse(read, write, asked, hints));
        let client = Self { requests, changes, socket: socket.to_owned() };
        let hello = client.call(Request::Hello { protocol: PROTOCOL }, ANSWER, "for its name").await?;
        Ok((client, hello))
    }

    /// Asks and waits for the answer, at most `bound`; `for_what` ends the sentence "waiting ...".
    pub async fn call<T: DeserializeOwned>(
        &self,
        request: Request,
        bound: Duration,
        for_what: &str,
    ) -> Result<T, CallError> {
        let while_waiting = format!("while it was waited {for_what}");
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.requests.send(Asked { request, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(bound, exchange).await {
            Ok(Some(Answer::Done(value))) => serde_json::from_value(value).map_err(|error| CallError::Odd {
                socket: self.socket.clone(),
                while_waiting,
                problem: error.to_string(),
            }),
            Ok(Some(Answer::Failed(failure))) => Err(CallError::Refused(failure)),
            Ok(None) => Err(CallError::Lost { socket: self.socket.clone(), while_waiting }),
            Err(_) => Err(CallError::Late { socket: self.socket.clone(), bound, while_waiting }),
        }
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Counts what the host said to have changed; closed with the connection.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// Carries requests and answers until either side is gone. Whoever then still waits sees their channel
/// close.
async fn converse(
    read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    mut asked: mpsc::Receiver<Asked>,
    hints: watch::Sender<u64>,
) {
    let (lines_to, mut lines) = mpsc::channel(64);
    let reader = tokio::spawn(read_lines(read, lines_to));
    let mut open: BTreeMap<u64, oneshot::Sender<Answer>> = BTreeMap::new();
    let mut id = 0;
    loop {
        tokio::select! {
            next = asked.recv() => {
                let Some(Asked { request, answer }) = next else { break };
                id += 1;
                open.insert(id, answer);
                let Ok(mut line) = serde_json::to_vec(&RequestLine { id, request }) else { break };
                line.push(b'\n');
                if write.write_all(&line).await.is_err() {
                    break;
                }
            }
            line = lines.recv() => match line.map(|line| serde_json::from_slice(&line)) {
                Some(Ok(FromHost::Reply { id, answer })) => {
                    if let Some(waiting) = open.remove(&id) {
                        // Who no longer waits needs no answer.
                        let _given_up = waiting.send(answer);
                    }
                }
                Some(Ok(FromHost::Changed)) => hints.send_modify(|count| *count += 1),
                // A later host may say more.
                Some(Err(error)) => tracing::warn!(%error, "a host said something that is not understood"),
                None => break,
            },
        }
    }
    reader.abort();
}

async fn read_lines(read: OwnedReadHalf, lines: mpsc::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        match (&mut reader).take(limit).read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Starts a host and waits for its socket.
pub async fn start_host(
    program: &Path,
    arguments: &HostArguments,
    start: &HostStart,
) -> Result<PathBuf, ProviderError> {
    let cannot = |error: &dyn std::fmt::Display| {
        ProviderError::new(ErrorKind::Transient, format!("cannot start {}: {error}", program.display()))
    };
    let mut command = Command::new(program);
    command.arg("__host").args(arguments.to_arguments()).env_clear();
    let answer = child::start(&mut command, start, START).await.map_err(|error| match error {
        StartError::Silent(_) => ProviderError::unsure(format!("host {}: {error}", arguments.id)),
        error => cannot(&error),
    })?;
    match serde_json::from_str(&answer) {
        Ok(HostStarted::Listening(socket)) => Ok(socket),
        Ok(HostStarted::Failed(failure)) => Err(ProviderError::new(failure.kind, failure.message)),
        Err(error) => Err(cannot(&format!("it said something odd: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::net::{UnixListener, UnixStream as Blocking},
    };

    use super::*;

    /// A socket on which a process of user id 65534 listens; `None` when that cannot be had here.
    fn of_somebody_else(path: PathBuf) -> Option<UnixListener> {
        // Of this thread alone, which ends with it.
        let listening = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(
                None::<rustix::process::Uid>,
                nobody,
                None::<rustix::process::Uid>,
            )
            .ok()?;
            UnixListener::bind(path).ok()
        });
        listening.join().unwrap()
    }

    #[tokio::test]
    async fn nothing_is_said_to_a_process_of_somebody_else() {
        use std::os::unix::fs::PermissionsExt as _;

        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let socket = place.path().join("h.sock");
        let Some(listener) = of_somebody_else(socket.clone()) else {
            eprintln!("SKIPPED: only root can be somebody else");
            return;
        };
        let heard = std::thread::spawn(move || {
            let (mut stream, _): (Blocking, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        });
        let Err(error) = timeout(ANSWER, HostClient::connect(&socket)).await.unwrap() else {
            panic!("it was taken for a host");
        };
        assert!(matches!(error, CallError::Stranger { uid: 65_534, .. }), "{error}");
        assert_eq!(heard.join().unwrap(), b"");
    }
}
