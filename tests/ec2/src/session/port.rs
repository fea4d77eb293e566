//! A stream of a session, and the connection to the machine's port that it stands for.

use std::{io, net, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use crate::server::Double;

/// The most bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// What comes of a connection, with the number of its stream.
#[derive(Debug)]
pub(super) enum Event {
    /// The machine sent bytes.
    Data(u32, Bytes),
    /// The machine has ended it.
    Ended(u32),
    /// Nobody listens there.
    Refused(u32),
}

/// A connection. When it is dropped it takes what it was given to its end, and is closed.
#[derive(Debug)]
pub(super) struct Port {
    given: UnboundedSender<Bytes>,
    task: JoinHandle<()>,
}

impl Port {
    /// Connects, in the machine, to one of its own ports.
    pub(super) fn open(
        double: &Arc<Double>,
        instance: &str,
        port: u16,
        stream: u32,
        events: Sender<Event>,
    ) -> Self {
        let (given, taken) = unbounded_channel();
        let (double, instance) = (Arc::clone(double), instance.to_owned());
        let task = tokio::spawn(async move {
            let connected = tokio::task::spawn_blocking(move || double.connect(&instance, port)).await;
            let outcome = match connected.map_err(io::Error::other).flatten().and_then(usable) {
                Ok(connection) => carry(connection, taken, stream, &events).await,
                Err(_) => Some(Event::Refused(stream)),
            };
            if let Some(event) = outcome {
                // The session may have ended meanwhile.
                let _ = events.send(event).await;
            }
        });
        Self { given, task }
    }

    /// Bytes for the machine. Clients send at most a megabyte a second, so what is not taken yet is little.
    pub(super) fn give(&self, bytes: Bytes) {
        // A connection that has ended says so itself.
        let _ = self.given.send(bytes);
    }

    /// Ends it at once.
    pub(super) fn cut(&self) {
        self.task.abort();
    }
}

fn usable(connection: net::TcpStream) -> io::Result<TcpStream> {
    connection.set_nonblocking(true)?;
    TcpStream::from_std(connection)
}

/// Until either side ends: streams of smux have no half that stays open.
async fn carry(
    connection: TcpStream,
    taken: UnboundedReceiver<Bytes>,
    stream: u32,
    events: &Sender<Event>,
) -> Option<Event> {
    let (reader, writer) = connection.into_split();
    tokio::select! {
        () = read(reader, stream, events) => Some(Event::Ended(stream)),
        ended = write(writer, taken) => ended.is_err().then_some(Event::Ended(stream)),
    }
}

async fn read(mut reader: OwnedReadHalf, stream: u32, events: &Sender<Event>) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = reader.read(&mut piece).await {
        let bytes = Bytes::copy_from_slice(piece.get(..length).unwrap_or_default());
        if events.send(Event::Data(stream, bytes)).await.is_err() {
            return;
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut taken: UnboundedReceiver<Bytes>) -> io::Result<()> {
    while let Some(bytes) = taken.recv().await {
        writer.write_all(&bytes).await?;
    }
    writer.shutdown().await
}
