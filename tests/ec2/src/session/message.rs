//! Messages of a data channel: a header of fixed places, and a payload.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Where the length of the payload stands, which the header's own length does not count.
const HEADER: usize = 116;
/// Where the payload begins.
const PAYLOAD: usize = HEADER + 4;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Of the client's stream.
    Input,
    /// Of the agent's stream.
    Output,
    /// That one has arrived.
    Acknowledge,
    /// That the session has ended.
    ChannelClosed,
}

const KINDS: [(MessageKind, &str); 4] = [
    (MessageKind::Input, "input_stream_data"),
    (MessageKind::Output, "output_stream_data"),
    (MessageKind::Acknowledge, "acknowledge"),
    (MessageKind::ChannelClosed, "channel_closed"),
];

/// What is in a message of either stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PayloadKind {
    /// Nothing that has a kind.
    None = 0,
    /// Bytes.
    Data = 1,
    /// What the agent wants to agree on.
    HandshakeRequest = 5,
    /// What the client agrees to.
    HandshakeResponse = 6,
    /// It is agreed.
    HandshakeComplete = 7,
    /// A number that says what to do.
    Flag = 10,
}

impl PayloadKind {
    fn of(number: u32) -> Option<Self> {
        use PayloadKind::{
            Data, Flag, HandshakeComplete, HandshakeRequest, HandshakeResponse, None as Nothing,
        };
        [Nothing, Data, HandshakeRequest, HandshakeResponse, HandshakeComplete, Flag]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Its place in its stream.
    pub sequence: i64,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Nobody else's.
    pub id: u128,
    /// What its payload is.
    pub payload_kind: PayloadKind,
    /// Its payload.
    pub payload: Bytes,
}

/// What is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It ends too early.
    #[error("{0} bytes are too few for a message")]
    Short(usize),
    /// Its kind is not known.
    #[error("{0:?} is no kind of message")]
    Kind(String),
    /// The kind of its payload is not known.
    #[error("{0} is no kind of payload")]
    PayloadKind(u32),
    /// Its payload is not what was sent.
    #[error("the payload's digest differs")]
    Digest,
}

impl Message {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(PAYLOAD + self.payload.len());
        let name = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        bytes.extend(u32::try_from(HEADER).unwrap_or(0).to_be_bytes());
        bytes.extend(format!("{name:<32}").bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(self.created.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        // The halves are the other way around.
        bytes.extend(self.id.rotate_left(64).to_be_bytes());
        bytes.extend(Sha256::digest(&self.payload));
        bytes.extend((self.payload_kind as u32).to_be_bytes());
        bytes.extend(u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(&self.payload);
        bytes.into()
    }

    /// From bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        let short = || MessageError::Short(bytes.len());
        let name = bytes.get(4..36).ok_or_else(short)?;
        let name = String::from_utf8_lossy(name).trim_end_matches(['\0', ' ']).to_owned();
        let kind = KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
        let kind = kind.ok_or(MessageError::Kind(name))?;
        let number = u32::from_be_bytes(part(bytes, 112).ok_or_else(short)?);
        let payload_kind = PayloadKind::of(number).ok_or(MessageError::PayloadKind(number))?;
        if bytes.len() < PAYLOAD {
            return Err(short());
        }
        let payload = bytes.slice(PAYLOAD..);
        if !payload.is_empty() && bytes.get(80..112) != Some(Sha256::digest(&payload).as_slice()) {
            return Err(MessageError::Digest);
        }
        Ok(Self {
            kind,
            created: u64::from_be_bytes(part(bytes, 40).ok_or_else(short)?),
            sequence: i64::from_be_bytes(part(bytes, 48).ok_or_else(short)?),
            id: u128::from_be_bytes(part(bytes, 64).ok_or_else(short)?).rotate_left(64),
            payload_kind,
            payload,
        })
    }

    /// The id as text.
    pub fn id_text(&self) -> String {
        let mut text = format!("{:032x}", self.id);
        for place in [20, 16, 12, 8] {
            text.insert(place, '-');
        }
        text
    }
}

fn part<const SIZE: usize>(bytes: &Bytes, from: usize) -> Option<[u8; SIZE]> {
    bytes.get(from..from + SIZE)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_a_changed_payload_is_found_out() {
        let message = Message {
            kind: MessageKind::Output,
            sequence: 7,
            created: 1_767_225_600_000,
            id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
            payload_kind: PayloadKind::Data,
            payload: Bytes::from_static(b"some bytes"),
        };
        let mut bytes = message.encode().to_vec();
        assert_eq!(bytes[64..68], [8, 9, 10, 11], "the later half of the id comes first");
        assert_eq!(message.id_text(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(Message::decode(&bytes.clone().into()), Ok(message));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(Message::decode(&bytes.clone().into()), Err(MessageError::Digest));
        assert_eq!(Message::decode(&Bytes::from(bytes).slice(..115)), Err(MessageError::Short(115)));
    }
}
