//! Who opens a channel, and the task that is the service and the agent of a session.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use super::{
    channel::{Channel, Heard},
    message::PayloadKind,
    port::{Event, Port},
    smux::{Command, Decoder, Frame},
};
use crate::{server::Double, state::Session};

/// What agents call themselves who carry several connections at once and leave idle sessions idle.
const AGENT_VERSION: &str = "3.3.2299.0";
/// The most bytes that agents put into a message.
const PIECE: usize = 1024;
/// How often a session looks whether it has ended and what is to be repeated.
const TICK: Duration = Duration::from_millis(100);
/// How long whoever opens a channel may take to show the token.
const TOKEN_WITHIN: Duration = Duration::from_secs(10);
/// Flags of the client and of the agent.
const TERMINATE: [u8; 4] = [0, 0, 0, 2];
const REFUSED: [u8; 4] = [0, 0, 0, 3];

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The channels that are open.
#[derive(Default)]
pub struct Gateway {
    /// By session; `None` cuts the connection.
    agents: Mutex<BTreeMap<String, UnboundedSender<Option<Socket>>>>,
    opened: AtomicU64,
}

/// The session whose channel is opened at a path.
pub fn path_of_session(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/data-channel/")
}

/// Lets somebody into a channel who shows the session's token.
pub async fn serve(double: Arc<Double>, id: String, connection: Upgraded) {
    let role = tungstenite::protocol::Role::Server;
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), role, None).await;
    let shown = tokio::time::timeout(TOKEN_WITHIN, socket.next()).await;
    let shown = match shown {
        Ok(Some(Ok(tungstenite::Message::Text(text)))) => {
            serde_json::from_str::<serde_json::Value>(&text).ok()
        }
        _ => None,
    };
    let shown = shown.as_ref().and_then(|shown| shown.get("TokenValue")).and_then(serde_json::Value::as_str);
    let session = double.with(|cloud, _| cloud.session(&id).cloned());
    match session.filter(|session| session.ended.is_none() && shown == Some(session.token.as_str())) {
        Some(session) => double.gateway().attach(&double, session, socket),
        None => drop(socket.close(None).await),
    }
}

impl Gateway {
    fn attach(&self, double: &Arc<Double>, session: Session, socket: Socket) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = agents.entry(session.id.clone()).or_insert_with(|| {
            let (sender, sockets) = unbounded_channel();
            tokio::spawn(Agent::new(Arc::clone(double), session).live(sockets));
            sender
        });
        // An agent that has ended says so to whoever asks for the session.
        let _ = agent.send(Some(socket));
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// How many channels were opened so far, those that resume a session too.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Cuts every connection, as networks do; the sessions go on.
    pub fn cut(&self) {
        for agent in self.agents.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = agent.send(None);
        }
    }
}

/// A session: it outlives its connection.
struct Agent {
    double: Arc<Double>,
    session: Session,
    channel: Channel,
    decoder: Decoder,
    ports: BTreeMap<u32, Port>,
    events: Sender<Event>,
    happened: Receiver<Event>,
    /// Whether data has gone through since the last tick.
    moved: bool,
    /// Whether the machine's agent is there. When it is not, nobody is told.
    connected: bool,
}

impl Agent {
    fn new(double: Arc<Double>, session: Session) -> Self {
        let (events, happened) = channel(16);
        Self {
            double,
            session,
            channel: Channel::default(),
            decoder: Decoder::default(),
            ports: BTreeMap::new(),
            events,
            happened,
            moved: false,
            connected: true,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.double.now().as_millisecond()).unwrap_or(0)
    }

    async fn live(mut self, mut sockets: UnboundedReceiver<Option<Socket>>) {
        let mut socket = None;
        let mut tick = tokio::time::interval(TICK);
        self.ask_for_the_handshake();
        loop {
            tokio::select! {
                given = sockets.recv() => {
                    socket = given.flatten();
                    self.channel.repeat_all(self.now());
                }
                message = next(&mut socket) => match message {
                    Some(tungstenite::Message::Binary(bytes)) => self.hear(&bytes),
                    Some(_) => {}
                    None => socket = None,
                },
                Some(event) = self.happened.recv(), if self.channel.has_room() => self.carry(event),
                _ = tick.tick() => {
                    if let Some(reason) = self.look() {
                        self.channel.close(&self.session.id, &reason, self.now());
                        self.send(&mut socket).await;
                        self.ports.values().for_each(Port::cut);
                        return;
                    }
                }
            }
            self.send(&mut socket).await;
        }
    }

    fn ask_for_the_handshake(&mut self) {
        let session = &self.session;
        let properties = serde_json::json!({
            "portNumber": session.port.to_string(), "localPortNumber": session.local_port.to_string(),
            "type": "LocalPortForwarding",
        });
        let request = serde_json::json!({
            "AgentVersion": AGENT_VERSION,
            "RequestedClientActions": [{
                "ActionType": "SessionType",
                "ActionParameters": {"SessionType": "Port", "Properties": properties},
            }],
        });
        self.say(PayloadKind::HandshakeRequest, Bytes::from(request.to_string()));
    }

    fn say(&mut self, kind: PayloadKind, payload: Bytes) {
        self.channel.say(kind, payload, self.now());
    }

    fn say_frame(&mut self, frame: &Frame) {
        let mut bytes = frame.encode();
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.say(PayloadKind::Data, piece);
        }
    }

    /// Why the session has ended, if it has.
    fn look(&mut self) -> Option<String> {
        let (id, target, moved) = (&self.session.id, &self.session.target, self.moved);
        let (connected, ended) = self.double.with(|cloud, _| {
            if moved {
                cloud.session_active(id);
            }
            (cloud.is_connected(target), cloud.session(id).and_then(|session| session.ended.clone()))
        });
        self.moved = false;
        self.connected = connected;
        if !connected {
            self.ports.values().for_each(Port::cut);
            self.ports.clear();
        }
        self.channel.repeat(self.now());
        ended
    }

    fn hear(&mut self, bytes: &Bytes) {
        if !self.connected {
            return;
        }
        match self.channel.hear(bytes, self.now()) {
            Ok(heard) => heard.iter().for_each(|heard| self.understand(heard)),
            Err(error) => eprintln!("{}: {error}", self.session.id),
        }
    }

    fn understand(&mut self, heard: &Heard) {
        match heard.kind {
            PayloadKind::HandshakeResponse => {
                let complete = r#"{"HandshakeTimeToComplete":1000000,"CustomerMessage":""}"#;
                self.say(PayloadKind::HandshakeComplete, Bytes::from_static(complete.as_bytes()));
            }
            PayloadKind::Data => {
                self.moved = true;
                self.decoder.add(&heard.payload);
                loop {
                    match self.decoder.next_frame() {
                        Ok(Some(frame)) => self.obey(frame),
                        Ok(None) => return,
                        Err(error) => return self.end(&error.to_string()),
                    }
                }
            }
            PayloadKind::Flag if *heard.payload == TERMINATE => self.end("terminated by the client"),
            _ => {}
        }
    }

    fn end(&self, reason: &str) {
        self.double.with(|cloud, _| cloud.end_session(&self.session.id, reason));
    }

    fn obey(&mut self, frame: Frame) {
        let (target, port, stream) = (&self.session.target, self.session.port, frame.stream);
        match frame.command {
            Command::Open => {
                let opened = Port::open(&self.double, target, port, stream, self.events.clone());
                self.ports.insert(stream, opened);
            }
            Command::Data => {
                if let Some(port) = self.ports.get(&stream) {
                    port.give(frame.data);
                }
            }
            Command::End => drop(self.ports.remove(&stream)),
            Command::Nothing => {}
        }
    }

    fn carry(&mut self, event: Event) {
        let (Event::Data(stream, _) | Event::Ended(stream) | Event::Refused(stream)) = event;
        if !self.connected || !self.ports.contains_key(&stream) {
            return;
        }
        self.moved = true;
        if let Event::Data(stream, data) = event {
            return self.say_frame(&Frame { command: Command::Data, stream, data });
        }
        self.ports.remove(&stream);
        self.say_frame(&Frame::bare(Command::End, stream));
        if matches!(event, Event::Refused(_)) {
            self.say(PayloadKind::Flag, Bytes::from_static(&REFUSED));
        }
    }

    /// Sends what is to be sent. Nothing is lost where there is no connection: it is repeated on the next.
    async fn send(&mut self, socket: &mut Option<Socket>) {
        let Some(open) = socket else { return };
        for message in self.channel.take_outgoing() {
            if open.feed(tungstenite::Message::Binary(message)).await.is_err() {
                *socket = None;
                return;
            }
        }
        if open.flush().await.is_err() {
            *socket = None;
        }
    }
}

/// The next message; `None` when the connection has ended, never where there is none.
async fn next(socket: &mut Option<Socket>) -> Option<tungstenite::Message> {
    match socket {
        Some(socket) => socket.next().await.and_then(Result::ok),
        None => pending().await,
    }
}
