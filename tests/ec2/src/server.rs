//! The double behind a port: the services at `/`, what tests tell it at `/_control`.

use std::{
    io,
    net::{self, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    error::ApiError,
    session::{self, Gateway, path_of_session},
    state::{Cloud, Control, Effect},
    wire,
};

/// How often an idle double looks whether time has brought something about.
const TICK: Duration = Duration::from_millis(200);

/// What moves hosts. Effects come in their order; none may wait for what it brings about.
pub trait HostKeeper: Send + Sync + 'static {
    /// Brings an effect about.
    fn bring_about(&self, double: &Arc<Double>, effect: Effect);

    /// What the console of an instance says by now.
    fn console(&self, instance: &str) -> Option<Vec<u8>>;

    /// Ends an instance's host as a failing machine would: at once.
    fn kill(&self, double: &Arc<Double>, instance: &str);

    /// Connects, inside an instance, to one of its ports.
    fn connect(&self, instance: &str, port: u16) -> io::Result<net::TcpStream>;

    /// Has the next boots come to nothing.
    fn break_boots(&self, times: u32);
}

/// An account, its clock, and who moves its hosts.
pub struct Double {
    cloud: Mutex<Cloud>,
    clock: Mutex<Clock>,
    keeper: Option<Arc<dyn HostKeeper>>,
    gateway: Gateway,
}

/// Where time comes from: it starts at a moment and goes on with the machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: (Timestamp, Instant),
    /// How far the service's time is ahead of the machine's.
    ahead: SignedDuration,
    /// How wrong the clock is by which signatures are judged.
    skew: SignedDuration,
}

/// Whatever a thread that panicked left behind: tests want to see it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Double {
    /// A double whose time is `began` now.
    pub fn new(cloud: Cloud, began: Timestamp, keeper: Option<Arc<dyn HostKeeper>>) -> Arc<Self> {
        let clock =
            Clock { began: (began, Instant::now()), ahead: SignedDuration::ZERO, skew: SignedDuration::ZERO };
        Arc::new(Self {
            cloud: Mutex::new(cloud),
            clock: Mutex::new(clock),
            keeper,
            gateway: Gateway::default(),
        })
    }

    /// The channels of sessions.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Connects, inside an instance, to one of its ports. Imagined instances have this machine's.
    pub fn connect(&self, instance: &str, port: u16) -> io::Result<net::TcpStream> {
        match &self.keeper {
            Some(keeper) => keeper.connect(instance, port),
            None => net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        let clock = *locked(&self.clock);
        self.wall().checked_add(clock.ahead).unwrap_or(Timestamp::MAX)
    }

    fn wall(&self) -> Timestamp {
        let (timestamp, instant) = locked(&self.clock).began;
        let passed = SignedDuration::try_from(instant.elapsed()).unwrap_or(SignedDuration::ZERO);
        timestamp.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Does something with the account at the present time, then has its effects brought about.
    pub fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Cloud, Timestamp) -> T) -> T {
        let now = self.now();
        let mut cloud = locked(&self.cloud);
        let result = act(&mut cloud, now);
        cloud.advance(now);
        let effects = cloud.take_effects();
        // In their order: nobody else's come between.
        if let Some(keeper) = &self.keeper {
            for effect in effects {
                keeper.bring_about(self, effect);
            }
        }
        drop(cloud);
        result
    }

    /// Answers on this listener, until the future is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let ticking = Arc::clone(&self);
        let tick = async move {
            loop {
                tokio::time::sleep(TICK).await;
                ticking.with(|_, _| ());
            }
        };
        let accept = async {
            loop {
                if let Ok((stream, peer)) = listener.accept().await {
                    let double = Arc::clone(&self);
                    tokio::spawn(double.connection(TokioIo::new(stream), peer));
                }
            }
        };
        tokio::select! {
            () = tick => {}
            () = accept => {}
        }
    }

    async fn connection(self: Arc<Self>, stream: TokioIo<tokio::net::TcpStream>, peer: SocketAddr) {
        let service = service_fn(move |request| Arc::clone(&self).respond(request, peer));
        // A lost reply ends a connection with an error, and so do clients that go away.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(stream, service)
            .with_upgrades()
            .await;
    }

    async fn respond(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
    ) -> io::Result<Response<Full<Bytes>>> {
        if let Some(session) = path_of_session(request.uri().path()).map(str::to_owned) {
            return Ok(self.open_channel(session, request));
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if head.uri.path() == "/_echo" {
            // As services do that tell people their own address.
            return Ok(response(200, "text/plain", format!("{}\n", peer.ip())));
        }
        if let Some(verb) = head.uri.path().strip_prefix("/_control/") {
            return Ok(self.control(&head.method, verb, &body));
        }
        if let Some(keeper) = &self.keeper {
            self.listen_to_console(keeper.as_ref(), &body);
        }
        let wall = self.wall();
        let skew = locked(&self.clock).skew;
        let judged = wall.checked_add(skew).unwrap_or(wall);
        let header =
            |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let reply = self.with(|cloud, now| {
            wire::answer(cloud, &wire::Request { header: &header, body: &body }, now, judged)
        });
        match reply {
            wire::Reply::Answer { status, content_type, body, after } => {
                tokio::time::sleep(after).await;
                Ok(response(status, content_type, body))
            }
            // An answer that never comes: hyper closes the connection when its service fails.
            wire::Reply::Closed => Err(io::Error::other("the reply is lost, as was planned")),
        }
    }

    fn open_channel(
        self: Arc<Self>,
        session: String,
        request: hyper::Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
            return response(400, "text/plain", "channels are opened by web sockets\n".into());
        };
        let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        tokio::spawn(async move {
            if let Ok(connection) = hyper::upgrade::on(request).await {
                session::serve(self, session, connection).await;
            }
        });
        let mut response = response(101, "text/plain", String::new());
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accepted) = accepted {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
        }
        response
    }

    fn listen_to_console(self: &Arc<Self>, keeper: &dyn HostKeeper, body: &[u8]) {
        let parameters = crate::protocol::Parameters::of_form(body);
        if parameters.text("Action") == Some("GetConsoleOutput")
            && let Some(id) = parameters.text("InstanceId")
            && let Some(console) = keeper.console(id)
        {
            self.with(|cloud, _| cloud.host_said(id, console));
        }
    }

    fn control(self: &Arc<Self>, method: &Method, verb: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let answer = if method == Method::GET { self.tell(verb) } else { self.told(verb, body) };
        match answer {
            Ok(value) => response(200, "application/json", value.to_string()),
            Err(error) => response(error.status, "text/plain", format!("{error}\n")),
        }
    }

    fn tell(self: &Arc<Self>, verb: &str) -> Result<serde_json::Value, ApiError> {
        self.with(|cloud, _| match verb {
            "report" => Ok(cloud.report()),
            "calls" => Ok(serde_json::json!(cloud.count_calls())),
            "log" => Ok(serde_json::json!(cloud.calls())),
            "channels" => Ok(serde_json::json!(self.gateway.opened())),
            "leftovers" => Ok(serde_json::json!(cloud.leftovers())),
            _ => Err(ApiError::new("NotFound", format!("there is no {verb} to tell of")).status(404)),
        })
    }

    fn told(self: &Arc<Self>, verb: &str, body: &[u8]) -> Result<serde_json::Value, ApiError> {
        let unreadable = |error: serde_json::Error| ApiError::new("Unreadable", error.to_string());
        let given: serde_json::Value =
            serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(unreadable)?;
        let seconds = || {
            let number = given.get("seconds").and_then(serde_json::Value::as_f64);
            number
                .and_then(|number| SignedDuration::try_from_secs_f64(number).ok())
                .ok_or_else(|| ApiError::missing("seconds"))
        };
        match verb {
            "advance" => locked(&self.clock).ahead += seconds()?,
            "skew" => locked(&self.clock).skew = seconds()?,
            "cut-channels" => self.gateway.cut(),
            "forget-calls" => self.with(|cloud, _| cloud.forget_calls()),
            "broken-boots" => {
                let times = given.get("times").and_then(serde_json::Value::as_u64);
                let times = times
                    .and_then(|times| u32::try_from(times).ok())
                    .ok_or_else(|| ApiError::missing("times"))?;
                if let Some(keeper) = &self.keeper {
                    keeper.break_boots(times);
                }
            }
            "kill-host" => {
                let id = given.get("instance").and_then(serde_json::Value::as_str);
                let id = id.ok_or_else(|| ApiError::missing("instance"))?;
                match &self.keeper {
                    Some(keeper) => keeper.kill(self, id),
                    None => self.with(|cloud, _| cloud.host_ended(id)),
                }
            }
            _ => {
                let control: Control =
                    serde_json::from_value(serde_json::json!({verb: given})).map_err(unreadable)?;
                self.with(|cloud, now| cloud.control(control, now))?;
            }
        }
        self.with(|_, _| ());
        Ok(serde_json::json!({}))
    }
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
