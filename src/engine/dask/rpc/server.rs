//! One connection to whoever poses as a nanny: handshake, then requests in turn until the peer has enough.

use std::{pin::pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    CodecError, NannyAnswer, NannyWish, codec,
    connection::HELLO_LIMIT,
    nanny::{self, Ask},
};

/// How long a peer may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Largest request accepted, in bytes: registering a plugin carries its pickle.
const REQUEST_LIMIT: u64 = 64 << 20;

/// Serves one connection of a nanny's, after TLS if there is any, until the peer closes it or, between two requests,
/// `ended` returns. `fulfil` is asked for one wish at a time.
///
/// # Errors
/// When the peer sends what is no message of Dask's, or nothing for 30 s at the beginning. The end of the
/// connection between two messages is none.
pub async fn serve_nanny<S, F>(
    mut stream: S,
    fulfil: impl Fn(NannyWish) -> F,
    ended: impl Future<Output = ()>,
) -> Result<(), CodecError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = NannyAnswer>,
{
    let handshake = async {
        codec::write(&mut stream, &codec::hello()).await?;
        codec::check_hello(&codec::read(&mut stream, HELLO_LIMIT).await?)
    };
    let late = || CodecError::Malformed(format!("no handshake within {} s", HANDSHAKE.as_secs()));
    timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(late()))?;
    let mut ended = pin!(ended);
    loop {
        let read = tokio::select! {
            biased;
            read = codec::read(&mut stream, REQUEST_LIMIT) => read,
            () = &mut ended => return Ok(()),
        };
        let message = match read {
            Err(CodecError::Closed) => return Ok(()),
            message => message?,
        };
        let request = nanny::understand(&message);
        drop(message);
        let answer = match request.ask {
            Ask::Known(answer) => answer,
            Ask::Wish(wish) => fulfil(wish).await.into_value(),
        };
        if request.reply {
            codec::write(&mut stream, &answer).await?;
        }
        if request.close {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use rmpv::Value;
    use tokio::io::duplex;

    use super::{super::fake::map, *};

    /// What a nanny that answers every wish with `answer` replies to these requests.
    async fn replies<const N: usize>(answer: NannyAnswer, requests: [Value; N]) -> Vec<Value> {
        let (mut ours, theirs) = duplex(1 << 16);
        let server = tokio::spawn(async move {
            let fulfil = |_| ready(answer.clone());
            serve_nanny(theirs, fulfil, pending()).await
        });
        codec::write(&mut ours, &codec::hello()).await.unwrap();
        codec::check_hello(&codec::read(&mut ours, 1 << 16).await.unwrap()).unwrap();
        let mut replies = Vec::new();
        for request in requests {
            codec::write(&mut ours, &request).await.unwrap();
            if codec::field(&request, "reply") != Some(&false.into()) {
                replies.push(codec::read(&mut ours, 1 << 16).await.unwrap());
            }
        }
        drop(ours);
        server.await.unwrap().unwrap();
        replies
    }

    #[tokio::test]
    async fn requests_of_one_connection_are_answered_in_turn() {
        let requests = [
            map([("op", "kill".into()), ("reply", true.into())]),
            map([("op", "identity".into()), ("reply", true.into())]),
            map([("op", "close".into()), ("reply", false.into())]),
        ];
        let replies = replies(NannyAnswer::Nothing, requests).await;
        assert_eq!(replies.len(), 2);
        assert_eq!(replies[0], Value::Nil);
        assert_eq!(codec::field(&replies[1], "type"), Some(&"Nanny".into()));
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_worker_once_what_was_asked_is_answered() {
        let (mut ours, theirs) = duplex(1 << 16);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let end = std::sync::Mutex::new(Some(end));
        let server = tokio::spawn(async move {
            let fulfil = |_| {
                drop(end.lock().unwrap().take());
                ready(NannyAnswer::Nothing)
            };
            serve_nanny(theirs, fulfil, async { drop(ended.await) }).await
        });
        codec::write(&mut ours, &codec::hello()).await.unwrap();
        codec::read(&mut ours, 1 << 16).await.unwrap();
        codec::write(&mut ours, &map([("op", "kill".into())])).await.unwrap();
        assert_eq!(codec::read(&mut ours, 1 << 16).await.unwrap(), Value::Nil);
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn whoever_does_not_speak_dask_is_let_go() {
        let (mut ours, theirs) = duplex(1 << 16);
        let server = tokio::spawn(serve_nanny(theirs, |_| ready(NannyAnswer::Nothing), pending()));
        codec::write(&mut ours, &map([("op", "kill".into())])).await.unwrap();
        assert!(matches!(server.await.unwrap(), Err(CodecError::Malformed(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_let_go_after_a_while() {
        let (_ours, theirs) = duplex(1 << 16);
        let served = serve_nanny(theirs, |_| ready(NannyAnswer::Nothing), pending()).await;
        assert!(served.unwrap_err().to_string().contains("no handshake within 30 s"));
    }
}
