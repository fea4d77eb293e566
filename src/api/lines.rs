//! Streams of JSON, one object per line, with an empty line now and then as a sign of life.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde::{Serialize, de::DeserializeOwned};

use super::{ApiError, ErrorCode, connection::went_away, types::Failed};

/// After so long without news, the controller shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// After so long without a sign of life, a client gives up.
const SILENCE_BOUND: Duration = Duration::from_mins(1);

/// The longest line that is read.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Messages as lines. Ends after the first error, which is the last line.
pub(super) fn write<T: Serialize + Send + 'static>(
    messages: BoxStream<'static, Result<T, ApiError>>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    stream::unfold(Some(messages), |messages| async move {
        let mut messages = messages?;
        match tokio::time::timeout(HEARTBEAT, messages.next()).await {
            Err(_) => Some((Ok(Bytes::from_static(b"\n")), Some(messages))),
            Ok(None) => None,
            Ok(Some(Ok(message))) => match line(&message) {
                Ok(line) => Some((Ok(line), Some(messages))),
                Err(error) => Some((Ok(failed(error)), None)),
            },
            Ok(Some(Err(error))) => Some((Ok(failed(error)), None)),
        }
    })
}

fn line<T: Serialize>(message: &T) -> Result<Bytes, ApiError> {
    let mut text = serde_json::to_vec(message).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("an answer cannot be written as JSON: {error}"))
    })?;
    text.push(b'\n');
    Ok(text.into())
}

fn failed(error: ApiError) -> Bytes {
    line(&Failed { error }).unwrap_or_default()
}

struct Reader<T> {
    chunks: BoxStream<'static, Result<Vec<u8>, ApiError>>,
    socket: PathBuf,
    read: Vec<u8>,
    /// How many bytes of `read` are known to hold no end of a line.
    searched: usize,
    is_last: fn(&T) -> bool,
}

/// Lines as messages, up to the last one. A stream that ends without it is an error.
pub(super) fn read<T: DeserializeOwned + Send + 'static>(
    chunks: BoxStream<'static, Result<Vec<u8>, ApiError>>,
    socket: PathBuf,
    is_last: fn(&T) -> bool,
) -> BoxStream<'static, Result<T, ApiError>> {
    let reader = Reader { chunks, socket, read: Vec::new(), searched: 0, is_last };
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let message = reader.next().await;
        let goes_on = message.as_ref().is_ok_and(|message| !(reader.is_last)(message));
        Some((message, goes_on.then_some(reader)))
    })
    .boxed()
}

impl<T: DeserializeOwned> Reader<T> {
    async fn next(&mut self) -> Result<T, ApiError> {
        loop {
            while let Some(line) = self.line() {
                if !line.trim_ascii().is_empty() {
                    return parsed(&line);
                }
            }
            if self.read.len() > MAX_LINE_BYTES {
                return Err(ApiError::new(ErrorCode::Internal, "the controller's answer is too large"));
            }
            match tokio::time::timeout(SILENCE_BOUND, self.chunks.next()).await {
                Err(_) => return Err(silent(&self.socket)),
                Ok(None) => return Err(went_away(&self.socket, &"it ended early")),
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk?),
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let fresh = self.read.get(self.searched..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.read.len();
            return None;
        };
        let rest = self.read.split_off(self.searched + end + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.read, rest))
    }
}

fn parsed<T: DeserializeOwned>(line: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(line).map_err(|error| match serde_json::from_slice(line) {
        Ok(Failed { error }) => error,
        Err(_) => ApiError::new(
            ErrorCode::Internal,
            format!("a line of the controller's answer cannot be read: {error}"),
        ),
    })
}

fn silent(socket: &Path) -> ApiError {
    let message = format!(
        "the controller at {} gave no sign of life for {} s",
        socket.display(),
        SILENCE_BOUND.as_secs()
    );
    ApiError::new(ErrorCode::Unreachable, message).with_hint("`crewcall controller logs` shows its log")
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// Writes messages, cuts the bytes into pieces of `size`, and reads them again.
    async fn through(size: usize, messages: Vec<Result<u32, ApiError>>) -> Vec<Result<u32, ApiError>> {
        let bytes: Vec<Bytes> = write(stream::iter(messages).boxed()).try_collect().await.unwrap();
        let pieces: Vec<_> = bytes.concat().chunks(size).map(|piece| Ok(piece.to_vec())).collect();
        read(stream::iter(pieces).boxed(), PathBuf::from("/s"), |message| *message == 0).collect().await
    }

    #[tokio::test]
    async fn messages_arrive_whole_however_they_are_cut() {
        for size in 1..12 {
            let read = through(size, vec![Ok(1234), Ok(56), Ok(0)]).await;
            assert_eq!(read, [Ok(1234), Ok(56), Ok(0)]);
        }
    }

    #[tokio::test]
    async fn an_error_is_the_last_message() {
        let error = ApiError::new(ErrorCode::Refused, "no").with_hint("yes");
        assert_eq!(through(7, vec![Ok(1), Err(error.clone()), Ok(0)]).await, [Ok(1), Err(error)]);
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_says_so() {
        let read = through(7, vec![Ok(1)]).await;
        let [Ok(1), Err(error)] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(error.code, ErrorCode::Unreachable);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_the_one_and_noticed_by_the_other() {
        let mut lines = Box::pin(write(stream::pending::<Result<u32, ApiError>>().boxed()));
        assert_eq!(lines.next().await.unwrap().unwrap(), "\n");
        let silent = stream::pending().boxed();
        let read: Vec<_> = read::<u32>(silent, PathBuf::from("/s"), |_| false).collect().await;
        let [Err(error)] = read.as_slice() else { panic!("{read:?}") };
        assert!(error.message.contains("gave no sign of life for 60 s"), "{error}");
    }
}
