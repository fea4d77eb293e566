//! Tests of a connection against peers that misbehave, over real TLS on loopback.

use std::net::SocketAddr;

use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    model::ClusterUid,
    security::{CertificateRole, ClusterAuthority, client_config, server_config, server_name},
};

/// What a peer does after the TLS handshake.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Hang,
    Close,
}

#[expect(clippy::disallowed_methods, reason = "rustls verifies against the machine's clock")]
fn authority(uid: &str) -> (ClusterUid, ClusterAuthority) {
    let uid = uid.parse().unwrap();
    let authority = ClusterAuthority::new(&uid, Duration::from_hours(1), Timestamp::now()).unwrap();
    (uid, authority)
}

fn credentials(of: &(ClusterUid, ClusterAuthority), role: CertificateRole) -> Credentials {
    Credentials {
        config: client_config(&of.1.issue(role, &[]).unwrap()).unwrap(),
        peer: server_name(CertificateRole::Scheduler, &of.0).unwrap(),
    }
}

/// A bound that is reached on purpose.
const SHORT: Duration = Duration::from_millis(300);

fn target(at: SocketAddr, credentials: Option<Credentials>) -> Target {
    let scheme = if credentials.is_some() { "tls" } else { "tcp" };
    let bounds = Bounds { connect: Duration::from_secs(15), call: SHORT };
    Target { address: format!("{scheme}://{at}").parse().unwrap(), credentials, bounds }
}

/// A scheduler that says `bytes` to the first who comes, whatever is asked.
async fn scripted(
    identity: &crate::security::Identity,
    bytes: Vec<u8>,
    then: Then,
) -> (SocketAddr, JoinHandle<()>) {
    let acceptor = TlsAcceptor::from(server_config(identity).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(tcp).await else { return };
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        if then == Then::Hang {
            std::future::pending::<()>().await;
        }
        // The client's last message must be taken first: the kernel resets a socket that is closed with unread bytes.
        let mut unread = [0; 1024];
        let _ = timeout(Duration::from_millis(100), stream.read(&mut unread)).await;
    });
    (at, task)
}

/// Connects to a scripted scheduler and calls `identity`; gives the error, and whether it came from connecting.
async fn failure(bytes: Vec<u8>, then: Then) -> (RpcError, &'static str) {
    let silent = bytes.is_empty() && then == Then::Hang;
    let ours = authority("00c0ffee00c0ffee");
    let scheduler = ours.1.issue(CertificateRole::Scheduler, &[]).unwrap();
    let (at, task) = scripted(&scheduler, bytes, then).await;
    let mut target = target(at, Some(credentials(&ours, CertificateRole::Controller)));
    if silent {
        // Long enough for the TLS handshake, which has the same bound.
        target.bounds.connect = Duration::from_secs(2);
    }
    let outcome = match Connection::open(&target).await {
        Err(error) => (error, "open"),
        Ok(mut connection) => {
            let error = connection.call("identity", vec![], target.bounds.call).await.unwrap_err();
            if !matches!(error, RpcError::Remote { .. } | RpcError::UnknownOp { .. }) {
                let again = connection.call("identity", vec![], target.bounds.call).await.unwrap_err();
                assert!(matches!(again, RpcError::Poisoned { .. }), "{again}");
            }
            (error, "call")
        }
    };
    task.abort();
    outcome
}

fn after_hello(bytes: &[u8]) -> Vec<u8> {
    [codec::encode(&codec::hello()), bytes.to_vec()].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[tokio::test]
async fn each_failure_says_what_was_waited_for() {
    let hello = codec::encode(&codec::hello());
    let lie = [words(&[25, 2, 1, 1 << 40]), vec![0xc0]].concat();
    let reserved = [words(&[17, 1, 1]), vec![0xc1]].concat();
    let cases = [
        (vec![], Then::Hang, "open", "did not answer within 2 s, while waiting for the Dask handshake"),
        (vec![], Then::Close, "open", "closed the connection while we waited for the Dask handshake"),
        (hello[..20].to_vec(), Then::Close, "open", "closed in the middle of a message"),
        (codec::encode(&"hi".into()), Then::Hang, "open", "the first message is not Dask's handshake"),
        (words(&[1 << 30]), Then::Hang, "open", "a message of 1073741824 bytes was announced"),
        (after_hello(&[]), Then::Hang, "call", "while waiting for the reply to identity"),
        (
            after_hello(&[]),
            Then::Close,
            "call",
            "closed the connection while we waited for the reply to identity",
        ),
        (after_hello(&words(&[100, 1, 84])), Then::Close, "call", "closed in the middle of a message"),
        (
            after_hello(&words(&[1 << 40])),
            Then::Hang,
            "call",
            "a message of 1099511627776 bytes was announced",
        ),
        (after_hello(&lie), Then::Hang, "call", "a message of 1099511627777 bytes was announced"),
        (after_hello(&words(&[16, u64::MAX, 0])), Then::Hang, "call", "frames announced in 16 bytes"),
        (after_hello(&reserved), Then::Hang, "call", "0xc1"),
    ];
    for (bytes, then, place, expected) in cases {
        let (error, came_from) = failure(bytes, then).await;
        assert!(error.to_string().contains(expected), "expected {expected:?}, got {error}");
        assert_eq!(came_from, place, "{error}");
    }
}

#[tokio::test]
async fn a_nil_reply_is_an_unknown_operation() {
    let (error, _) = failure(after_hello(&codec::encode(&Value::Nil)), Then::Hang).await;
    assert!(matches!(&error, RpcError::UnknownOp { op, .. } if op == "identity"), "{error}");
}

#[tokio::test]
async fn an_exception_keeps_its_text_and_the_connection() {
    let raised = Value::Map(vec![
        ("status".into(), "uncaught-error".into()),
        ("exception_text".into(), "KeyError('x')".into()),
        ("traceback_text".into(), "File scheduler.py".into()),
    ]);
    let replies = [codec::encode(&raised), codec::encode(&5.into())].concat();
    let ours = authority("00c0ffee00c0ffee");
    let scheduler = ours.1.issue(CertificateRole::Scheduler, &[]).unwrap();
    let (at, task) = scripted(&scheduler, after_hello(&replies), Then::Hang).await;
    let target = target(at, Some(credentials(&ours, CertificateRole::Controller)));
    let mut connection = Connection::open(&target).await.unwrap();
    let error = connection.call("get_metadata", vec![], target.bounds.call).await.unwrap_err();
    assert_eq!(error.to_string(), format!("get_metadata failed in {}: KeyError('x')", target.address));
    assert_eq!(connection.call("ncores", vec![], target.bounds.call).await.unwrap(), Value::from(5));
    task.abort();
}

#[tokio::test]
async fn a_dropped_call_poisons_the_connection() {
    let ours = authority("00c0ffee00c0ffee");
    let scheduler = ours.1.issue(CertificateRole::Scheduler, &[]).unwrap();
    let (at, task) = scripted(&scheduler, after_hello(&[]), Then::Hang).await;
    let target = target(at, Some(credentials(&ours, CertificateRole::Controller)));
    let mut connection = Connection::open(&target).await.unwrap();
    let call = connection.call("identity", vec![], Duration::from_mins(1));
    assert!(timeout(Duration::from_millis(20), call).await.is_err());
    let error = connection.call("identity", vec![], target.bounds.call).await.unwrap_err();
    let expected =
        format!("the connection to {} is unusable, since an earlier call on it did not finish", at_tls(at));
    assert_eq!(error.to_string(), expected);
    assert!(error.is_transient());
    task.abort();
}

fn at_tls(at: SocketAddr) -> String {
    format!("tls://{at}")
}

#[tokio::test]
async fn a_foreign_authority_is_named_on_both_sides() {
    let (ours, theirs) = (authority("00c0ffee00c0ffee"), authority("0123456789abcdef"));
    let scheduler = ours.1.issue(CertificateRole::Scheduler, &[]).unwrap();

    let (at, _task) = scripted(&scheduler, after_hello(&[]), Then::Hang).await;
    let mut foreign = credentials(&theirs, CertificateRole::Controller);
    foreign.peer = server_name(CertificateRole::Scheduler, &ours.0).unwrap();
    let error = Connection::open(&target(at, Some(foreign))).await.unwrap_err();
    let expected = "its certificate is not from this cluster's authority";
    assert_eq!(error.to_string(), format!("TLS with tls://{at} failed: {expected}"));
    assert!(!error.is_transient());

    let (at, _task) = scripted(&scheduler, after_hello(&[]), Then::Hang).await;
    let mut intruder = theirs.1.issue(CertificateRole::Controller, &[]).unwrap();
    intruder.ca.clone_from(&scheduler.ca);
    let intruder = Credentials {
        config: client_config(&intruder).unwrap(),
        peer: server_name(CertificateRole::Scheduler, &ours.0).unwrap(),
    };
    let error = Connection::open(&target(at, Some(intruder))).await.unwrap_err();
    let expected = "it does not accept our certificate, which is from another authority";
    assert_eq!(error.to_string(), format!("TLS with tls://{at} failed: {expected}"));
    assert!(error.hint().unwrap().contains("not one of this cluster's"));
}

#[tokio::test]
async fn only_a_scheduler_is_taken_for_a_scheduler() {
    let ours = authority("00c0ffee00c0ffee");
    let worker = ours.1.issue(CertificateRole::Worker, &[]).unwrap();
    let (at, _task) = scripted(&worker, after_hello(&[]), Then::Hang).await;
    let error = Connection::open(&target(at, Some(credentials(&ours, CertificateRole::Controller))))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("worker.00c0ffee00c0ffee.crewcall.internal"), "{text}");
    assert!(text.contains("and scheduler.00c0ffee00c0ffee.crewcall.internal was expected"), "{text}");
}

#[tokio::test]
async fn tls_and_plain_are_never_mixed_up() {
    let ours = authority("00c0ffee00c0ffee");
    let scheduler = ours.1.issue(CertificateRole::Scheduler, &[]).unwrap();
    let (at, _task) = scripted(&scheduler, after_hello(&[]), Then::Hang).await;
    let error = Connection::open(&target(at, None)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("tcp://{at} speaks TLS, and was addressed without"));

    // A plain server whose first bytes are no TLS record.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(&after_hello(&[])).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut target = target(at, Some(credentials(&ours, CertificateRole::Controller)));
    let error = Connection::open(&target).await.unwrap_err();
    assert_eq!(error.to_string(), format!("TLS with tls://{at} failed: it does not speak TLS"));
    target.address.transport = Transport::Tcp;
    let error = Connection::open(&target).await.unwrap_err();
    assert!(error.to_string().contains("it is not encrypted and a certificate is at hand"), "{error}");
    target = Target { credentials: None, ..target };
    target.address.transport = Transport::Tls;
    let error = Connection::open(&target).await.unwrap_err();
    assert!(error.to_string().contains("it asks for TLS and no certificate is at hand"), "{error}");
    plain.abort();
}

#[tokio::test]
async fn a_closed_port_is_told_from_a_silent_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let ours = authority("00c0ffee00c0ffee");
    let mut target = target(at, Some(credentials(&ours, CertificateRole::Controller)));
    target.bounds.connect = SHORT;
    // The kernel completes the TCP handshake of a socket that nobody accepts from.
    let error = Connection::open(&target).await.unwrap_err();
    let expected =
        "did not answer within 0.3 s, while waiting for the TLS handshake; the TCP connection stands";
    assert_eq!(error.to_string(), format!("tls://{at} {expected}"));
    drop(listener);
    let error = Connection::open(&target).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to tls://{at}: nothing listens there"));
}

#[tokio::test]
async fn the_kernel_watches_over_a_silent_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let tcp = dial(&address, Duration::from_secs(15)).await.unwrap();
    assert!(tcp.nodelay().unwrap());
    assert!(sockopt::socket_keepalive(&tcp).unwrap());
    assert_eq!(
        sockopt::tcp_keepidle(&tcp).unwrap() + sockopt::tcp_keepintvl(&tcp).unwrap() * PROBES,
        DEAD_AFTER
    );
    assert_eq!(sockopt::tcp_keepcnt(&tcp).unwrap(), PROBES);
    #[cfg(target_os = "linux")]
    assert_eq!(sockopt::tcp_user_timeout(&tcp).unwrap(), 30_000);
}
