//! Taking, renewing and giving up the lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease as LeaseObject, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use super::decide::{DEADLINE, DURATION, PERIOD, RENEWAL, Seen, Step, step};
use crate::{model::label, spec::Namespace, store::kubernetes::words};

/// How long one call may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A lease, and who wants it.
pub struct Lease {
    api: Api<LeaseObject>,
    name: String,
    me: String,
    now: fn() -> Timestamp,
}

/// The lease while it is held.
pub struct Held {
    lease: Lease,
    written: LeaseObject,
    /// Which of the lease's terms this is.
    pub term: i32,
}

impl Lease {
    /// The lease of that name, for `me`.
    pub fn new(
        client: Client,
        namespace: &Namespace,
        name: String,
        me: String,
        now: fn() -> Timestamp,
    ) -> Self {
        Self { api: Api::namespaced(client, namespace.as_str()), name, me, now }
    }

    /// Waits until the lease is held; says of each look how it went.
    pub async fn acquire(self, mut looked: impl FnMut(Result<&str, &str>)) -> Held {
        let mut last: Option<Look> = None;
        loop {
            match self.look(&mut last).await {
                Ok(Some((written, term))) => {
                    looked(Ok(&self.me));
                    return Held { lease: self, written, term };
                }
                Ok(None) => looked(Ok(last.as_ref().map_or("", |last| last.holder.as_str()))),
                Err(error) => {
                    tracing::warn!("the lease {}: {error}", self.name);
                    looked(Err(&error));
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Looks at the lease, and takes it if it is to be had. `last`: what it looked like, and since when.
    async fn look(&self, last: &mut Option<Look>) -> Result<Option<(LeaseObject, i32)>, String> {
        let found = self.bounded(self.api.get_opt(&self.name)).await?;
        let now = Instant::now();
        let seen = found.as_ref().map(seen);
        let version = found.as_ref().and_then(|found| found.metadata.resource_version.clone());
        let same = last.as_ref().filter(|last| last.version == version);
        let since = same.map_or(now, |last| last.since);
        let holder = seen.as_ref().map(|seen| seen.holder.clone()).unwrap_or_default();
        *last = Some(Look { holder, version, since });
        match step(&self.me, seen.as_ref(), now.duration_since(since)) {
            Step::Wait => Ok(None),
            Step::Renew => {
                let term = seen.map_or(0, |seen| seen.transitions);
                self.write(found, term).await.map(|written| written.map(|written| (written, term)))
            }
            Step::Take { transitions } => {
                let written = self.write(found, transitions).await?;
                Ok(written.map(|written| (written, transitions)))
            }
        }
    }

    /// Writes oneself into the lease; `None` when somebody else was faster.
    async fn write(
        &self,
        found: Option<LeaseObject>,
        transitions: i32,
    ) -> Result<Option<LeaseObject>, String> {
        let now = MicroTime((self.now)());
        let spec = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let parameters =
            PostParams { field_manager: Some(label::CREWCALL.to_owned()), ..PostParams::default() };
        let written = if let Some(mut found) = found {
            found.spec = Some(spec);
            self.call(self.api.replace(&self.name, &parameters, &found)).await
        } else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let object = LeaseObject { metadata, spec: Some(spec) };
            self.call(self.api.create(&parameters, &object)).await
        };
        match written {
            Ok(written) => Ok(Some(written)),
            Err(Failed::Conflict) => Ok(None),
            Err(Failed::Other(cause)) => Err(cause),
        }
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        match tokio::time::timeout(ANSWER, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failed::Conflict),
            Ok(Err(error)) => Err(Failed::Other(words(&error))),
            Err(_) => Err(Failed::Other(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
        self.call(call).await.map_err(|failed| match failed {
            Failed::Conflict => "somebody else was faster".to_owned(),
            Failed::Other(cause) => cause,
        })
    }
}

/// What the lease looked like, and since when.
struct Look {
    holder: String,
    version: Option<String>,
    since: Instant,
}

enum Failed {
    Conflict,
    Other(String),
}

fn seen(found: &LeaseObject) -> Seen {
    let spec = found.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Seen {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

impl Held {
    /// Renews it until that fails for too long. Returns what was last seen then; never otherwise.
    pub async fn keep(&mut self) -> (u64, String) {
        let mut renewed = Instant::now();
        let mut pause = RENEWAL;
        // Whether the version that is known is one of its own after all: the next try is made at once.
        let mut behind = false;
        loop {
            if !behind {
                tokio::time::sleep(pause).await;
            }
            pause = PERIOD;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            let tried = tokio::time::timeout(left, self.renew()).await;
            let cause = match tried.unwrap_or_else(|_| Err(Renewal::Failed("no answer in time".to_owned()))) {
                Ok(()) => {
                    (renewed, behind, pause) = (Instant::now(), false, RENEWAL);
                    continue;
                }
                Err(Renewal::Lost(holder)) => {
                    return (renewed.elapsed().as_secs(), format!("{holder} holds it"));
                }
                Err(Renewal::Failed(cause)) => cause,
                Err(Renewal::Behind) if !behind => {
                    behind = true;
                    continue;
                }
                Err(Renewal::Behind) => "somebody else writes it, too".to_owned(),
            };
            behind = false;
            tracing::warn!("the lease {} cannot be renewed: {cause}", self.lease.name);
            if renewed.elapsed() >= DEADLINE {
                return (renewed.elapsed().as_secs(), cause);
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Renewal> {
        let mut next = self.written.clone();
        if let Some(spec) = &mut next.spec {
            spec.renew_time = Some(MicroTime((self.lease.now)()));
        }
        let parameters =
            PostParams { field_manager: Some(label::CREWCALL.to_owned()), ..PostParams::default() };
        match self.lease.call(self.lease.api.replace(&self.lease.name, &parameters, &next)).await {
            Ok(written) => {
                self.written = written;
                Ok(())
            }
            Err(Failed::Other(cause)) => Err(Renewal::Failed(cause)),
            // A lost reply to one's own write looks the same as another holder's write.
            Err(Failed::Conflict) => {
                let found = self.lease.bounded(self.lease.api.get_opt(&self.lease.name)).await;
                match found.map_err(Renewal::Failed)? {
                    Some(found) if seen(&found).holder == self.lease.me => {
                        self.written = found;
                        Err(Renewal::Behind)
                    }
                    Some(found) => Err(Renewal::Lost(seen(&found).holder)),
                    None => Err(Renewal::Lost("nobody".to_owned())),
                }
            }
        }
    }

    /// Gives it up, so that another one need not wait.
    pub async fn release(self) {
        let mut next = self.written.clone();
        if let Some(spec) = &mut next.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime((self.lease.now)()));
        }
        let parameters =
            PostParams { field_manager: Some(label::CREWCALL.to_owned()), ..PostParams::default() };
        let given = self.lease.call(self.lease.api.replace(&self.lease.name, &parameters, &next)).await;
        if given.is_err() {
            tracing::warn!(
                "the lease {} could not be given up; another operator waits for it",
                self.lease.name
            );
        }
    }
}

enum Renewal {
    Lost(String),
    /// The version that was to be replaced is not the newest; that one is known now, and its own.
    Behind,
    Failed(String),
}
