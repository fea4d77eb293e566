//! What dead hosts have left behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    clusters::{Finder, FoundHost},
    os::{self, ProcessId},
    paths::{self, HostId, HostPaths},
    record::HostRecord,
    spares::wait_until_free,
    variables::{CLUSTER_MARK, HOST_MARK, STATE_MARK},
};
use crate::{
    model::{ClusterKey, ClusterUid},
    provider::{Managed, ProviderError, Vitality},
};

/// How long a host may have a directory before it has written who it is.
const LONGEST_START: Duration = Duration::from_mins(1);

/// How long killed processes may take to be gone.
const LONGEST_KILL: Duration = Duration::from_secs(10);

/// Everything that a host of this machine has made, dead hosts included.
pub fn list(finder: &Finder<'_>) -> Result<Vec<Managed>, ProviderError> {
    let hosts = finder.hosts()?;
    let mut managed = Vec::new();
    for host in &hosts {
        let Some(HostRecord { id, claimed_by: Some(owner), process, .. }) = &host.record else { continue };
        let (what, vitality) = if host.alive {
            ("host process", Vitality::Alive)
        } else {
            ("remains of host process", Vitality::Dead)
        };
        managed.push(Managed {
            cluster: owner.uid.clone(),
            name: Some(owner.name.clone()),
            id: id.to_string(),
            description: format!("{what} {} of cluster {}", process.pid, owner.name),
            // The directory changes with each file in it; the lock is made once and never written.
            age: age(&host.paths.lock),
            vitality,
            hourly: None,
        });
    }
    let known: BTreeSet<&str> = managed.iter().map(|managed| managed.id.as_str()).collect();
    let strays: Vec<Managed> = stray_processes(finder.state)
        .into_iter()
        .filter(|(host, stray)| !known.contains(host.as_str()) && !stray.is_empty())
        .filter_map(|(host, stray)| {
            Some(Managed {
                cluster: stray.iter().find_map(|(_, cluster)| cluster.clone())?,
                name: None,
                description: format!("{} processes of a host that is gone", stray.len()),
                age: age(Path::new(&format!("/proc/{}", stray.first()?.0.pid))),
                id: host.to_string(),
                vitality: Vitality::Dead,
                hourly: None,
            })
        })
        .collect();
    managed.extend(strays);
    Ok(managed)
}

/// Since when something exists; nothing, if it does not.
fn age(path: &Path) -> Duration {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default()
}

type Strays = BTreeMap<HostId, Vec<(ProcessId, Option<ClusterUid>)>>;

/// Processes that a host of this installation has started, and that have outlived it.
fn stray_processes(state: &Path) -> Strays {
    let state_text = state.to_string_lossy();
    let mut strays = Strays::new();
    for (process, marks) in os::marked_processes(HOST_MARK) {
        let mark = |name: &str| marks.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if mark(STATE_MARK) != Some(&*state_text) {
            continue;
        }
        let Some(host) = mark(HOST_MARK).and_then(|host| host.parse::<HostId>().ok()) else { continue };
        let cluster = mark(CLUSTER_MARK).and_then(|uid| uid.parse().ok());
        strays.entry(host).or_default().push((process, cluster));
    }
    // The locks last: a host that started meanwhile has its lock before it has children.
    strays.retain(|host, _| matches!(os::is_locked(&paths::host(state, host).lock), Ok(false)));
    strays
}

/// Ends and removes all that dead hosts have left of a cluster; of no cluster: of spares.
pub async fn remove_dead(finder: &Finder<'_>, cluster: Option<&ClusterKey>) -> Result<(), ProviderError> {
    for FoundHost { paths, record, alive } in finder.hosts()? {
        if alive {
            continue;
        }
        let Some(record) = record else {
            // A host that did not come up, unless it is about to.
            let id = paths.directory.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let (Some(id), None) = (id, cluster)
                && age(&paths.directory) > LONGEST_START
            {
                remove_remains(finder.state, &id, &paths).await?;
            }
            continue;
        };
        if record.claimed_by.as_ref().map(|owner| &owner.uid) == cluster.map(|cluster| &cluster.uid) {
            remove_remains(finder.state, &record.id, &paths).await?;
        }
    }
    Ok(())
}

/// Ends the spares of a controller that is gone: those older than `since`, when this one began. Nobody
/// would take them, and each holds a Python process until it gives up.
pub async fn end_old_spares(finder: &Finder<'_>, since: Duration) -> Result<(), ProviderError> {
    for FoundHost { paths, record, alive } in finder.hosts()? {
        let Some(record) = record.filter(|record| alive && record.claimed_by.is_none()) else { continue };
        if age(&paths.lock) > since {
            end_host(&record, &paths).await?;
        }
    }
    Ok(())
}

/// Ends and removes what a dead host has left. A host that lives is left alone.
pub async fn remove_remains(state: &Path, host: &HostId, paths: &HostPaths) -> Result<(), ProviderError> {
    let failed = |doing: &str, path: &Path, error: &std::io::Error| {
        ProviderError::unsure(format!("cannot {doing} {}: {error}", path.display()))
    };
    kill_strays(state, host).await?;
    if !paths.directory.exists() {
        return Ok(());
    }
    // Held to the end, so that nobody takes the directory into use meanwhile.
    let lock = os::try_lock(&paths.lock).map_err(|error| failed("lock", &paths.lock, &error))?;
    if lock.is_none() {
        return Ok(());
    }
    if let Ok(Some(record)) = HostRecord::read(paths) {
        let scratch = record.scratch.iter().cloned();
        let claim = record.claimed_by.iter().map(|owner| paths::claim(state, &owner.uid));
        // The lock of a claim is free with its host; a new host of the cluster has it again.
        for path in scratch.chain([record.socket]) {
            if os::check_private(&path).is_ok() || !path.is_dir() {
                os::remove_all(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
        for path in claim {
            if os::try_lock(&path).map_err(|error| failed("lock", &path, &error))?.is_some() {
                os::remove_all(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
    }
    os::remove_all(&paths.directory).map_err(|error| failed("remove", &paths.directory, &error))
}

async fn kill_strays(state: &Path, host: &HostId) -> Result<(), ProviderError> {
    let deadline = tokio::time::Instant::now() + LONGEST_KILL;
    loop {
        let strays = stray_processes(state).remove(host).unwrap_or_default();
        let Some((last, _)) = strays.last() else { return Ok(()) };
        for (process, _) in &strays {
            process.signal(Signal::KILL).map_err(|error| {
                ProviderError::unsure(format!("cannot end process {}: {error}", process.pid))
            })?;
        }
        if tokio::time::Instant::now() >= deadline {
            let message = format!(
                "process {} is still there {} s after it was killed",
                last.pid,
                LONGEST_KILL.as_secs()
            );
            return Err(ProviderError::unsure(message));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends a host that nobody speaks to any more, by its process: first so that it ends all below it and
/// removes its files, and where that is of no avail as nothing can prevent.
pub async fn end_host(record: &HostRecord, paths: &HostPaths) -> Result<(), ProviderError> {
    record.process.signal(Signal::TERM).map_err(|error| {
        ProviderError::unsure(format!("cannot end process {}: {error}", record.process.pid))
    })?;
    if wait_until_free(&paths.lock, super::spares::LONGEST_END).await {
        return Ok(());
    }
    kill_host(record, paths).await
}

/// Ends a host that does not end when it is told to. The kernel ends its nodes with it; what they leave
/// is for [`remove_remains`].
pub async fn kill_host(record: &HostRecord, paths: &HostPaths) -> Result<(), ProviderError> {
    let pid = record.process.pid;
    tracing::warn!(pid, "a host does not end; it is killed");
    record
        .process
        .signal(Signal::KILL)
        .map_err(|error| ProviderError::unsure(format!("cannot end process {pid}: {error}")))?;
    if wait_until_free(&paths.lock, LONGEST_KILL).await {
        return Ok(());
    }
    let seconds = LONGEST_KILL.as_secs();
    Err(ProviderError::unsure(format!("host process {pid} is still there {seconds} s after it was killed")))
}
