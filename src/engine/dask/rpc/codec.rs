//! Messages as bytes: little-endian lengths around msgpack.
//!
//! A message is `L | blob of L bytes | frames`; the blob is `n | n lengths | frames`. Frames that do not fit in the blob
//! follow it raw (distributed 2024.1 and later; 2022.10 puts all into the blob). Only the first frame concerns a
//! controller: the others hold pickles, which are passed over without being kept.

use std::io;

use rmpv::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most frames in a message; the control plane never comes near.
pub const MAX_FRAMES: u64 = 65_536;
/// Deepest nesting of a value.
pub const MAX_DEPTH: usize = 64;
/// Most values in a message, map keys included: about twice the identity of 10,000 workers, 80 MB when decoded.
pub const MAX_VALUES: usize = 1 << 21;

/// Bytes that a message cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The end, where a message could have begun.
    #[error("the connection was closed between two messages")]
    Closed,
    /// The end inside a message.
    #[error("the connection was closed in the middle of a message")]
    Truncated,
    /// The peer answers in TLS to what was sent in plain.
    #[error("the peer speaks TLS")]
    SpeaksTls,
    /// More than is accepted; nothing was allocated for it.
    #[error("a message of {announced} bytes was announced; at most {limit} are accepted")]
    Oversized {
        /// What the peer announced.
        announced: u64,
        /// What is accepted.
        limit: u64,
    },
    /// Not Dask's format.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
}

fn malformed(why: impl Into<String>) -> CodecError {
    CodecError::Malformed(why.into())
}

fn cut(error: io::Error) -> CodecError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CodecError::Truncated,
        _ => CodecError::Io(error),
    }
}

/// Reads one message of at most `limit` bytes and gives the value of its first frame.
///
/// Not cancel-safe: after an error or a dropped future the connection cannot be used any more.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R, limit: u64) -> Result<Value, CodecError> {
    let prefix = read_prefix(from).await?;
    let blob_length = u64::from_le_bytes(prefix);
    if blob_length > limit {
        return Err(if is_tls_alert(prefix) {
            CodecError::SpeaksTls
        } else {
            CodecError::Oversized { announced: blob_length, limit }
        });
    }
    let mut blob = Vec::new();
    // A peer that lies about the length costs no memory.
    from.take(blob_length).read_to_end(&mut blob).await.map_err(cut)?;
    if blob.len() as u64 != blob_length {
        return Err(CodecError::Truncated);
    }
    let layout = Layout::parse(&blob, limit)?;
    let mut raw = from.take(layout.raw_bytes);
    let mut value = None;
    if layout.first_is_raw {
        let mut first = Vec::new();
        (&mut raw).take(layout.first_length).read_to_end(&mut first).await.map_err(cut)?;
        if first.len() as u64 != layout.first_length {
            return Err(CodecError::Truncated);
        }
        value = Some(unpack(&first)?);
    }
    tokio::io::copy(&mut raw, &mut tokio::io::sink()).await.map_err(cut)?;
    if raw.limit() > 0 {
        return Err(CodecError::Truncated);
    }
    value.map_or_else(|| unpack(layout.first), Ok)
}

async fn read_prefix<R: AsyncRead + Unpin>(from: &mut R) -> Result<[u8; 8], CodecError> {
    let mut prefix = [0; 8];
    let mut filled = 0;
    while let Some(rest) = prefix.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest).await {
            Ok(0) if filled == 0 => return Err(CodecError::Closed),
            Ok(0) if is_tls_alert(prefix) => return Err(CodecError::SpeaksTls),
            Ok(0) => return Err(CodecError::Truncated),
            Ok(n) => filled += n,
            // Python ends TLS without a close_notify.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && filled == 0 => {
                return Err(CodecError::Closed);
            }
            Err(e) => return Err(cut(e)),
        }
    }
    Ok(prefix)
}

/// Whether bytes that cannot be a length begin as a TLS alert does (RFC 8446, 5.1).
fn is_tls_alert(prefix: [u8; 8]) -> bool {
    matches!(prefix, [21, 3, 0..=4, ..])
}

/// Where the frames of a message are.
#[derive(Debug)]
struct Layout<'a> {
    /// The first frame; empty if it is not in the blob.
    first: &'a [u8],
    first_length: u64,
    first_is_raw: bool,
    /// Bytes that follow the blob.
    raw_bytes: u64,
}

impl<'a> Layout<'a> {
    fn parse(blob: &'a [u8], limit: u64) -> Result<Self, CodecError> {
        let (words, _) = blob.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let count = words.next().ok_or_else(|| malformed("too short to hold the number of its frames"))?;
        let absurd = || malformed(format!("{count} frames announced in {} bytes", blob.len()));
        if count == 0 || count > MAX_FRAMES {
            return Err(absurd());
        }
        let count = usize::try_from(count).map_err(|_| absurd())?;
        let body = blob.get((count + 1) * 8..).ok_or_else(absurd)?;
        let lengths: Vec<u64> = words.take(count).collect();
        let total = lengths.iter().try_fold(0u64, |sum, n| sum.checked_add(*n)).unwrap_or(u64::MAX);
        if total > limit {
            return Err(CodecError::Oversized { announced: total, limit });
        }
        // Frames are whole: the blob ends with one.
        let mut inside = 0;
        let mut remaining = lengths.iter();
        while inside < body.len() as u64 {
            inside += remaining.next().ok_or_else(|| malformed("bytes after the last frame"))?;
        }
        if inside > body.len() as u64 {
            return Err(malformed("a frame crosses the end of the blob"));
        }
        let first_length = lengths.first().copied().unwrap_or_default();
        let first_is_raw = body.is_empty() && first_length > 0;
        let first = usize::try_from(first_length).ok().and_then(|n| body.get(..n)).unwrap_or_default();
        Ok(Self { first, first_length, first_is_raw, raw_bytes: total - inside })
    }
}

/// Decodes one msgpack value that fills `bytes`.
fn unpack(bytes: &[u8]) -> Result<Value, CodecError> {
    let rest = survey(bytes)?;
    if rest != 0 {
        return Err(malformed(format!("{rest} bytes after the msgpack value")));
    }
    let mut reader = bytes;
    // Its own scale is finer than ours, which has been applied.
    rmpv::decode::read_value_with_max_depth(&mut reader, 4 * MAX_DEPTH).map_err(|e| malformed(e.to_string()))
}

/// Walks one value without building it and says how many bytes follow it. What is small on the wire can be large in
/// memory, and the decoder takes the reserved byte 0xc1 for nil, which would pass for "unknown operation".
fn survey(bytes: &[u8]) -> Result<usize, CodecError> {
    let mut rest = bytes;
    let mut values = 0usize;
    // Values still to come, for each open container.
    let mut open: Vec<u64> = vec![1];
    while let Some(remaining) = open.last_mut() {
        let Some(left) = remaining.checked_sub(1) else {
            open.pop();
            continue;
        };
        *remaining = left;
        values += 1;
        if values > MAX_VALUES {
            return Err(malformed(format!("more than {MAX_VALUES} values")));
        }
        let (skip, inner) = head(&mut rest)?;
        rest = usize::try_from(skip).ok().and_then(|n| rest.get(n..)).ok_or_else(ended)?;
        if inner > 0 {
            if open.len() > MAX_DEPTH {
                return Err(malformed(format!("nested deeper than {MAX_DEPTH}")));
            }
            open.push(inner);
        }
    }
    Ok(rest.len())
}

fn ended() -> CodecError {
    malformed("the msgpack value ends early")
}

/// Takes a value's marker and length: (bytes of its own that follow, values inside it).
fn head(rest: &mut &[u8]) -> Result<(u64, u64), CodecError> {
    let marker = u64::from(number(rest, 1)?);
    Ok(match marker {
        0x80..=0x8f => (0, (marker & 0x0f) * 2),
        0x90..=0x9f => (0, marker & 0x0f),
        0xa0..=0xbf => (marker & 0x1f, 0),
        0xc1 => return Err(malformed("the byte 0xc1, which msgpack reserves")),
        0xc4 | 0xd9 => (number(rest, 1)?.into(), 0),
        0xc5 | 0xda => (number(rest, 2)?.into(), 0),
        0xc6 | 0xdb => (number(rest, 4)?.into(), 0),
        0xc7 => (u64::from(number(rest, 1)?) + 1, 0),
        0xc8 => (u64::from(number(rest, 2)?) + 1, 0),
        0xc9 => (u64::from(number(rest, 4)?) + 1, 0),
        0xcc | 0xd0 => (1, 0),
        0xcd | 0xd1 | 0xd4 => (2, 0),
        0xd5 => (3, 0),
        0xca | 0xce | 0xd2 => (4, 0),
        0xd6 => (5, 0),
        0xcb | 0xcf | 0xd3 => (8, 0),
        0xd7 => (9, 0),
        0xd8 => (17, 0),
        0xdc => (0, number(rest, 2)?.into()),
        0xdd => (0, number(rest, 4)?.into()),
        0xde => (0, u64::from(number(rest, 2)?) * 2),
        0xdf => (0, u64::from(number(rest, 4)?) * 2),
        _ => (0, 0),
    })
}

/// Takes a big-endian number of `size` bytes, at most 4.
fn number(rest: &mut &[u8], size: usize) -> Result<u32, CodecError> {
    let (bytes, after) = rest.split_at_checked(size).ok_or_else(ended)?;
    *rest = after;
    Ok(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

/// A message of one frame.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = rmpv::encode::write_value(&mut body, value);
    let length = body.len() as u64;
    let mut message = Vec::with_capacity(24 + body.len());
    for word in [16 + length, 1, length] {
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.extend_from_slice(&body);
    message
}

/// Sends one message in one write: with TLS one record, without it no waiting for Nagle.
pub async fn write<W: AsyncWrite + Unpin>(to: &mut W, value: &Value) -> Result<(), CodecError> {
    to.write_all(&encode(value)).await.map_err(CodecError::Io)?;
    to.flush().await.map_err(CodecError::Io)
}

/// The value of a string key of a map.
pub fn field<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v)
}

/// What both sides send first. No compression: then none is used.
pub fn hello() -> Value {
    let python = Value::Array(vec![3.into(), 11.into(), 0.into()]);
    Value::Map(vec![
        ("compression".into(), Value::Nil),
        ("python".into(), python),
        ("pickle-protocol".into(), 4.into()),
    ])
}

/// Whether a first message is one that Dask sends.
pub fn check_hello(value: &Value) -> Result<(), CodecError> {
    match field(value, "pickle-protocol") {
        Some(_) => Ok(()),
        None => Err(malformed("the first message is not Dask's handshake")),
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
