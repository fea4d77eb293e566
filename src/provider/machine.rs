//! Which machine this is, and which of its boots.

use std::{fs, io, os::unix::fs::MetadataExt};

use crate::model::{BootId, MachineId};

/// The pid namespace of a machine, as opposed to that of a container: `PROC_PID_INIT_INO` of Linux.
const OUTERMOST_PIDS: u64 = 0xEFFF_FFFC;

/// The machine that this process runs on, as letters, digits, `.`, `-` and `_`: two processes with
/// the same one can see each other.
pub fn machine_id() -> MachineId {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|path| valid_id(&fs::read_to_string(path).ok()?));
    let outermost = fs::metadata("/proc/self/ns/pid").is_ok_and(|found| found.ino() == OUTERMOST_PIDS);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    composed(id, &host, outermost)
}

/// Containers of one image share its machine id, or have none; they differ in their host name. A
/// machine keeps its id when it gets another host name.
fn composed(id: Option<String>, host: &str, outermost: bool) -> MachineId {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host: String = host.chars().take(64).map(|c| if fits(c) { c } else { '-' }).collect();
    MachineId::new(match id {
        Some(id) if outermost => id,
        Some(id) => format!("{host}.{id}"),
        None => format!("{host}.host"),
    })
}

/// machine-id(5): 32 hexadecimal digits; `uninitialized` during the first boot.
fn valid_id(text: &str) -> Option<String> {
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// The boot that this process runs in.
pub fn boot_id() -> io::Result<BootId> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| BootId::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_machine_keeps_its_id_when_it_gets_another_host_name() {
        let id = valid_id(&format!("{ID}\n"));
        assert_eq!(composed(id.clone(), "cafe", true), composed(id, "home", true));
    }

    #[test]
    fn containers_of_one_image_are_told_apart() {
        let id = valid_id(ID);
        assert_ne!(composed(id.clone(), "pod-1", false), composed(id, "pod-2", false));
        assert_eq!(valid_id("uninitialized\n"), None);
        assert_ne!(composed(None, "pod-1", false), composed(None, "pod-2", false));
    }

    #[test]
    fn a_host_name_cannot_lead_out_of_a_directory() {
        assert_eq!(composed(None, "../a b", false).as_str(), "..-a-b.host");
    }
}
