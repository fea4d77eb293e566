//! A bridge that is the account's network, and a namespace for each host on it.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpStream},
    os::fd::AsFd as _,
    path::Path,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::command::{CommandError, run};
use crate::state::Instance;

/// Where metadata is asked for, on every machine of EC2.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The bridge, and the addresses on it.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its name, of at most 15 characters.
    pub bridge: String,
    /// This machine, as hosts see it.
    pub gateway: Ipv4Addr,
}

impl Default for Network {
    fn default() -> Self {
        Self { bridge: "crewcall-ec2".into(), gateway: Ipv4Addr::new(10, 251, 0, 1) }
    }
}

impl Network {
    /// Makes the bridge. One that is there is taken.
    pub async fn create(&self) -> Result<(), CommandError> {
        let bridge = self.bridge.as_str();
        if !Path::new("/sys/class/net").join(bridge).exists() {
            run(&["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0"])
                .await?;
        }
        run(&["ip", "address", "replace", &format!("{}/16", self.gateway), "dev", bridge]).await?;
        run(&["ip", "address", "replace", &format!("{METADATA}/32"), "dev", bridge]).await?;
        run(&["ip", "link", "set", bridge, "up"]).await?;
        run(&["ip", "route", "replace", "198.18.0.0/15", "dev", bridge]).await
    }

    /// Removes the bridge, and with it its addresses and routes.
    pub async fn remove(&self) {
        // It may be gone.
        let _ = run(&["ip", "link", "delete", &self.bridge]).await;
    }

    /// Makes the namespace of a host, with its link and addresses.
    pub(super) async fn add(&self, instance: &Instance) -> Result<(), CommandError> {
        let (id, link) = (instance.id.as_str(), link(&instance.id));
        let (gateway, mac) = (self.gateway.to_string(), instance.mac());
        run(&["ip", "netns", "add", id]).await?;
        let peer = ["ip", "link", "add", &link, "type", "veth", "peer", "name", "ens5", "netns", id];
        run(&[&peer[..], &["address", &mac]].concat()).await?;
        run(&["ip", "link", "set", &link, "master", &self.bridge, "up"]).await?;
        run(&["ip", "-n", id, "link", "set", "lo", "up"]).await?;
        let private = format!("{}/16", instance.private_ip);
        run(&["ip", "-n", id, "address", "add", &private, "dev", "ens5"]).await?;
        if let Some(public) = instance.public_ip {
            run(&["ip", "-n", id, "address", "add", &format!("{public}/32"), "dev", "ens5"]).await?;
        }
        run(&["ip", "-n", id, "link", "set", "ens5", "up"]).await?;
        run(&["ip", "-n", id, "route", "add", "default", "via", &gateway]).await
    }

    /// Removes the namespace of a host.
    pub(super) async fn take(&self, id: &str) {
        // Either may be gone: the link goes with the namespace, but not at once.
        let _ = run(&["ip", "link", "delete", &link(id)]).await;
        let _ = run(&["ip", "netns", "delete", id]).await;
    }
}

/// Connects, in the namespace of a host, to one of its own ports.
pub(super) fn connect(id: &str, port: u16) -> io::Result<TcpStream> {
    let namespace = Path::new("/run/netns").join(id);
    // A thread that went there would not find back.
    let visitor = thread::spawn(move || {
        let namespace = fs::File::open(namespace)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
    });
    visitor.join().map_err(|_| io::Error::other("the thread in the namespace panicked"))?
}

/// This machine's end of a host's link.
fn link(id: &str) -> String {
    let from = id.len().saturating_sub(12);
    format!("ec2{}", &id[from..])
}
