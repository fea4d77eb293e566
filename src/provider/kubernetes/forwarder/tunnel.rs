//! One connection through the API server's port-forward.
//!
//! The API server passes web-socket messages through to the kubelet. Each begins with the number of a channel: 0 is
//! data, 1 is what went wrong, as text. The first message on each channel is the port. There is no way to end only
//! one direction, so that an end of ours is held back until the other side has had its chance to answer.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, stream::SplitSink};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::pulse::{LONGEST_SILENCE, NUDGE_INTERVAL, PING_INTERVAL, is_dead};
use crate::provider::forwarder::End;

/// The channel of the bytes themselves.
const DATA: u8 = 0;

/// The channel on which the kubelet says what went wrong. What is sent to it is ignored there.
const ERROR: u8 = 1;

/// Bytes of a message when there is much to send. The kubelet takes up to 32 MiB, and passes on 32 KiB at a time.
const LONGEST_MESSAGE: usize = 128 << 10;

/// Bytes that must be left of a buffer for it to be filled further instead of taking a new one.
const LEAST_ROOM: usize = 16 << 10;

/// How long the other side may be silent after the local side has ended, before that is passed on.
const LINGER: Duration = Duration::from_secs(1);

/// How long the other side may take to take its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Longest text of the error channel that is kept, in bytes.
const LONGEST_PROBLEM: usize = 4096;

/// What both directions know of a connection.
struct Shared<'a> {
    began: Instant,
    /// Milliseconds from the beginning to when something was last heard.
    heard: AtomicU64,
    /// Bytes sent since.
    unanswered: AtomicU64,
    /// Whether the local side is waited for, so that nothing can be heard.
    delivering: AtomicBool,
    /// Whether data has come.
    reached: AtomicBool,
    /// To be told when the first has.
    on_reached: &'a (dyn Fn() + Send + Sync),
}

impl Shared<'_> {
    fn reach(&self) {
        if !self.reached.swap(true, Ordering::Relaxed) {
            (self.on_reached)();
        }
    }

    fn hear(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(elapsed, Ordering::Relaxed);
        self.unanswered.store(0, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        if self.delivering.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.began.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    fn is_dead(&self) -> bool {
        is_dead(self.silence(), self.unanswered.load(Ordering::Relaxed))
    }

    /// The end of a connection that broke for `reason`.
    fn broken(&self, reason: String) -> End {
        if self.reached.load(Ordering::Relaxed) { End::Cut(reason) } else { End::Unreached(reason) }
    }
}

/// Carries bytes between `local` and the pod behind `socket` until either side ends. All that was read from one side
/// has been written to the other by then, unless that has gone. `on_reached` is called when the first bytes come from
/// the pod: until then nobody knows whether it listens.
pub async fn carry<L, W>(local: L, socket: W, on_reached: &(dyn Fn() + Send + Sync)) -> End
where
    L: AsyncRead + AsyncWrite,
    W: Sink<Message, Error = WebSocketError> + Stream<Item = Result<Message, WebSocketError>>,
{
    let shared = Shared {
        began: Instant::now(),
        heard: AtomicU64::new(0),
        unanswered: AtomicU64::new(0),
        delivering: AtomicBool::new(false),
        reached: AtomicBool::new(false),
        on_reached,
    };
    let (local_read, local_write) = tokio::io::split(local);
    let (mut sink, stream) = socket.split();
    let end = {
        let mut inbound = std::pin::pin!(deliver(local_write, stream, &shared));
        let outbound = std::pin::pin!(send(local_read, &mut sink, &shared));
        tokio::select! {
            end = &mut inbound => end,
            sent = outbound => match sent {
                Ok(()) => linger(inbound, &shared).await,
                Err(reason) => shared.broken(reason),
            },
        }
    };
    // Whether it is still heard is no matter any more.
    let _taken = timeout(FAREWELL, sink.close()).await;
    end
}

/// Waits for the other side's last words after the local side has ended.
async fn linger(mut inbound: std::pin::Pin<&mut impl Future<Output = End>>, shared: &Shared<'_>) -> End {
    shared.hear();
    loop {
        match timeout(LINGER, &mut inbound).await {
            // Whatever happens to a connection that the local side has ended is no cut.
            Ok(_) => return End::Local,
            Err(_) if shared.silence() >= LINGER => return End::Local,
            Err(_) => {}
        }
    }
}

/// From the local side to the pod, until the local side ends; signs of life are asked for meanwhile.
async fn send<W>(
    mut local: impl AsyncRead + Unpin,
    sink: &mut SplitSink<W, Message>,
    shared: &Shared<'_>,
) -> Result<(), String>
where
    W: Sink<Message, Error = WebSocketError>,
{
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut nudged = Instant::now();
    let mut buffer = BytesMut::new();
    loop {
        if buffer.is_empty() {
            if buffer.capacity() < LEAST_ROOM {
                buffer.reserve(LONGEST_MESSAGE);
            }
            buffer.put_u8(DATA);
        }
        tokio::select! {
            read = local.read_buf(&mut buffer) => match read {
                // The end, or the local side has gone without a word.
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => {
                    shared.unanswered.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
                    let message = buffer.split().freeze();
                    sink.send(Message::Binary(message)).await.map_err(|error| describe(&error))?;
                }
            },
            _ = ping.tick() => {
                if shared.is_dead() {
                    let minutes = LONGEST_SILENCE.as_secs() / 60;
                    return Err(format!("nothing was heard through the API server for {minutes} minutes"));
                }
                sink.send(Message::Ping(Bytes::new())).await.map_err(|error| describe(&error))?;
                if nudged.elapsed() >= NUDGE_INTERVAL {
                    nudged = Instant::now();
                    let nudge = Message::Binary(Bytes::from_static(&[ERROR]));
                    sink.send(nudge).await.map_err(|error| describe(&error))?;
                }
            }
        }
    }
}

/// From the pod to the local side, until the pod's side ends or the local side takes no more.
async fn deliver(
    mut local: impl AsyncWrite + Unpin,
    mut stream: impl Stream<Item = Result<Message, WebSocketError>> + Unpin,
    shared: &Shared<'_>,
) -> End {
    let mut greeted = [false; 2];
    let mut problem = BytesMut::new();
    let broken = loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => break Some(describe(&error)),
            None => break Some("the API server closed the connection".to_owned()),
        };
        shared.hear();
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break None,
            _ => continue,
        };
        let Some(channel) = bytes.first().copied() else { continue };
        bytes.advance(1);
        match greeted.get_mut(usize::from(channel)) {
            Some(greeted @ false) => *greeted = true,
            Some(true) if channel == DATA => {
                shared.reach();
                shared.delivering.store(true, Ordering::Relaxed);
                if local.write_all(&bytes).await.is_err() {
                    return End::Local;
                }
                shared.hear();
                shared.delivering.store(false, Ordering::Relaxed);
            }
            Some(true) => {
                let room = LONGEST_PROBLEM.saturating_sub(problem.len());
                problem.put_slice(bytes.get(..room).unwrap_or(&bytes));
            }
            None => tracing::debug!(channel, "a message on a channel that nobody asked for"),
        }
    };
    // The local side may have gone; then there is nobody to tell.
    let _gone = local.shutdown().await;
    match (problem.is_empty(), broken) {
        (false, _) => shared.broken(String::from_utf8_lossy(&problem).trim().to_owned()),
        (true, Some(reason)) => shared.broken(reason),
        (true, None) if shared.reached.load(Ordering::Relaxed) => End::Remote,
        (true, None) => End::Unreached("the pod closed the connection before it said anything".to_owned()),
    }
}

/// The kubelet closes properly, so that an end without a word is somebody's on the way.
fn describe(error: &WebSocketError) -> String {
    match error {
        WebSocketError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the API server, or something on the way to it, closed the connection".to_owned()
        }
        WebSocketError::Protocol(_) | WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => {
            "the API server, or something on the way to it, closed the connection".to_owned()
        }
        WebSocketError::Io(error) => format!("the connection to the API server broke: {error}"),
        other => format!("the connection to the API server broke: {other}"),
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
