//! One connection to a controller: HTTP/1.1 over a Unix socket.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Body, Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::{ApiError, ErrorCode};

/// How long a controller may take to accept a connection.
const CONNECT_BOUND: Duration = Duration::from_secs(5);

/// The largest answer that is read as a whole: thousands of clusters.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// The largest answer that says why there is none.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// A request: what, where, with which body.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Bytes,
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(super) fn post<T: Serialize>(path: impl Into<String>, body: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("the request cannot be written as JSON: {error}"))
        })?;
        Ok(Self { method: Method::POST, path: path.into(), body: body.into() })
    }

    fn describe(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An open connection, for one request after the other.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    socket: PathBuf,
}

impl Connection {
    /// Connects to the socket of a process of the same person.
    pub(super) async fn open(socket: &Path) -> Result<Self, ApiError> {
        let unreachable = |cause: String| {
            let message = format!("cannot reach the controller at {}: {cause}", socket.display());
            ApiError::new(ErrorCode::Unreachable, message)
        };
        let connected = async {
            let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
            let peer = stream.peer_cred().map_err(|error| error.to_string())?.uid();
            let own = rustix::process::geteuid().as_raw();
            if peer != own {
                return Err(format!("it belongs to the user with id {peer}, not to you ({own})"));
            }
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())
        };
        let (sender, connection) = tokio::time::timeout(CONNECT_BOUND, connected)
            .await
            .unwrap_or_else(|_| Err(format!("it accepted nothing for {} s", CONNECT_BOUND.as_secs())))
            .map_err(unreachable)?;
        tokio::spawn(async move {
            // Whoever waits for an answer hears of the failure; nobody else needs to.
            let _ = connection.await;
        });
        Ok(Self { sender, socket: socket.to_owned() })
    }

    /// The answer's head and body; an [`ApiError`] where the controller answered with one.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Response<Incoming>, ApiError> {
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(header::HOST, "controller")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(ask.body.clone()))
            .map_err(|error| {
                ApiError::new(ErrorCode::Invalid, format!("cannot ask for {}: {error}", ask.describe()))
            })?;
        let answered = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = answered.await.map_err(|error| went_away(&self.socket, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.whole(response, MAX_ERROR_BYTES).await?;
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| {
            let code = if status.as_u16() == 404 { ErrorCode::NotFound } else { ErrorCode::Internal };
            ApiError::new(code, format!("the controller answered {} with {status}", ask.describe()))
        }))
    }

    /// The whole answer, within a bound.
    pub(super) async fn fetch<T: DeserializeOwned>(
        &mut self,
        ask: &Ask,
        bound: Duration,
    ) -> Result<T, ApiError> {
        let fetched = async {
            let response = self.send(ask).await?;
            self.whole(response, MAX_ANSWER_BYTES).await
        };
        let body = tokio::time::timeout(bound, fetched).await.map_err(|_| {
            let message =
                format!("the controller did not answer {} within {} s", ask.describe(), bound.as_secs());
            ApiError::new(ErrorCode::Timeout, message).with_hint("`crewcall controller logs` shows its log")
        })??;
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the controller's answer to {} cannot be read: {error}", ask.describe());
            ApiError::new(ErrorCode::Internal, message)
        })
    }

    async fn whole(&self, response: Response<Incoming>, limit: usize) -> Result<Bytes, ApiError> {
        let body = response.into_body();
        if body.size_hint().lower() > limit as u64 {
            return Err(ApiError::new(ErrorCode::Internal, "the controller's answer is too large"));
        }
        let collected = Limited::new(body, limit).collect().await;
        Ok(collected.map_err(|error| went_away(&self.socket, &error))?.to_bytes())
    }
}

/// The connection broke before the answer was complete.
pub(super) fn went_away(socket: &Path, cause: &dyn std::fmt::Display) -> ApiError {
    let message =
        format!("the controller at {} went away before its answer was complete: {cause}", socket.display());
    ApiError::new(ErrorCode::Unreachable, message)
        .with_hint("clusters live on; run the command again, and a new controller takes them over")
}
