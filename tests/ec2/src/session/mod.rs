//! The data channel of a session, as AWS' own program for clients speaks it: the service and the machine's agent
//! in one.
//!
//! What the layers are is read off the sources of `session-manager-plugin`: messages with a header of their own in
//! a web socket, acknowledged and repeated; in their payloads, streams multiplexed as version 1 of smux has it.

mod channel;
mod gateway;
mod message;
mod port;
mod smux;

pub use channel::{Channel, Heard};
pub use gateway::{Gateway, path_of_session, serve};
pub use message::{Message, MessageError, MessageKind, PayloadKind};
pub use smux::{Command, Decoder, Frame, FrameError};
