//! Streams in one stream, as version 1 of smux has them: frames of eight bytes and what they carry.

use bytes::{Buf as _, Bytes, BytesMut};

const HEADER: usize = 8;

/// What a frame does to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Opens it.
    Open = 0,
    /// Ends it, both ways.
    End = 1,
    /// Carries bytes.
    Data = 2,
    /// Nothing.
    Nothing = 3,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it does.
    pub command: Command,
    /// To which stream.
    pub stream: u32,
    /// With which bytes, at most 65,535.
    pub data: Bytes,
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version {version}, command {command} is no frame of version 1")]
pub struct FrameError {
    version: u8,
    command: u8,
}

impl Frame {
    /// A frame without bytes.
    pub fn bare(command: Command, stream: u32) -> Self {
        Self { command, stream, data: Bytes::new() }
    }

    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let length = u16::try_from(self.data.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.data.len());
        bytes.extend([1, self.command as u8]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.stream.to_le_bytes());
        bytes.extend(self.data.iter().take(usize::from(length)));
        bytes.into()
    }
}

/// Finds frames in bytes, wherever those were cut.
#[derive(Debug, Default)]
pub struct Decoder {
    left: BytesMut,
}

impl Decoder {
    /// More bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.left.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some([version, command, low, high, a, b, c, d]) = self.left.first_chunk::<HEADER>().copied()
        else {
            return Ok(None);
        };
        let command = match (version, command) {
            (1, 0) => Command::Open,
            (1, 1) => Command::End,
            (1, 2) => Command::Data,
            (1, 3) => Command::Nothing,
            _ => return Err(FrameError { version, command }),
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if self.left.len() < HEADER + length {
            return Ok(None);
        }
        self.left.advance(HEADER);
        let data = self.left.split_to(length).freeze();
        Ok(Some(Frame { command, stream: u32::from_le_bytes([a, b, c, d]), data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_the_bytes_were_cut() {
        let sent = [
            Frame::bare(Command::Open, 3),
            Frame { command: Command::Data, stream: 3, data: Bytes::from(vec![7; 300]) },
            Frame::bare(Command::End, 3),
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        for size in [1, 7, 9, 500] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                decoder.add(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, sent, "in parts of {size}");
        }
        let mut decoder = Decoder::default();
        decoder.add(&[2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError { version: 2, command: 0 }));
    }
}
