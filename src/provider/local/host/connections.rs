//! The controller's connections: who is served, and who is not any more.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

use super::protocol::{FromHost, LONGEST_LINE};

/// Replies and hints that may wait for a controller which does not read.
const UNREAD_LINES: usize = 4096;

/// How long a controller may take to read its last answer.
const UNREAD_ANSWER: Duration = Duration::from_secs(1);

/// Something that came over a connection.
pub enum Input {
    /// A line, without its end.
    Line(ConnectionId, Vec<u8>),
    /// The other side is gone.
    Closed(ConnectionId),
}

/// One connection, in the order in which they were accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// All open connections, and the one that is served.
pub struct Connections {
    inputs: mpsc::Sender<Input>,
    open: BTreeMap<ConnectionId, Connection>,
    served: Option<ConnectionId>,
    accepted: u64,
}

struct Connection {
    lines: mpsc::Sender<Vec<u8>>,
    reader: AbortHandle,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Connections {
    /// None yet; what comes is sent to `inputs`.
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self { inputs, open: BTreeMap::new(), served: None, accepted: 0 }
    }

    /// Takes a connection in, if it comes from the same user.
    pub fn accept(&mut self, stream: UnixStream) {
        let own = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == own => {}
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "refused a connection from another user");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "refused a connection whose user is not known");
                return;
            }
        }
        self.accepted += 1;
        let id = ConnectionId(self.accepted);
        let (read, write) = stream.into_split();
        let (lines, outgoing) = mpsc::channel(UNREAD_LINES);
        let reader = tokio::spawn(read_lines(id, read, self.inputs.clone())).abort_handle();
        let writer = Some(tokio::spawn(write_lines(write, outgoing)));
        self.open.insert(id, Connection { lines, reader, writer });
    }

    /// Whether a controller is there.
    pub fn is_served(&self) -> bool {
        self.served.is_some()
    }

    /// Whether this is the connection that is served.
    pub fn serves(&self, id: ConnectionId) -> bool {
        self.served == Some(id)
    }

    /// From now on this one is served, and older ones are closed with all that they have not been
    /// answered.
    pub fn serve(&mut self, id: ConnectionId) {
        if self.served.is_some_and(|served| id < served) {
            self.open.remove(&id);
            return;
        }
        self.served = Some(id);
        self.open.retain(|other, _| *other >= id);
    }

    /// A connection is gone.
    pub fn close(&mut self, id: ConnectionId) {
        self.open.remove(&id);
        if self.served == Some(id) {
            self.served = None;
        }
    }

    /// Sends to one connection. One that does not read is closed: it would miss something.
    pub fn send(&mut self, id: ConnectionId, message: &FromHost) {
        let Some(connection) = self.open.get(&id) else { return };
        let Ok(mut line) = serde_json::to_vec(message) else {
            tracing::error!("a reply cannot be written as JSON");
            return;
        };
        line.push(b'\n');
        if connection.lines.try_send(line).is_err() {
            self.close(id);
        }
    }

    /// Closes all connections once what was sent to them is on its way.
    pub async fn close_all(&mut self) {
        self.served = None;
        for (_, mut connection) in std::mem::take(&mut self.open) {
            let writer = connection.writer.take();
            drop(connection);
            if let Some(writer) = writer {
                // Who does not read their answer does not get it.
                let _unread = timeout(UNREAD_ANSWER, writer).await;
            }
        }
    }

    /// Sends to the one that is served, if there is one.
    pub fn tell(&mut self, message: &FromHost) {
        if let Some(id) = self.served {
            self.send(id, message);
        }
    }
}

async fn read_lines(id: ConnectionId, read: OwnedReadHalf, inputs: mpsc::Sender<Input>) {
    let mut reader = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        match (&mut reader).take(limit).read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                if inputs.send(Input::Line(id, line)).await.is_err() {
                    return;
                }
            }
            // The end, an error, or a line without one.
            _ => break,
        }
    }
    // Nobody is left to tell when the host ends.
    let _ending = inputs.send(Input::Closed(id)).await;
}

async fn write_lines(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if write.write_all(&line).await.is_err() {
            return;
        }
    }
}
