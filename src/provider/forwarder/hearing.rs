//! The controller's ear for what forwarders write down: the kernel tells when a status is replaced.

use std::io;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::net::unix::pipe::Receiver;

use super::hold::Forwarders;
use crate::model::ClusterUid;

/// Room for some tidings; what they say is not looked at.
const ROOM: usize = 4096;

/// Calls `tell` whenever a cluster's forwarder may have something new to say. Ends when its directory is gone.
pub async fn board_changes(
    forwarders: &Forwarders,
    cluster: &ClusterUid,
    tell: &mut (dyn FnMut() + Send),
) -> io::Result<()> {
    let directory = forwarders.directory(cluster);
    let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&inotify, &directory, WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR)?;
    // No pipe, but read as one.
    let inotify = Receiver::from_owned_fd_unchecked(inotify)?;
    let mut tidings = [0; ROOM];
    loop {
        inotify.readable().await?;
        match inotify.try_read(&mut tidings) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tell();
                if !directory.is_dir() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}
