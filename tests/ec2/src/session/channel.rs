//! One end of a data channel: what was said is repeated until it is acknowledged, what is heard comes in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::message::{Message, MessageError, MessageKind, PayloadKind};

/// How many messages may be under way.
const WINDOW: usize = 500;
/// Milliseconds after which the oldest is repeated.
const REPEATED_AFTER: u64 = 300;

/// What was heard, in the order in which it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it is.
    pub kind: PayloadKind,
    /// What it says.
    pub payload: Bytes,
}

/// The agent's end. No I/O: time comes in as milliseconds since 1970, messages in and out as bytes.
#[derive(Debug, Default)]
pub struct Channel {
    next_heard: i64,
    early: BTreeMap<i64, Heard>,
    next_said: i64,
    under_way: VecDeque<UnderWay>,
    outgoing: Vec<Bytes>,
    ids: u128,
}

#[derive(Debug)]
struct UnderWay {
    sequence: i64,
    bytes: Bytes,
    sent: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Acknowledgement {
    acknowledged_message_type: String,
    acknowledged_message_id: String,
    acknowledged_message_sequence_number: i64,
    is_sequential_message: bool,
}

impl Channel {
    /// Hears a message: what can be made of it now, in order. What was heard before is acknowledged again.
    pub fn hear(&mut self, bytes: &Bytes, now: u64) -> Result<Vec<Heard>, MessageError> {
        let message = Message::decode(bytes)?;
        match message.kind {
            MessageKind::Acknowledge => {
                if let Ok(about) = serde_json::from_slice::<Acknowledgement>(&message.payload) {
                    let sequence = about.acknowledged_message_sequence_number;
                    self.under_way.retain(|known| known.sequence != sequence);
                }
                Ok(Vec::new())
            }
            MessageKind::Input => {
                self.acknowledge(&message, now);
                if message.sequence >= self.next_heard {
                    let heard = Heard { kind: message.payload_kind, payload: message.payload };
                    self.early.insert(message.sequence, heard);
                }
                let mut ready = Vec::new();
                while let Some(heard) = self.early.remove(&self.next_heard) {
                    self.next_heard += 1;
                    ready.push(heard);
                }
                Ok(ready)
            }
            MessageKind::Output | MessageKind::ChannelClosed => Ok(Vec::new()),
        }
    }

    /// Says something that is repeated until it is acknowledged.
    pub fn say(&mut self, kind: PayloadKind, payload: Bytes, now: u64) {
        let sequence = self.next_said;
        self.next_said += 1;
        let message = self.message(MessageKind::Output, sequence, kind, payload, now);
        self.under_way.push_back(UnderWay { sequence, bytes: message.clone(), sent: now });
        self.outgoing.push(message);
    }

    /// Says that the session has ended.
    pub fn close(&mut self, session: &str, reason: &str, now: u64) {
        let about = serde_json::json!({
            "MessageId": format!("closed-{now}"), "CreatedDate": now.to_string(), "DestinationId": session,
            "SessionId": session, "MessageType": "channel_closed", "SchemaVersion": 1, "Output": reason,
        });
        let payload = Bytes::from(about.to_string());
        let message = self.message(MessageKind::ChannelClosed, 0, PayloadKind::None, payload, now);
        self.outgoing.push(message);
    }

    /// Whether more may be said.
    pub fn has_room(&self) -> bool {
        self.under_way.len() < WINDOW
    }

    /// Repeats the oldest of what was not acknowledged, if that was long ago.
    pub fn repeat(&mut self, now: u64) {
        if let Some(oldest) = self.under_way.front_mut()
            && now.saturating_sub(oldest.sent) >= REPEATED_AFTER
        {
            oldest.sent = now;
            self.outgoing.push(oldest.bytes.clone());
        }
    }

    /// Repeats all that was not acknowledged: there is a new connection.
    pub fn repeat_all(&mut self, now: u64) {
        self.outgoing.clear();
        for known in &mut self.under_way {
            known.sent = now;
            self.outgoing.push(known.bytes.clone());
        }
    }

    /// What is to be sent.
    pub fn take_outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.outgoing)
    }

    fn acknowledge(&mut self, message: &Message, now: u64) {
        let about = Acknowledgement {
            acknowledged_message_type: "input_stream_data".into(),
            acknowledged_message_id: message.id_text(),
            acknowledged_message_sequence_number: message.sequence,
            is_sequential_message: true,
        };
        let payload = Bytes::from(serde_json::to_vec(&about).unwrap_or_default());
        let message = self.message(MessageKind::Acknowledge, 0, PayloadKind::None, payload, now);
        self.outgoing.push(message);
    }

    fn message(
        &mut self,
        kind: MessageKind,
        sequence: i64,
        payload_kind: PayloadKind,
        payload: Bytes,
        now: u64,
    ) -> Bytes {
        self.ids += 1;
        Message { kind, sequence, created: now, id: self.ids, payload_kind, payload }.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(sequence: i64, payload: &'static [u8]) -> Bytes {
        let (kind, payload_kind) = (MessageKind::Input, PayloadKind::Data);
        Message { kind, sequence, created: 1, id: 9, payload_kind, payload: Bytes::from_static(payload) }
            .encode()
    }

    fn acknowledgement(sequence: i64) -> Bytes {
        let about = Acknowledgement {
            acknowledged_message_type: "output_stream_data".into(),
            acknowledged_message_id: String::new(),
            acknowledged_message_sequence_number: sequence,
            is_sequential_message: true,
        };
        let payload = Bytes::from(serde_json::to_vec(&about).unwrap());
        let (kind, payload_kind) = (MessageKind::Acknowledge, PayloadKind::None);
        Message { kind, sequence: 0, created: 1, id: 9, payload_kind, payload }.encode()
    }

    #[test]
    fn what_comes_early_or_twice_is_heard_once_and_in_order() {
        let mut channel = Channel::default();
        assert_eq!(channel.hear(&input(1, b"b"), 0), Ok(Vec::new()));
        let heard = channel.hear(&input(0, b"a"), 0).unwrap();
        assert_eq!(heard.iter().map(|heard| &heard.payload[..]).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(channel.hear(&input(0, b"a"), 0), Ok(Vec::new()));
        assert_eq!(channel.take_outgoing().len(), 3, "each is acknowledged, the second of the first too");
    }

    #[test]
    fn what_is_not_acknowledged_is_said_again() {
        let mut channel = Channel::default();
        channel.say(PayloadKind::Data, Bytes::from_static(b"a"), 0);
        channel.say(PayloadKind::Data, Bytes::from_static(b"b"), 0);
        let said = channel.take_outgoing();
        channel.repeat(REPEATED_AFTER - 1);
        assert!(channel.take_outgoing().is_empty());
        channel.repeat(REPEATED_AFTER);
        assert_eq!(channel.take_outgoing(), said[..1]);
        channel.hear(&acknowledgement(0), REPEATED_AFTER).unwrap();
        channel.repeat_all(REPEATED_AFTER);
        assert_eq!(channel.take_outgoing(), said[1..]);
        channel.hear(&acknowledgement(1), REPEATED_AFTER).unwrap();
        channel.repeat(10 * REPEATED_AFTER);
        assert!(channel.take_outgoing().is_empty() && channel.has_room());
    }
}
