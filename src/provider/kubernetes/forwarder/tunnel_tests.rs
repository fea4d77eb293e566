//! A connection to a kubelet that is played by the test.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{
    io::{DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use super::*;

const PORT: [u8; 2] = 8786_u16.to_le_bytes();

/// A tunnel with both of its ends.
struct Stage {
    local: DuplexStream,
    kubelet: WebSocketStream<DuplexStream>,
    tunnel: JoinHandle<End>,
    reached: Arc<AtomicUsize>,
}

impl Stage {
    async fn new() -> Self {
        let (local, near) = duplex(4 << 10);
        let (ours, theirs) = duplex(4 << 10);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let tunnel = tokio::spawn(async move {
            carry(near, socket, &|| {
                count.fetch_add(1, Ordering::Relaxed);
            })
            .await
        });
        let mut kubelet = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        for channel in [DATA, ERROR] {
            kubelet.send(message(channel, &PORT)).await.unwrap();
        }
        Self { local, kubelet, tunnel, reached }
    }

    /// The next bytes from the local side, or the word with which it ends.
    async fn next(&mut self) -> Message {
        loop {
            match self.kubelet.next().await.unwrap().unwrap() {
                Message::Ping(_) => self.kubelet.flush().await.unwrap(),
                other => return other,
            }
        }
    }
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    Message::Binary([&[channel], bytes].concat().into())
}

#[tokio::test]
async fn bytes_travel_both_ways_at_once_however_small_the_buffers() {
    const COUNT: usize = 3 << 20;
    let stage = Stage::new().await;
    let (mut local_read, mut local_write) = tokio::io::split(stage.local);
    let (mut to_us, mut from_us) = stage.kubelet.split();
    let pattern = |count: usize| (0..count).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>();
    let write = async { local_write.write_all(&pattern(COUNT)).await.unwrap() };
    let take = async {
        let mut taken = Vec::new();
        while taken.len() < COUNT {
            if let Message::Binary(bytes) = from_us.next().await.unwrap().unwrap() {
                assert_eq!(bytes[0], DATA);
                taken.extend_from_slice(&bytes[1..]);
            }
        }
        taken
    };
    let send = async {
        for piece in pattern(COUNT).chunks(32 << 10) {
            to_us.send(message(DATA, piece)).await.unwrap();
        }
    };
    let mut read = vec![0; COUNT];
    let ((), taken, (), _) = tokio::join!(write, take, send, local_read.read_exact(&mut read));
    assert!(taken == pattern(COUNT) && read == pattern(COUNT));
    assert_eq!(stage.reached.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_the_pod_are_heard_after_the_local_side_has_ended() {
    let mut stage = Stage::new().await;
    stage.local.write_all(b"last question").await.unwrap();
    stage.local.shutdown().await.unwrap();
    assert_eq!(stage.next().await, message(DATA, b"last question"));
    for word in [b"the ", b"last", b"word"] {
        sleep(LINGER / 2).await;
        stage.kubelet.send(message(DATA, word)).await.unwrap();
    }
    let mut heard = [0; 12];
    stage.local.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"the lastword");
    assert!(stage.next().await.is_close());
    assert_eq!(stage.tunnel.await.unwrap(), End::Local);
}

#[tokio::test]
async fn what_the_pod_has_sent_arrives_before_its_end() {
    let mut stage = Stage::new().await;
    stage.kubelet.send(message(DATA, &[7; 64 << 10])).await.unwrap();
    let close = async { stage.kubelet.close(None).await.unwrap() };
    let mut heard = Vec::new();
    let (_, ()) = tokio::join!(stage.local.read_to_end(&mut heard), close);
    assert_eq!(heard.len(), 64 << 10);
    assert_eq!(stage.tunnel.await.unwrap(), End::Remote);
}

#[tokio::test]
async fn the_kubelets_reason_is_passed_on() {
    let mut stage = Stage::new().await;
    stage.kubelet.send(message(ERROR, b"connect: connection refused\n")).await.unwrap();
    stage.kubelet.close(None).await.unwrap();
    let refused = End::Unreached("connect: connection refused".to_owned());
    assert_eq!(stage.tunnel.await.unwrap(), refused);
    assert_eq!(stage.reached.load(Ordering::Relaxed), 0);

    let mut stage = Stage::new().await;
    stage.kubelet.send(message(DATA, b"hello")).await.unwrap();
    stage.kubelet.send(message(ERROR, b"connection reset by peer")).await.unwrap();
    stage.kubelet.close(None).await.unwrap();
    assert_eq!(stage.tunnel.await.unwrap(), End::Cut("connection reset by peer".to_owned()));
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_was_cut() {
    let mut stage = Stage::new().await;
    stage.kubelet.send(message(DATA, b"hello")).await.unwrap();
    let mut heard = [0; 5];
    stage.local.read_exact(&mut heard).await.unwrap();
    drop(stage.kubelet);
    let reason = "the API server, or something on the way to it, closed the connection";
    assert_eq!(stage.tunnel.await.unwrap(), End::Cut(reason.to_owned()));
    assert_eq!(stage.local.read(&mut heard).await.unwrap(), 0, "the local side learns of it");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_open_by_signs_of_life() {
    let mut stage = Stage::new().await;
    let (mut pings, mut nudges) = (0, 0);
    let a_day = Instant::now() + Duration::from_hours(24);
    while Instant::now() < a_day {
        match stage.kubelet.next().await.unwrap().unwrap() {
            Message::Ping(_) => {
                pings += 1;
                stage.kubelet.flush().await.unwrap();
            }
            nudge => {
                assert_eq!(nudge, message(ERROR, b""));
                nudges += 1;
            }
        }
    }
    assert!(pings >= 24 * 60 * 3 - 1, "{pings}");
    assert!((24 * 10..=24 * 12).contains(&nudges), "{nudges}");
    assert!(!stage.tunnel.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_heard_is_given_up() {
    let mut stage = Stage::new().await;
    stage.kubelet.send(message(DATA, b"hello")).await.unwrap();
    let began = Instant::now();
    let silent = tokio::spawn(async move {
        // It takes everything, and says nothing: a kubelet answers pings by itself, this is a dead path.
        let mut raw = stage.kubelet.into_inner();
        tokio::io::copy(&mut raw, &mut tokio::io::sink()).await
    });
    let end = stage.tunnel.await.unwrap();
    assert_eq!(end, End::Cut("nothing was heard through the API server for 5 minutes".to_owned()));
    assert!(began.elapsed() < LONGEST_SILENCE + 2 * PING_INTERVAL);
    silent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_local_side_that_does_not_read_for_an_hour_is_waited_for() {
    let mut stage = Stage::new().await;
    // More than all buffers on the way take.
    let send = tokio::spawn(async move {
        for _ in 0..64 {
            stage.kubelet.send(message(DATA, &[1; 4 << 10])).await.unwrap();
        }
        while stage.kubelet.next().await.is_some_and(|next| next.is_ok()) {}
    });
    sleep(Duration::from_hours(1)).await;
    assert!(!stage.tunnel.is_finished());
    let mut heard = vec![0; 256 << 10];
    stage.local.read_exact(&mut heard).await.unwrap();
    drop(stage.local);
    assert_eq!(stage.tunnel.await.unwrap(), End::Local);
    send.await.unwrap();
}
