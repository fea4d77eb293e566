//! The folders of the clusters: how they come, change and go. Blocking.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    events,
    files::{self, io_error},
    lock,
    past::Past,
    record,
};
use crate::{
    model::{ClusterKey, ClusterRecord, Event, MachineId},
    spec::ClusterName,
    store::{SecretName, StoreError, Strangers, Unreadable},
};

const RECORD: &str = "record.json";
const EVENTS: &str = "events.jsonl";
const SECRETS: &str = "tls";
const LOGS: &str = "logs";

/// Made along with the directory of the clusters and never changed: its date is the store's.
const SINCE: &str = ".since";

/// How the names of folders begin that are not yet a cluster's.
const STAGING: &str = ".new-";
/// How the names of folders begin that are no longer a cluster's.
const REMOVED: &str = ".removed-";

/// How long a change waits for another process that is making one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The clusters below one state directory, as this machine may change them.
#[derive(Debug)]
pub(super) struct Folders {
    clusters: PathBuf,
    past: Past,
    lock: PathBuf,
    machine: MachineId,
    turn: Mutex<()>,
}

/// The right to change folders: against other processes by the file, which is let go first,
/// against other threads by the mutex.
struct Turn<'a> {
    _file: lock::Held,
    _thread: MutexGuard<'a, ()>,
}

impl Folders {
    /// The folders below `state`, with the leftovers of crashes deleted.
    pub(super) fn open(state: &Path, machine: MachineId) -> Result<Self, StoreError> {
        files::own_directory(state)?;
        let clusters = state.join("clusters");
        files::own_directory(&clusters)?;
        let since = clusters.join(SINCE);
        if let Err(error) = files::make_empty(&since) {
            // Without it the store counts as new, and nothing is swept.
            tracing::warn!(path = %since.display(), %error, "cannot note since when the store is there");
        }
        let folders = Self {
            clusters,
            past: Past::of(state),
            lock: state.join("store.lock"),
            machine,
            turn: Mutex::new(()),
        };
        folders.sweep(Depth::Everything)?;
        Ok(folders)
    }

    pub(super) fn root(&self) -> &Path {
        &self.clusters
    }

    pub(super) fn logs(&self, cluster: &ClusterName) -> PathBuf {
        self.folder(cluster).join(LOGS)
    }

    pub(super) fn secret_path(&self, cluster: &ClusterName, name: SecretName) -> PathBuf {
        self.folder(cluster).join(SECRETS).join(secret_file(name))
    }

    pub(super) fn list(&self) -> Result<Vec<Result<ClusterRecord, Unreadable>>, StoreError> {
        self.sweep(Depth::Folders)?;
        let names = entries(&self.clusters)?;
        Ok(names.iter().filter_map(|name| self.listed(name)).collect())
    }

    /// How long the directory of the clusters has been there; nothing, when that is not known.
    pub(super) fn age(&self) -> Result<Duration, StoreError> {
        let since = self.clusters.join(SINCE);
        let made = files::found(fs::metadata(&since).and_then(|found| found.modified()));
        let made = made.map_err(io_error("read", &since))?;
        Ok(made.and_then(|made| made.elapsed().ok()).unwrap_or_default())
    }

    pub(super) fn strangers(&self, known: &BTreeSet<ClusterName>) -> Result<Strangers, StoreError> {
        let mut gone = known.clone();
        let mut found = Vec::new();
        for entry in entries(&self.clusters)? {
            let name = entry.to_str().and_then(|name| name.parse().ok());
            if !name.is_some_and(|name| gone.remove(&name)) {
                found.extend(self.listed(&entry));
            }
        }
        Ok(Strangers { found, gone })
    }

    pub(super) fn create(
        &self,
        record: &ClusterRecord,
        secrets: &[(SecretName, String)],
    ) -> Result<(), StoreError> {
        let folder = self.folder(record.name());
        let path = folder.join(RECORD);
        let text = record::encode(&path, record)?;
        let _turn = self.turn()?;
        if self.stored(record.name())?.is_some() {
            return Err(StoreError::Exists(record.name().clone()));
        }
        self.discard_ownerless(record.name(), &folder)?;
        let staging = self.clusters.join(format!("{STAGING}{}", record.wanted.uid));
        Self::stage(&staging, &folder, &text, secrets)
            .and_then(|()| {
                fs::rename(&staging, &folder).map_err(|error| not_placed(record.name(), &folder, error))
            })
            .inspect_err(|_| drop(files::remove_directory(&staging)))?;
        self.sync()
    }

    pub(super) fn replace(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let name = record.name();
        let path = self.folder(name).join(RECORD);
        let text = record::encode(&path, record)?;
        let _turn = self.turn()?;
        let stored = self.stored(name)?.ok_or_else(|| stale(name, "there is none"))?;
        if stored.wanted.uid != record.wanted.uid {
            return Err(stale(name, format!("its uid is {}, not {}", stored.wanted.uid, record.wanted.uid)));
        }
        self.check_machine(name, &stored.wanted.machine)?;
        if stored.revision.checked_add(1) != Some(record.revision) {
            let found =
                format!("its revision is {}, and {} was to follow it", stored.revision, record.revision);
            return Err(stale(name, found));
        }
        files::write_whole(&path, &text).map_err(io_error("write", &path))
    }

    pub(super) fn remove(&self, cluster: &ClusterKey) -> Result<(), StoreError> {
        let folder = self.folder(&cluster.name);
        let removed = self.clusters.join(format!("{REMOVED}{}", cluster.uid));
        let delete = || files::remove_directory(&removed).map_err(io_error("remove", &removed));
        let _turn = self.turn()?;
        if let Some(stored) = self.stored(&cluster.name)?.filter(|stored| stored.wanted.uid == cluster.uid) {
            self.check_machine(&cluster.name, &stored.wanted.machine)?;
            delete()?;
            if let Err(error) = self.past.keep(&cluster.name, &folder.join(EVENTS)) {
                tracing::warn!(cluster = %cluster.name, "its history is not kept: {error}");
            }
            fs::rename(&folder, &removed).map_err(io_error("remove", &folder))?;
            self.sync()?;
        }
        delete()
    }

    pub(super) fn append_events(&self, cluster: &ClusterKey, news: &[Event]) -> Result<(), StoreError> {
        if news.is_empty() {
            return Ok(());
        }
        let path = self.folder(&cluster.name).join(EVENTS);
        let _turn = self.turn()?;
        self.check_mine(cluster)?;
        events::append(&path, news).map_err(io_error("write", &path))?;
        if let Err(error) = events::trim(&path) {
            // The events are there; the next ones try again.
            tracing::warn!(path = %path.display(), %error, "cannot shorten a cluster's history");
        }
        Ok(())
    }

    pub(super) fn events(&self, cluster: &ClusterKey, limit: usize) -> Result<Vec<Event>, StoreError> {
        let path = self.folder(&cluster.name).join(EVENTS);
        if !self.is_stored(cluster)? {
            return Ok(Vec::new());
        }
        events::read(&path, limit).map_err(io_error("read", &path))
    }

    pub(super) fn put_secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
        content: &str,
    ) -> Result<(), StoreError> {
        let path = self.secret_path(&cluster.name, name);
        let folder = self.folder(&cluster.name).join(SECRETS);
        let _turn = self.turn()?;
        self.check_mine(cluster)?;
        files::own_directory(&folder)?;
        files::write_whole(&path, content.as_bytes()).map_err(io_error("write", &path))
    }

    pub(super) fn secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
    ) -> Result<Option<String>, StoreError> {
        if !self.is_stored(cluster)? {
            return Ok(None);
        }
        let path = self.secret_path(&cluster.name, name);
        files::found(fs::read_to_string(&path)).map_err(io_error("read", &path))
    }

    /// Makes, aside, what is to become `folder`; errors name the latter.
    fn stage(
        staging: &Path,
        folder: &Path,
        text: &[u8],
        secrets: &[(SecretName, String)],
    ) -> Result<(), StoreError> {
        files::remove_directory(staging).map_err(io_error("remove", staging))?;
        files::new_directory(staging).map_err(io_error("create", folder))?;
        for part in [SECRETS, LOGS] {
            files::new_directory(&staging.join(part)).map_err(io_error("create", folder.join(part)))?;
        }
        for (name, content) in secrets {
            let file = Path::new(SECRETS).join(secret_file(*name));
            files::write_whole(&staging.join(&file), content.as_bytes())
                .map_err(io_error("write", folder.join(&file)))?;
        }
        // This syncs the folder, and with it the entries of its parts.
        files::write_whole(&staging.join(RECORD), text).map_err(io_error("write", folder.join(RECORD)))
    }

    fn folder(&self, cluster: &ClusterName) -> PathBuf {
        self.clusters.join(cluster.as_str())
    }

    fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let thread = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Turn { _file: lock::lock_within(&self.lock, PATIENCE)?, _thread: thread })
    }

    fn sync(&self) -> Result<(), StoreError> {
        files::sync_directory(&self.clusters).map_err(io_error("write", &self.clusters))
    }

    fn text(&self, name: &ClusterName) -> Result<(PathBuf, Option<Vec<u8>>), StoreError> {
        let path = self.folder(name).join(RECORD);
        let text = files::read(&path, record::MAX_BYTES).map_err(io_error("read", &path))?;
        Ok((path, text))
    }

    fn stored(&self, name: &ClusterName) -> Result<Option<ClusterRecord>, StoreError> {
        let (path, text) = self.text(name)?;
        Ok(text.map(|text| record::decode(name.as_str(), &path, &text)).transpose()?)
    }

    fn head(&self, name: &ClusterName) -> Result<Option<record::Head>, StoreError> {
        let (path, text) = self.text(name)?;
        Ok(text.map(|text| record::decode_head(name, &path, &text)).transpose()?)
    }

    fn is_stored(&self, cluster: &ClusterKey) -> Result<bool, StoreError> {
        Ok(self.head(&cluster.name)?.is_some_and(|head| head.wanted.uid == cluster.uid))
    }

    fn check_mine(&self, cluster: &ClusterKey) -> Result<(), StoreError> {
        let name = &cluster.name;
        let wanted = self.head(name)?.ok_or_else(|| stale(name, "there is none"))?.wanted;
        if wanted.uid != cluster.uid {
            return Err(stale(name, format!("its uid is {}, not {}", wanted.uid, cluster.uid)));
        }
        self.check_machine(name, &wanted.machine)
    }

    fn check_machine(&self, name: &ClusterName, machine: &MachineId) -> Result<(), StoreError> {
        if *machine == self.machine {
            return Ok(());
        }
        Err(stale(name, format!("machine {machine} looks after it, and this is machine {}", self.machine)))
    }

    /// What is to be said of an entry of the clusters' directory, if it is a cluster's.
    fn listed(&self, name: &OsStr) -> Option<Result<ClusterRecord, Unreadable>> {
        let path = self.clusters.join(name).join(RECORD);
        let shown = name.to_string_lossy();
        if shown.starts_with('.') {
            return None;
        }
        let read = match files::read(&path, record::MAX_BYTES) {
            // A plain file that somebody has put here.
            Err(error) if error.kind() == ErrorKind::NotADirectory => return None,
            Err(error) => Err(record::unreadable(&shown, &path, format!("it cannot be read: {error}"))),
            Ok(text) => record::decode(&shown, &path, &text?),
        };
        Some(read)
    }

    /// Takes a folder away that is in the way of a new cluster: one without a record, which no
    /// crash of ours leaves under a cluster's name, but a late log file may.
    fn discard_ownerless(&self, name: &ClusterName, folder: &Path) -> Result<(), StoreError> {
        if files::found(fs::symlink_metadata(folder)).map_err(io_error("read", folder))?.is_none() {
            return Ok(());
        }
        let away = self.clusters.join(format!("{REMOVED}ownerless-{name}"));
        files::remove_directory(&away).map_err(io_error("remove", &away))?;
        fs::rename(folder, &away).map_err(io_error("remove", folder))?;
        files::remove_directory(&away).map_err(io_error("remove", &away))
    }

    /// Deletes what crashes have left. What cannot be deleted now is for the next time.
    fn sweep(&self, depth: Depth) -> Result<(), StoreError> {
        let names = entries(&self.clusters)?;
        if depth == Depth::Folders && !names.iter().any(|name| is_leftover(name)) {
            return Ok(());
        }
        // Nobody else is adding or removing now, so what looks half done was left that way.
        let thread = self.turn.try_lock();
        let (Ok(_thread), Ok(Some(_file))) = (thread, lock::try_lock(&self.lock)) else { return Ok(()) };
        for name in entries(&self.clusters)? {
            let folder = self.clusters.join(&name);
            let swept = if is_leftover(&name) {
                files::remove_directory(&folder)
            } else if depth == Depth::Everything {
                files::remove_temporaries(&folder)
                    .and_then(|()| files::remove_temporaries(&folder.join(SECRETS)))
            } else {
                Ok(())
            };
            if let Err(error) = swept {
                tracing::warn!(path = %folder.display(), %error, "cannot delete what a crash has left");
            }
        }
        Ok(())
    }
}

/// How far down leftovers are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Among the folders.
    Folders,
    /// In them, too.
    Everything,
}

fn is_leftover(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(STAGING.as_bytes()) || name.starts_with(REMOVED.as_bytes())
}

/// The names in a directory, in order.
fn entries(path: &Path) -> Result<Vec<OsString>, StoreError> {
    let names = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(io_error("list", path))?;
    names.sort();
    Ok(names)
}

fn not_placed(name: &ClusterName, folder: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        // Where the file system's locks do not reach other machines, this decides who was first.
        ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists => StoreError::Exists(name.clone()),
        _ => io_error("create", folder)(error),
    }
}

fn stale(name: &ClusterName, found: impl Into<String>) -> StoreError {
    StoreError::Stale { name: name.clone(), found: found.into() }
}

fn secret_file(name: SecretName) -> &'static str {
    match name {
        SecretName::AuthorityCertificate => "authority.pem",
        SecretName::AuthorityKey => "authority-key.pem",
        SecretName::ClientCertificate => "client.pem",
        SecretName::ClientKey => "client-key.pem",
        SecretName::SchedulerCertificate => "scheduler.pem",
        SecretName::SchedulerKey => "scheduler-key.pem",
        SecretName::WorkerCertificate => "worker.pem",
        SecretName::WorkerKey => "worker-key.pem",
        SecretName::ControllerCertificate => "controller.pem",
        SecretName::ControllerKey => "controller-key.pem",
    }
}
