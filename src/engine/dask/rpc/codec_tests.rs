//! Tests of the codec: what is written is read, and what is not ours costs nothing.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn one_frame(body: &[u8]) -> Vec<u8> {
    let length = body.len() as u64;
    [words(&[16 + length, 1, length]), body.to_vec()].concat()
}

/// Gives `bytes`, then zeros for ever; counts what was taken.
struct Endless {
    bytes: Vec<u8>,
    taken: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = self.taken;
        for _ in 0..into.remaining() {
            let byte = self.bytes.get(self.taken).copied().unwrap_or(0);
            into.put_slice(&[byte]);
            self.taken += 1;
        }
        assert!(self.taken > start || into.remaining() == 0);
        Poll::Ready(Ok(()))
    }
}

fn read_all(bytes: &[u8], limit: u64) -> Result<Value, CodecError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read(&mut &*bytes, limit))
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Map(pairs) => pairs.iter().map(|(k, v)| count(k) + count(v)).sum(),
        _ => 0,
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
        (any::<i8>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, data)| Value::Ext(kind, data)),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            proptest::collection::vec((inner.clone(), inner), 0..20).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in any_value()) {
        prop_assert_eq!(read_all(&encode(&value), 1 << 20).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_the_limit(
        head in proptest::collection::vec(prop_oneof![0u64..64, any::<u64>()], 0..6),
        tail in proptest::collection::vec(any::<u8>(), 0..400),
        limit in 0u64..4096,
    ) {
        let bytes = [words(&head), tail].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut endless = Endless { bytes, taken: 0 };
        let outcome = runtime.block_on(read(&mut endless, limit));
        // The length itself, the blob, and the frames after it.
        prop_assert!(endless.taken as u64 <= 8 + 2 * limit, "{} bytes taken: {outcome:?}", endless.taken);
        if let Ok(value) = outcome {
            prop_assert!(count(&value) as u64 <= limit);
        }
    }

    #[test]
    fn random_msgpack_is_walked_exactly_as_it_is_decoded(body in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut reader = body.as_slice();
        if let (Ok(rest), Ok(_)) = (survey(&body), rmpv::decode::read_value(&mut reader)) {
            prop_assert_eq!(rest, reader.len());
        }
        let _ = read_all(&one_frame(&body), 4096);
    }

    #[test]
    fn a_cut_message_is_never_taken_for_a_whole_one(value in any_value(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&value);
        let cut = bytes.get(..at.index(bytes.len())).unwrap();
        let expected = if cut.is_empty() { "between two messages" } else { "in the middle of a message" };
        prop_assert!(read_all(cut, 1 << 20).unwrap_err().to_string().contains(expected));
    }
}

#[test]
fn the_handshake_and_a_call_have_the_bytes_that_distributed_sends() {
    // As captured from distributed.
    let hello = [words(&[58, 1, 42]), b"\x83\xabcompression\xc0\xa6python\x93\x03\x0b\x00".to_vec()].concat();
    let hello = [hello, b"\xafpickle-protocol\x04".to_vec()].concat();
    assert_eq!(encode(&super::hello()), hello);
    let call = Value::Map(vec![("op".into(), "adaptive_target".into()), ("reply".into(), true.into())]);
    let expected = [words(&[43, 1, 27]), b"\x82\xa2op\xafadaptive_target\xa5reply\xc3".to_vec()].concat();
    assert_eq!(encode(&call), expected);
}

#[test]
fn further_frames_are_passed_over_in_the_blob_and_after_it() {
    let next = encode(&"next".into());
    let inside = [words(&[16 + 16 + 4, 3, 1, 0, 3]), b"\x07abc".to_vec()].concat();
    let outside = [words(&[16 + 16 + 1, 3, 1, 0, 3]), b"\x07".to_vec(), b"abc".to_vec()].concat();
    let all_outside = [words(&[24, 2, 1, 3]), b"\x07abc".to_vec()].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for message in [inside, outside, all_outside] {
        let bytes = [message, next.clone()].concat();
        let mut from = bytes.as_slice();
        runtime.block_on(async {
            assert_eq!(read(&mut from, 1024).await.unwrap(), Value::from(7));
            assert_eq!(read(&mut from, 1024).await.unwrap(), Value::from("next"));
            assert!(matches!(read(&mut from, 1024).await, Err(CodecError::Closed)));
        });
    }
}

#[test]
fn each_kind_of_nonsense_has_its_own_name() {
    let cases: [(&str, Vec<u8>); 11] = [
        ("a message of 1099511627776 bytes was announced", words(&[1 << 40])),
        (
            "a message of 1099511627777 bytes was announced",
            [words(&[25, 2, 1, 1 << 40]), vec![0xc0]].concat(),
        ),
        ("18446744073709551615 frames announced in 16 bytes", words(&[16, u64::MAX, 0])),
        ("0 frames announced in 8 bytes", words(&[8, 0])),
        ("too short to hold the number", [words(&[4]), vec![0; 4]].concat()),
        ("a frame crosses the end of the blob", [words(&[18, 1, 3]), vec![0; 2]].concat()),
        ("bytes after the last frame", [words(&[19, 1, 2]), vec![0; 3]].concat()),
        ("bytes after the msgpack value", one_frame(&[0xc0, 0xc0])),
        ("0xc1", one_frame(&[0x91, 0xc1])),
        ("the msgpack value ends early", one_frame(&[0xdc, 0xff, 0xff])),
        ("nested deeper than 64", one_frame(&vec![0x91; 100_000])),
    ];
    for (expected, bytes) in cases {
        let error = read_all(&bytes, 1 << 20).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    }
}

#[test]
fn a_small_message_cannot_grow_into_a_large_value() {
    let many = u32::try_from(MAX_VALUES).unwrap();
    let body = [vec![0xdd], many.to_be_bytes().to_vec(), vec![0xc0; MAX_VALUES]].concat();
    let error = read_all(&one_frame(&body), 1 << 30).unwrap_err().to_string();
    assert_eq!(error, "malformed message: more than 2097152 values");
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let body = [vec![0x91; MAX_DEPTH], vec![0xc0]].concat();
    assert!(read_all(&one_frame(&body), 1024).is_ok());
    let body = [vec![0x91; MAX_DEPTH + 1], vec![0xc0]].concat();
    assert!(read_all(&one_frame(&body), 1024).is_err());
}

#[test]
fn an_answer_in_tls_is_recognised() {
    let alert = [21, 3, 3, 0, 2, 2, 70];
    assert!(matches!(read_all(&alert, 1024), Err(CodecError::SpeaksTls)));
    let record = [21, 3, 1, 0, 26, 0xff, 0xff, 0xff, 0xff];
    assert!(matches!(read_all(&record, 1024), Err(CodecError::SpeaksTls)));
}
