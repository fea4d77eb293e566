//! What was left behind: the world is listed first, the store second.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Fate, Fleet, Leftover, RequestError, Sweep};
use crate::{
    model::ClusterUid,
    provider::{Managed, Provider},
};

/// Younger things may belong to a create that is under way.
const GRACE: Duration = Duration::from_secs(30);

impl Fleet {
    /// Finds, and removes, what belongs to no cluster.
    ///
    /// Nothing is swept while a record cannot be read: what it would protect is not known.
    pub async fn gc(&self, sweep: Sweep) -> Result<Vec<Leftover>, RequestError> {
        let mut found: Vec<(Arc<dyn Provider>, Managed)> = Vec::new();
        for provider in self.tools.providers.values() {
            found.extend(
                provider.list_managed().await?.into_iter().map(|managed| (provider.clone(), managed)),
            );
        }
        let records = self.tools.store.list().await?;
        let unreadable = records.iter().find_map(|record| record.as_ref().err());
        let known: BTreeSet<ClusterUid> = records
            .iter()
            .filter_map(|record| record.as_ref().ok())
            .map(|record| record.wanted.uid.clone())
            .collect();
        let orphans = found
            .into_iter()
            .filter(|(_, managed)| !known.contains(&managed.cluster) && managed.age >= GRACE);
        let mut leftovers = Vec::new();
        for (provider, managed) in orphans {
            let fate = match (unreadable, sweep) {
                (Some(record), _) => {
                    Fate::Kept(format!("the record of cluster {} cannot be read", record.name))
                }
                (None, Sweep::DryRun) => Fate::WouldBeRemoved,
                (None, Sweep::Remove) => match provider.sweep(&managed).await {
                    Ok(()) => Fate::Removed,
                    Err(error) => Fate::Kept(error.to_string()),
                },
            };
            leftovers.push(Leftover { description: managed.description, fate });
        }
        Ok(leftovers)
    }
}
