//! A medium that refuses.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use super::fixture::*;
use crate::{
    model::MachineId,
    store::{ControllerLock, DirectoryStore, SecretName, Store, StoreError},
};

fn refusal(state: PathBuf) -> String {
    DirectoryStore::new(state, MachineId::new("here")).unwrap_err().to_string()
}

#[test]
fn the_state_directory_is_made_with_those_above_it_and_closed_to_others() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("a/b/state");
    open(state.clone());
    for made in [home.path().join("a"), home.path().join("a/b"), state.clone(), state.join("clusters")] {
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", made.display());
    }
}

#[test]
fn a_state_directory_that_others_can_write_to_is_refused() {
    let state = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(state.path(), Permissions::from_mode(mode)).unwrap();
        let said = refusal(state.path().to_owned());
        let expected = format!(
            "cannot use {}: others may write to it (mode {mode:04o}); forbid that with `chmod go-w`",
            state.path().display()
        );
        assert_eq!(said, expected);
        assert!(ControllerLock::try_acquire(state.path(), &MachineId::new("here")).is_err());
    }
    assert!(names(state.path().to_owned()).is_empty());
}

#[test]
fn a_state_directory_that_is_a_file_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("state"), "").unwrap();
    assert!(refusal(home.path().join("state")).contains("it is no directory"));
    assert!(refusal(home.path().join("state/below")).contains("Not a directory"));
}

#[test]
fn a_state_directory_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give a directory to another user");
    }
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(state.path(), Some(65_534), None).unwrap();
    assert!(
        refusal(state.path().to_owned()).contains("it belongs to user id 65534 and this program runs as")
    );
}

/// Whether permissions bind this process; if not, `test` of this module is run in one that they do.
fn as_ordinary_user(test: &str) -> bool {
    const MARK: &str = "CREWCALL_TEST_ORDINARY";
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os(MARK).is_none(), "still root");
    // This program may lie where no ordinary user gets to, such as below the home of root.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(program)
        .args(["--exact", &format!("store::directory::tests::medium::{test}")])
        .env(MARK, "1")
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output();
    let Ok(output) = output else {
        skip("this program lies where no ordinary user can run it");
        return false;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[tokio::test]
async fn permission_that_is_missing_is_said_with_its_place() {
    if !as_ordinary_user("permission_that_is_missing_is_said_with_its_place") {
        return;
    }
    let it = fixture();
    let denied = |result: Result<(), StoreError>, doing: &str, path: &Path| {
        let expected = format!("cannot {doing} {}: Permission denied (os error 13)", path.display());
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    let first = record("demo", 1);
    it.store.create(&first).await.unwrap();
    let (folder, file) = (it.cluster("demo"), it.cluster("demo/record.json"));

    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    denied(it.store.replace(&revised(&first)).await, "write", &file);
    denied(it.store.append_events(&first.key(), &[event("a")]).await, "write", &folder.join("events.jsonl"));
    fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
    denied(it.store.create(&first).await, "read", &file);
    denied(it.store.remove(&first.key()).await, "read", &file);
    let found = it.records().await.remove(0).unwrap_err();
    assert_eq!(found.problem, "it cannot be read: Permission denied (os error 13)");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(it.only().await, first);

    let clusters = it.state.path().join("clusters");
    fs::set_permissions(&clusters, Permissions::from_mode(0o500)).unwrap();
    denied(it.store.create(&record("other", 2)).await, "create", &it.cluster("other"));
    denied(it.store.remove(&first.key()).await, "remove", &folder);
    assert!(refusal(it.state.path().to_owned()).contains("its owner may not use it (mode 0500)"));
    fs::set_permissions(&clusters, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(it.only().await, first);
}

/// A file system of 256 KiB.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let point = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "crewcall-test"]).arg(point.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(point))
    }

    fn fill(&self) {
        let filler = fs::File::create(self.0.path().join("filler")).unwrap();
        let error = loop {
            if let Err(error) = std::io::Write::write_all(&mut &filler, &[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_everything_as_it_was() {
    let Some(disk) = SmallDisk::mount() else {
        return skip("a disk that fills up needs the right to mount one");
    };
    let state = disk.0.path().join("state");
    let store = open(state.clone());
    let first = record("demo", 1);
    let events: Vec<_> = (0..100).map(|_| event("something of some length happened")).collect();
    store.create(&first).await.unwrap();
    store.append_events(&first.key(), &events).await.unwrap();
    store.put_secret(&first.key(), SecretName::ClientKey, "old").await.unwrap();
    let history = fs::read(state.join("clusters/demo/events.jsonl")).unwrap();
    disk.fill();

    let full = |result: Result<(), StoreError>, path: &str| {
        let path = state.join("clusters").join(path);
        let expected = format!("cannot write {}: No space left on device (os error 28)", path.display());
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    full(store.replace(&revised(&first)).await, "demo/record.json");
    full(store.append_events(&first.key(), &events).await, "demo/events.jsonl");
    full(store.put_secret(&first.key(), SecretName::ClientKey, "new").await, "demo/tls/client-key.pem");
    full(store.create(&record("other", 2)).await, "other/record.json");

    assert_eq!(store.list().await.unwrap(), [Ok(first.clone())]);
    assert_eq!(fs::read(state.join("clusters/demo/events.jsonl")).unwrap(), history);
    let secret = store.secret(&first.key(), SecretName::ClientKey).await.unwrap();
    assert_eq!(secret.as_deref(), Some("old"));
    assert_eq!(names(state.join("clusters")), [".since", "demo"]);
    assert_eq!(names(state.join("clusters/demo")), ["events.jsonl", "logs", "record.json", "tls"]);
    assert_eq!(names(state.join("clusters/demo/tls")), ["client-key.pem"]);

    disk.free();
    store.replace(&revised(&first)).await.unwrap();
    disk.fill();
    store.remove(&first.key()).await.unwrap();
    assert_eq!(names(state.join("clusters")), [".since"]);
}
