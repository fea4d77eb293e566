//! Who reaches a cluster: its members, and clients at the scheduler.

use std::net::IpAddr;

use crate::{
    provider::ec2::names::COMM_PORT,
    spec::{ANYWHERE, AddressKind, Ec2Spec},
};

/// A block of addresses that may reach the scheduler, in the form of a security group's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientBlock {
    /// Of IPv4.
    V4(String),
    /// Of IPv6.
    V6(String),
}

impl ClientBlock {
    /// The one port that is open to clients, which asks for their certificate.
    pub const PORTS: [u16; 1] = [COMM_PORT];

    /// The block as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::V4(block) | Self::V6(block) => block,
        }
    }

    fn of(text: &str) -> Self {
        if text.contains(':') { Self::V6(text.to_owned()) } else { Self::V4(text.to_owned()) }
    }
}

/// Who may reach the scheduler: whom the document names, else the caller by its own address. Sorted, each once; empty
/// where the document names nobody and the caller's address is not known, or clients come through Session Manager.
pub fn client_blocks(ec2: &Ec2Spec, caller: Option<IpAddr>) -> Vec<ClientBlock> {
    let mut blocks: Vec<ClientBlock> = ec2
        .client_cidrs
        .iter()
        .flat_map(|text| {
            let texts = if text == ANYWHERE { vec!["0.0.0.0/0", "::/0"] } else { vec![text.as_str()] };
            texts.into_iter().map(ClientBlock::of)
        })
        .collect();
    if blocks.is_empty() && ec2.addresses != AddressKind::SessionManager {
        blocks.extend(caller.map(|address| match address {
            IpAddr::V4(address) => ClientBlock::V4(format!("{address}/32")),
            IpAddr::V6(address) => ClientBlock::V6(format!("{address}/128")),
        }));
    }
    blocks.sort();
    blocks.dedup();
    blocks
}
