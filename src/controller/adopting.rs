//! Clusters whose record was lost are taken up again, from the copy that is kept where they are.

use std::sync::Arc;

use super::{
    Fate, Fleet, RequestError, Sweep,
    copies::{self, Recalled},
    failpoint::failpoint,
    fleet::Standing,
    gc,
    requests::Meeting,
};
use crate::{
    model::{Event, EventKind, Severity},
    plan::{self, Adoption},
    provider::{Managed, Provider},
};

impl Fleet {
    /// Learns of a place in which clusters may be, and of credentials for it: what was left behind there is then found.
    pub fn meet(&self, meeting: &Meeting) -> Result<(), RequestError> {
        let provider = self.provider(meeting.provider, &meeting.context)?;
        provider.lend(&meeting.environment);
        provider.renew(&meeting.environment);
        Ok(())
    }

    /// Takes a cluster up of which the store knows nothing, if a copy of its record is there; `None`: there is none. One
    /// of which nothing can be saved is removed: the copy says whose it is.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        provider: &dyn Provider,
        managed: &Managed,
        sweep: Sweep,
    ) -> Option<Fate> {
        let outcome = match copies::recall(provider, &managed.cluster).await {
            Ok(recalled) => self.take_up(provider, recalled?, sweep).await,
            Err(error) => Err(error.to_string()),
        };
        Some(match (outcome, sweep) {
            (Err(reason), _) => Fate::Kept(reason),
            (Ok(Taken::Up), Sweep::DryRun) => Fate::WouldBeAdopted,
            (Ok(Taken::Up), _) => Fate::Adopted,
            (Ok(Taken::ForLost(reason)), Sweep::DryRun) => {
                tracing::info!(cluster = %managed.cluster, reason, "cannot be taken up");
                Fate::WouldBeRemoved
            }
            (Ok(Taken::ForLost(reason)), _) => {
                tracing::info!(cluster = %managed.cluster, reason, "cannot be taken up");
                gc::swept(provider, managed).await
            }
        })
    }

    async fn take_up(
        self: &Arc<Self>,
        provider: &dyn Provider,
        recalled: Recalled,
        sweep: Sweep,
    ) -> Result<Taken, String> {
        let Recalled { record, secrets } = recalled;
        let key = record.key();
        let turn = self.turn(&key.name);
        let _held = turn.wait(&key.name, &|_| {}).await.map_err(|error| error.to_string())?;
        match self.member(&key.name) {
            Some(member) if *member.cell.key() == key => return Ok(Taken::Up),
            Some(_) => return Err(format!("there is another cluster named {}: delete that first", key.name)),
            None => {}
        }
        let world = provider.observe(&key).await.map_err(|error| error.to_string())?;
        let now = self.tools.clock.now();
        let limit = provider.launching(&record.wanted.document).and_then(|launching| launching.max_cost);
        let mut record = match plan::adopt(record, &world, limit, now) {
            Adoption::Possible(record) => *record,
            Adoption::Pointless(reason) => return Ok(Taken::ForLost(reason)),
        };
        if sweep == Sweep::DryRun {
            return Ok(Taken::Up);
        }
        let here = &self.tools.installation;
        (record.wanted.machine, record.wanted.boot) = (here.machine.clone(), here.boot.clone());
        provider.note_place(&mut record.wanted.context);
        failpoint("adopt.before-store");
        let secrets: Vec<_> = secrets.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let stored = self.tools.store.create_with_secrets(&record, &secrets).await;
        stored.map_err(|error| error.to_string())?;
        failpoint("adopt.after-store");
        let spent = record.progress.ledger.spending.as_ref().map(|spending| spending.spent);
        self.add(record, None, Standing::Ours);
        if let Some(member) = self.member(&key.name) {
            let guess =
                spent.map(|spent| format!("; that it has cost {spent} is a guess")).unwrap_or_default();
            let message = format!(
                "cluster {} was taken up from the copy of its record, which the store has lost{guess}",
                key.name
            );
            let (at, severity, kind) = (now, Severity::Warning, EventKind::Adopted);
            member.cell.report(vec![Event { at, severity, kind, node: None, message }]).await;
        }
        Ok(Taken::Up)
    }
}

/// What became of a cluster that was to be taken up.
enum Taken {
    /// It is, or would be, a cluster of this controller's.
    Up,
    /// Nothing of it can be saved; why.
    ForLost(&'static str),
}
