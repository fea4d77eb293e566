//! Disks that are full.

use std::{path::Path, process::Command};

use crate::harness::skipped;

/// A file system of its own, that is soon full.
pub struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    /// Mounts it at a directory; `None` where that is not allowed, which is said.
    pub fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            skipped("mounting a file system needs root");
        }
        mounted.then_some(Self(at))
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
