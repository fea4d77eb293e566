//! What can go wrong in a call, in words that say what was waited for.

use std::{fmt, io, time::Duration};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::{CodecError, DaskAddress, Transport};

/// What a connection waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The TCP connection.
    TcpConnection,
    /// The end of the TLS handshake.
    TlsHandshake,
    /// The peer's first Dask message.
    DaskHandshake,
    /// The reply to this operation.
    Reply(String),
    /// What the dashboard sends through a tunnel.
    Dashboard,
    /// Nothing but the end of the connection.
    End,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpConnection => f.write_str("the TCP connection"),
            Self::TlsHandshake => f.write_str("the TLS handshake; the TCP connection stands"),
            Self::DaskHandshake => f.write_str("the Dask handshake; the connection stands and ours is sent"),
            Self::Reply(op) => write!(f, "the reply to {op}; the connection stands"),
            Self::Dashboard => f.write_str("the dashboard's bytes"),
            Self::End => f.write_str("nothing but its end"),
        }
    }
}

/// A duration as people say it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The port is closed.
    #[error("cannot connect to {peer}: nothing listens there")]
    Refused {
        /// Who was dialled.
        peer: DaskAddress,
    },
    /// No TCP connection for another reason.
    #[error("cannot connect to {peer}: {source}")]
    Connect {
        /// Who was dialled.
        peer: DaskAddress,
        /// The cause.
        source: io::Error,
    },
    /// The address and what we hold do not fit together; nothing was sent.
    #[error("will not connect to {peer}: {}", match .peer.transport {
        Transport::Tls => "it asks for TLS and no certificate is at hand",
        Transport::Tcp => "it is not encrypted and a certificate is at hand",
    })]
    TransportMismatch {
        /// Who was to be dialled.
        peer: DaskAddress,
    },
    /// TLS was not agreed on; see [`RpcError::hint`].
    #[error("TLS with {peer} failed: {}", tls_reason(.source))]
    Tls {
        /// Who was dialled.
        peer: DaskAddress,
        /// The cause.
        source: TlsError,
    },
    /// We spoke plain TCP to a TLS port.
    #[error("{peer} speaks TLS, and was addressed without")]
    SpeaksTls {
        /// Who was dialled.
        peer: DaskAddress,
    },
    /// The bound was reached.
    #[error("{peer} did not answer within {}, while waiting for {awaited}", Seconds(*.after))]
    Timeout {
        /// Who was asked.
        peer: DaskAddress,
        /// What did not come.
        awaited: Awaited,
        /// The bound.
        after: Duration,
    },
    /// The peer ended the connection, or the network did.
    #[error("{peer} closed the connection while we waited for {awaited}")]
    Closed {
        /// Who was asked.
        peer: DaskAddress,
        /// What did not come.
        awaited: Awaited,
    },
    /// A message that was cut, too large or not Dask's.
    #[error("{peer} sent no usable message while we waited for {awaited}: {source}")]
    Message {
        /// Who was asked.
        peer: DaskAddress,
        /// What was to come.
        awaited: Awaited,
        /// What is wrong with it.
        source: CodecError,
    },
    /// Python replied with nothing, which is how it says that it has no such operation.
    #[error("{peer} does not know the operation {op}")]
    UnknownOp {
        /// Who was asked.
        peer: DaskAddress,
        /// What it does not know.
        op: String,
    },
    /// Python raised an exception.
    #[error("{op} failed in {peer}: {exception}")]
    Remote {
        /// Who was asked.
        peer: DaskAddress,
        /// What failed.
        op: String,
        /// The exception as Python prints it.
        exception: String,
        /// Python's traceback, for a log.
        traceback: String,
    },
    /// A reply of another shape than this version of Crewcall knows.
    #[error("{peer} answered {op} with something else than expected: {problem}")]
    Reply {
        /// Who was asked.
        peer: DaskAddress,
        /// What was asked.
        op: String,
        /// What is odd about the reply.
        problem: String,
    },
    /// The connection is left in the middle of a message; a new one is needed.
    #[error("the connection to {peer} is unusable, since an earlier call on it did not finish")]
    Poisoned {
        /// Who was asked earlier.
        peer: DaskAddress,
    },
}

impl RpcError {
    /// The error for a message that could not be exchanged with `peer`.
    pub(super) fn from_codec(source: CodecError, peer: &DaskAddress, awaited: Awaited) -> Self {
        let peer = peer.clone();
        match source {
            CodecError::Closed => Self::Closed { peer, awaited },
            CodecError::SpeaksTls => Self::SpeaksTls { peer },
            CodecError::Io(error) => Self::from_io(error, peer, awaited),
            source => Self::Message { peer, awaited, source },
        }
    }

    /// With TLS 1.3 the refusal of our certificate comes with the first read, as an I/O error around that of TLS.
    pub(super) fn from_io(error: io::Error, peer: DaskAddress, awaited: Awaited) -> Self {
        if let Some(source) = error.get_ref().and_then(|e| e.downcast_ref::<TlsError>()) {
            return Self::Tls { peer, source: source.clone() };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed { peer, awaited },
            io::ErrorKind::TimedOut => Self::Message {
                peer,
                awaited,
                source: CodecError::Io(io::Error::new(
                    error.kind(),
                    "the peer's machine does not acknowledge anything",
                )),
            },
            _ => Self::Message { peer, awaited, source: CodecError::Io(error) },
        }
    }

    /// Whether the same question on a new connection may succeed without anything else being changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::Poisoned { .. } => true,
            Self::Message { source, .. } => matches!(source, CodecError::Truncated | CodecError::Io(_)),
            Self::TransportMismatch { .. }
            | Self::Tls { .. }
            | Self::SpeaksTls { .. }
            | Self::UnknownOp { .. }
            | Self::Remote { .. }
            | Self::Reply { .. } => false,
        }
    }

    /// The next step, where there is one that this module can know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some("see whether the scheduler's process still runs, and its log"),
            Self::Tls { source: TlsError::InvalidCertificate(error), .. } => Some(match error {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => "compare the clocks of both machines",
                _ => "something else than this cluster's scheduler may listen at this address",
            }),
            Self::Tls { source: TlsError::AlertReceived(_), .. } => Some(
                "the certificate at hand is not one of this cluster's; it may be from an earlier one of that name",
            ),
            Self::Tls { source: TlsError::InvalidMessage(_), .. } => {
                Some("the scheduler may run without TLS: its address then begins with tcp://")
            }
            Self::SpeaksTls { .. } => Some("its address begins with tls://"),
            Self::Closed { peer, awaited: Awaited::DaskHandshake } if peer.transport == Transport::Tcp => {
                Some("it may demand TLS: its address then begins with tls://")
            }
            _ => None,
        }
    }
}

/// TLS errors in words; rustls prints some of them as names of its own types.
fn tls_reason(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not from this cluster's authority".to_owned()
        }
        TlsError::InvalidCertificate(CertificateError::NotValidForName) => {
            "its certificate is for another role".to_owned()
        }
        TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => {
            let presented = presented.join(", ");
            format!("its certificate is for {presented}, and {} was expected", expected.to_str())
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid yet".to_owned(),
        TlsError::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::DecryptError | AlertDescription::BadCertificate,
        ) => "it does not accept our certificate, which is from another authority".to_owned(),
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
            "it holds that our certificate has expired".to_owned()
        }
        TlsError::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}
