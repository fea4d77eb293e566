//! One request over one connection, within bounds.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::RegistryError;
use crate::model::with_causes;

/// How long one request may take, from the connection to the answer's last byte.
const BOUND: Duration = Duration::from_secs(20);

/// A request, which never has a body.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Absolute.
    pub(super) uri: Uri,
    pub(super) accept: Option<&'static str>,
    pub(super) authorization: Option<HeaderValue>,
    /// Most bytes of an answer's body.
    pub(super) most: usize,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    /// What is asked, for a person.
    pub(super) fn described(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }

    fn registry(&self) -> String {
        self.uri.authority().map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn unexpected(&self, flaw: impl Into<String>) -> RegistryError {
        RegistryError::Unexpected { registry: self.registry(), asked: self.described(), flaw: flaw.into() }
    }
}

/// Trusts the authorities of this machine, or of `SSL_CERT_FILE`.
pub(super) fn trust() -> Result<Arc<ClientConfig>, RegistryError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let cause = if causes.is_empty() { "none was found".to_owned() } else { causes.join("; ") };
        return Err(RegistryError::NoAuthorities { cause });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistryError::NoAuthorities { cause: error.to_string() })?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// What a page of a few bytes says.
#[cfg(feature = "ec2")]
pub(in crate::provider) async fn text(uri: &Uri) -> Result<String, RegistryError> {
    let trust = if uri.scheme_str() == Some("http") { None } else { Some(trust()?) };
    let ask = Ask { method: Method::GET, uri: uri.clone(), accept: None, authorization: None, most: 1 << 12 };
    let answer = send(&ask, trust.as_ref()).await?;
    if answer.status != StatusCode::OK {
        return Err(ask.unexpected(format!("status {}", answer.status)));
    }
    Ok(String::from_utf8_lossy(&answer.body).trim().to_owned())
}

/// Asks once. Redirects are not followed.
pub(super) async fn send(ask: &Ask, trust: Option<&Arc<ClientConfig>>) -> Result<Answer, RegistryError> {
    let silent = |_| RegistryError::Silent {
        registry: ask.registry(),
        asked: ask.described(),
        seconds: BOUND.as_secs(),
    };
    tokio::time::timeout(BOUND, exchange(ask, trust)).await.map_err(silent)?
}

async fn exchange(ask: &Ask, trust: Option<&Arc<ClientConfig>>) -> Result<Answer, RegistryError> {
    let unreachable = |cause: String| RegistryError::Unreachable { registry: ask.registry(), cause };
    let host = ask.uri.host().ok_or_else(|| ask.unexpected("an address without a host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = ask.uri.port_u16().unwrap_or(if trust.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| unreachable(error.to_string()))?;
    match trust {
        None => talk(ask, stream).await,
        Some(config) => {
            let name =
                ServerName::try_from(bare.to_owned()).map_err(|error| unreachable(error.to_string()))?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            talk(ask, stream.map_err(|error| unreachable(format!("TLS: {error}")))?).await
        }
    }
}

async fn talk<S>(ask: &Ask, stream: S) -> Result<Answer, RegistryError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| RegistryError::Unreachable {
        registry: ask.registry(),
        cause: with_causes(&error),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(async move {
        // Whoever waits for the answer hears of the failure; nobody else needs to.
        let _ = connection.await;
    });
    let answered = async {
        let path = ask.uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(path)
            .header(header::HOST, ask.registry())
            .header(header::USER_AGENT, concat!("crewcall/", env!("CARGO_PKG_VERSION")));
        if let Some(accept) = ask.accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = &ask.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|error| ask.unexpected(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ask.most).collect().await;
        let body = body.map_err(|error| ask.unexpected(format!("its body: {error}")))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let answer = answered.await;
    connection.abort();
    answer
}
