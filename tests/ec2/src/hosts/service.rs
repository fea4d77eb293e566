//! The metadata service behind its address.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header::HeaderValue, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    metadata::{Metadata, Question},
    server::Double,
};

/// Answers hosts on this listener, until the future is dropped.
pub async fn serve_metadata(double: Arc<Double>, listener: TcpListener) {
    let metadata = Arc::new(Mutex::new(Metadata::default()));
    loop {
        let Ok((stream, SocketAddr::V4(peer))) = listener.accept().await else { continue };
        let source = *peer.ip();
        let hops = double.with(|cloud, _| {
            let asks = cloud.instances().find(|instance| instance.lives() && instance.private_ip == source);
            asks.map(|instance| instance.metadata.hop_limit)
        });
        tokio::spawn(connection(Arc::clone(&double), Arc::clone(&metadata), stream, source, hops));
    }
}

async fn connection(
    double: Arc<Double>,
    metadata: Arc<Mutex<Metadata>>,
    stream: TcpStream,
    source: Ipv4Addr,
    hops: Option<u32>,
) {
    // An answer that would be routed further than allowed never arrives.
    let _ = stream.set_ttl(hops.unwrap_or(1));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = respond(&double, &metadata, source, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    // Hosts go away without a word.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn respond(
    double: &Arc<Double>,
    metadata: &Mutex<Metadata>,
    source: Ipv4Addr,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let question = Question {
        method: request.method().as_str(),
        path: request.uri().path(),
        token: header("x-aws-ec2-metadata-token"),
        seconds: header("x-aws-ec2-metadata-token-ttl-seconds"),
        forwarded: header("x-forwarded-for").is_some(),
    };
    let mut metadata = metadata.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = double.with(|cloud, now| metadata.answer(cloud, source, &question, now));
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert("server", HeaderValue::from_static("EC2ws"));
    if let Some(seconds) = answer.seconds {
        headers.insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from(seconds));
    }
    response
}
