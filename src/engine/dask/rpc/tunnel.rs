//! A connection that its peer carries on to its own dashboard.

use std::{io, time::Duration};

use rmpv::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::timeout,
};

use super::{Awaited, CodecError, DaskAddress, RpcError, codec, connection::Stream};

/// The operation of the preload that makes a tunnel of a connection.
pub(super) const OPERATION: &str = "crewcall_tunnel";

/// Most bytes in one message, as the preload has it.
const PIECE: usize = 64 << 10;

/// Largest message accepted, in bytes: a piece with all that is around it.
const LIMIT: u64 = 2 * (PIECE as u64);

/// How long the peer may take to end its direction once the local side has ended, and to take its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bytes both ways between whoever carries them and the dashboard of a scheduler. Within it TLS is to be spoken as with
/// that port itself.
pub struct Tunnel {
    pub(super) stream: Box<dyn Stream>,
    pub(super) peer: DaskAddress,
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum TunnelEnd {
    /// The local side ended it, or went away.
    Local,
    /// The dashboard ended it.
    Remote,
    /// It broke.
    Cut(RpcError),
}

impl Tunnel {
    /// Carries bytes between `local` and the dashboard until either ends. What was read from one side has been written
    /// to the other by then, unless that has gone.
    pub async fn carry<L: AsyncRead + AsyncWrite>(self, local: L) -> TunnelEnd {
        let (mut remote_read, mut remote_write) = tokio::io::split(self.stream);
        let (local_read, local_write) = tokio::io::split(local);
        let cut = |error| TunnelEnd::Cut(RpcError::from_codec(error, &self.peer, Awaited::Dashboard));
        let end = {
            let mut inbound = std::pin::pin!(deliver(&mut remote_read, local_write));
            let outbound = std::pin::pin!(send(local_read, &mut remote_write));
            tokio::select! {
                end = &mut inbound => end.unwrap_or_else(cut),
                sent = outbound => match sent {
                    Ok(()) => {
                        // However it ends now, the local side has ended it.
                        let _last_words = timeout(FAREWELL, inbound).await;
                        TunnelEnd::Local
                    }
                    Err(error) => cut(error),
                },
            }
        };
        let _taken = timeout(FAREWELL, remote_write.shutdown()).await;
        end
    }
}

/// From the local side to the peer, until the local side ends or has gone.
async fn send<L: AsyncRead>(
    mut local: ReadHalf<L>,
    remote: &mut WriteHalf<Box<dyn Stream>>,
) -> Result<(), CodecError> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = local.read(&mut buffer).await.unwrap_or(0);
        let piece = buffer.get(..count).unwrap_or_default().to_vec();
        codec::write(remote, &Value::Binary(piece)).await?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// From the peer to the local side, until the peer says that its direction ends or the local side takes no more.
async fn deliver<L: AsyncWrite>(
    remote: &mut ReadHalf<Box<dyn Stream>>,
    mut local: WriteHalf<L>,
) -> Result<TunnelEnd, CodecError> {
    let outcome = loop {
        match codec::read(remote, LIMIT).await {
            Ok(Value::Binary(piece)) if piece.is_empty() => break Ok(TunnelEnd::Remote),
            Ok(Value::Binary(piece)) => {
                if local.write_all(&piece).await.is_err() {
                    break Ok(TunnelEnd::Local);
                }
            }
            Ok(_) => break Err(CodecError::Malformed("it is no piece of bytes".to_owned())),
            Err(error) => break Err(error),
        }
    };
    // The local side may have gone; then there is nobody to tell.
    let _gone: io::Result<()> = local.shutdown().await;
    outcome
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

    use super::*;

    /// A tunnel with both of its ends.
    struct Stage {
        local: DuplexStream,
        preload: DuplexStream,
        tunnel: JoinHandle<TunnelEnd>,
    }

    impl Stage {
        fn new() -> Self {
            let (local, near) = duplex(4 << 10);
            let (ours, preload) = duplex(4 << 10);
            let peer = "tls://192.0.2.1:8786".parse().unwrap();
            let tunnel = Tunnel { stream: Box::new(ours), peer };
            Self { local, preload, tunnel: tokio::spawn(tunnel.carry(near)) }
        }

        async fn say(&mut self, bytes: &[u8]) {
            codec::write(&mut self.preload, &Value::Binary(bytes.to_vec())).await.unwrap();
        }

        async fn hear(&mut self) -> Vec<u8> {
            match codec::read(&mut self.preload, LIMIT).await.unwrap() {
                Value::Binary(bytes) => bytes,
                other => panic!("{other}"),
            }
        }
    }

    #[tokio::test]
    async fn bytes_travel_both_ways_at_once_however_small_the_buffers() {
        const COUNT: usize = 1 << 20;
        let stage = Stage::new();
        let (mut local_read, mut local_write) = tokio::io::split(stage.local);
        let (mut from_us, mut to_us) = tokio::io::split(stage.preload);
        let pattern: Vec<u8> = (0..COUNT).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let write = async { local_write.write_all(&pattern).await.unwrap() };
        let take = async {
            let mut taken = Vec::new();
            while taken.len() < COUNT {
                match codec::read(&mut from_us, LIMIT).await.unwrap() {
                    Value::Binary(piece) => taken.extend_from_slice(&piece),
                    other => panic!("{other}"),
                }
            }
            taken
        };
        let send = async {
            for piece in pattern.chunks(PIECE) {
                codec::write(&mut to_us, &Value::Binary(piece.to_vec())).await.unwrap();
            }
        };
        let mut read = vec![0; COUNT];
        let ((), taken, (), _) = tokio::join!(write, take, send, local_read.read_exact(&mut read));
        assert!(taken == pattern && read == pattern);
    }

    #[tokio::test]
    async fn the_dashboards_last_words_are_heard_after_the_local_side_has_ended() {
        let mut stage = Stage::new();
        stage.local.write_all(b"last question").await.unwrap();
        stage.local.shutdown().await.unwrap();
        assert_eq!(stage.hear().await, b"last question");
        assert_eq!(stage.hear().await, b"");
        stage.say(b"answer").await;
        stage.say(b"").await;
        let mut heard = Vec::new();
        stage.local.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
        assert!(matches!(stage.tunnel.await.unwrap(), TunnelEnd::Local));
    }

    #[tokio::test]
    async fn the_end_of_the_dashboard_is_told_to_the_local_side() {
        let mut stage = Stage::new();
        stage.say(b"bye").await;
        stage.say(b"").await;
        let mut heard = Vec::new();
        stage.local.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"bye");
        assert!(matches!(stage.tunnel.await.unwrap(), TunnelEnd::Remote));
        assert_eq!(stage.preload.read(&mut [0]).await.unwrap(), 0, "the connection is ended");
    }

    #[tokio::test]
    async fn a_scheduler_that_goes_without_a_word_cuts_it() {
        let mut stage = Stage::new();
        stage.say(b"hello").await;
        drop(stage.preload);
        let mut heard = Vec::new();
        stage.local.read_to_end(&mut heard).await.unwrap();
        let TunnelEnd::Cut(error) = stage.tunnel.await.unwrap() else { panic!("it was not cut") };
        assert_eq!(
            error.to_string(),
            "tls://192.0.2.1:8786 closed the connection while we waited for the dashboard's bytes"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_dashboard_that_does_not_end_is_left_after_a_while() {
        let mut stage = Stage::new();
        stage.local.shutdown().await.unwrap();
        assert_eq!(stage.hear().await, b"");
        assert!(matches!(stage.tunnel.await.unwrap(), TunnelEnd::Local));
    }
}
