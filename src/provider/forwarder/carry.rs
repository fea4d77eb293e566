//! Bytes between a client and its scheduler.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::end::End;

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// How many clients have yet to take what has come for them. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Untaken(Arc<AtomicUsize>);

/// One that has not, for as long as this lives.
struct Counted<'a>(&'a AtomicUsize);

impl Untaken {
    /// Whether there is one at this moment.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn count(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(&self.0)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries bytes, each direction to its end.
pub async fn join(local: impl AsyncRead + AsyncWrite, remote: TcpStream, untaken: &Untaken) -> End {
    let (mut local_read, mut local_write) = tokio::io::split(local);
    let (mut remote_read, mut remote_write) = remote.into_split();
    let cut = |error: io::Error| End::Cut(format!("the connection to the scheduler broke: {error}"));
    let there = async {
        pump(&mut local_read, &mut remote_write, None).await.map_err(|side| match side {
            Side::From(_) => End::Local,
            Side::To(error) => cut(error),
        })
    };
    let back = async {
        pump(&mut remote_read, &mut local_write, Some(untaken)).await.map_err(|side| match side {
            Side::From(error) => cut(error),
            Side::To(_) => End::Local,
        })
    };
    tokio::try_join!(there, back).map_or_else(|end| end, |_| End::Remote)
}

/// The side on which a direction broke.
enum Side {
    From(io::Error),
    To(io::Error),
}

/// Carries what comes; it counts in `untaken` while the other side has not taken it.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    untaken: Option<&Untaken>,
) -> Result<(), Side> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = from.read(&mut buffer).await.map_err(Side::From)?;
        if count == 0 {
            return to.shutdown().await.map_err(Side::To);
        }
        let _counted = untaken.map(Untaken::count);
        to.write_all(buffer.get(..count).unwrap_or_default()).await.map_err(Side::To)?;
    }
}
