//! What was left behind: the world is listed first, the store second.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Fate, Fleet, Leftover, RequestError, Sweep};
use crate::{
    model::ClusterUid,
    provider::{Managed, Provider, Vitality},
    store::Unreadable,
};

/// Younger things may belong to a create that is under way.
const GRACE: Duration = Duration::from_secs(30);

/// What is known of the store that a sweep goes by.
struct Knowledge<'a> {
    age: Duration,
    unreadable: Option<&'a Unreadable>,
}

impl Fleet {
    /// Finds, and removes, what belongs to no cluster.
    ///
    /// Nothing is swept while a record cannot be read, and nothing that is older than the store: what
    /// would protect it is not known. Where a copy of its record is kept, and a person asks, such a cluster is taken up
    /// again.
    pub async fn gc(self: &Arc<Self>, sweep: Sweep) -> Result<Vec<Leftover>, RequestError> {
        let mut found: Vec<(Arc<dyn Provider>, Managed)> = Vec::new();
        let mut leftovers = Vec::new();
        for provider in self.tools.providers.all() {
            match provider.list_managed().await {
                Ok(listed) => found.extend(listed.into_iter().map(|managed| (provider.clone(), managed))),
                // What cannot be looked at keeps nobody from the rest.
                Err(error) => leftovers.push(Leftover {
                    description: "what may be left where nobody can look".to_owned(),
                    age_seconds: 0,
                    fate: Fate::Kept(error.to_string()),
                    hourly: None,
                }),
            }
        }
        let age = self.tools.store.age().await?;
        let records = self.tools.store.list().await?;
        let unreadable = records.iter().find_map(|record| record.as_ref().err());
        let known: BTreeSet<ClusterUid> = records
            .iter()
            .filter_map(|record| record.as_ref().ok())
            .map(|record| record.wanted.uid.clone())
            .collect();
        // Two profiles may lead to one account.
        let mut told = BTreeSet::new();
        let orphans = found
            .into_iter()
            .filter(|(_, managed)| !known.contains(&managed.cluster) && managed.age >= GRACE)
            .filter(|(_, managed)| told.insert((managed.cluster.clone(), managed.id.clone())));
        for (provider, managed) in orphans {
            let knowledge = Knowledge { age, unreadable };
            let adopted = if is_adoptable(&managed, &knowledge, sweep) {
                self.adopt(&*provider, &managed, sweep).await
            } else {
                None
            };
            let fate = match adopted {
                Some(fate) => fate,
                None => match (reason_to_keep(&managed, &knowledge, sweep), sweep) {
                    (Some(reason), _) => Fate::Kept(reason),
                    (None, Sweep::DryRun) => Fate::WouldBeRemoved,
                    (None, Sweep::Remove | Sweep::RemoveDead) => swept(&*provider, &managed).await,
                },
            };
            let age_seconds = managed.age.as_secs();
            let Managed { description, hourly, .. } = managed;
            leftovers.push(Leftover { description, age_seconds, fate, hourly });
        }
        Ok(leftovers)
    }
}

/// Removes something.
pub(super) async fn swept(provider: &dyn Provider, managed: &Managed) -> Fate {
    match provider.sweep(managed).await {
        Ok(()) => Fate::Removed,
        Err(error) => Fate::Kept(error.to_string()),
    }
}

/// Whether a cluster may be at work in something whose record was lost. A record stays until everything is gone; and only
/// a person knows that no other controller has it.
fn is_adoptable(managed: &Managed, store: &Knowledge<'_>, sweep: Sweep) -> bool {
    sweep != Sweep::RemoveDead && store.unreadable.is_none() && managed.vitality == Vitality::Alive
}

/// Why something of which there is no record is to be kept all the same.
fn reason_to_keep(managed: &Managed, store: &Knowledge<'_>, sweep: Sweep) -> Option<String> {
    if let Some(record) = store.unreadable {
        return Some(format!("the record of cluster {} cannot be read", record.name));
    }
    // It says so itself: no record would protect it.
    if managed.vitality == Vitality::Expired {
        return None;
    }
    if managed.age >= store.age {
        let reason = "it is older than the directory of the records, and its own may lie elsewhere: put that back, \
                      run `crewcall gc` to take it up again, or end it yourself";
        return Some(reason.to_owned());
    }
    let alive = sweep == Sweep::RemoveDead && managed.vitality == Vitality::Alive;
    alive.then(|| "it is alive, and only a person ends it: `crewcall gc` does".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(age: u64, vitality: Vitality, sweep: Sweep) -> Option<String> {
        let managed = Managed {
            cluster: ClusterUid::from_random(1),
            name: None,
            id: "x".to_owned(),
            description: "something".to_owned(),
            age: Duration::from_secs(age),
            vitality,
            hourly: None,
        };
        let store = Knowledge { age: Duration::from_secs(1000), unreadable: None };
        reason_to_keep(&managed, &store, sweep)
    }

    #[test]
    fn what_is_older_than_the_store_is_never_swept() {
        for sweep in [Sweep::DryRun, Sweep::Remove, Sweep::RemoveDead] {
            for vitality in [Vitality::Alive, Vitality::Dead] {
                assert!(kept(1001, vitality, sweep).unwrap().contains("put that back"));
            }
            assert_eq!(kept(999, Vitality::Dead, sweep), None);
        }
    }

    #[test]
    fn what_says_itself_that_it_should_be_gone_is_swept_however_old_it_is() {
        for sweep in [Sweep::DryRun, Sweep::Remove, Sweep::RemoveDead] {
            assert_eq!(kept(5000, Vitality::Expired, sweep), None);
        }
    }

    #[test]
    fn what_lives_is_ended_only_when_a_person_says_so() {
        assert!(kept(999, Vitality::Alive, Sweep::RemoveDead).unwrap().contains("`crewcall gc`"));
        assert_eq!(kept(999, Vitality::Alive, Sweep::Remove), None);
    }
}
