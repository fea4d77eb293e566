//! From a document to a cluster, or to the changes of one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    ClusterView, CreateMode, CreateOutcome, CreateReply, CreateRequest, Fleet, RequestError,
    failpoint::failpoint,
    fleet::{Member, Standing},
    identities::Issued,
};
use crate::{
    model::{
        CallerEnvironment, ClusterKey, ClusterRecord, Event, EventKind, Interpreter, Presence, Progress,
        RECORD_FORMAT, Severity, Wanted,
    },
    provider::{Caller, ErrorKind, Prepared, ProviderError},
    spec::{self, ClusterName, ComputeCluster, Edit, FieldChange},
    store::StoreError,
};

/// How long a name that is still being deleted is waited for.
const GONE_BOUND: Duration = Duration::from_mins(2);

/// A cluster of which nothing is stored yet, and that can work.
struct Ready {
    key: ClusterKey,
    document: ComputeCluster,
    caller: Caller,
    interpreter: Option<Interpreter>,
    issued: Option<Issued>,
}

/// Hears of the steps of a create.
pub type Listener<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Fleet {
    /// Creates the cluster that a document describes, or changes the one of its name.
    ///
    /// Nothing is stored before the software environment is there, so that a document that cannot
    /// work leaves nothing behind.
    pub async fn create(
        self: &Arc<Self>,
        request: CreateRequest,
        progress: Listener<'_>,
    ) -> Result<CreateReply, RequestError> {
        check(&request.document)?;
        let provider = self.provider(request.document.spec.provider.kind(), &request.context)?;
        provider.lend(&request.environment);
        let name = request.document.metadata.name.clone();
        let turn = self.turn(&name);
        let _held = turn.wait(&name, progress).await?;
        let noted = |step: String| {
            turn.note(&step);
            progress(step);
        };
        let progress: Listener<'_> = &noted;
        if !self.is_current(&name) {
            self.look_around().await?;
        }
        // Boxed: they hold whole documents, which callers need not carry.
        let Some(member) = self.member(&name) else {
            return Box::pin(self.create_new(request, CreateOutcome::Created, progress)).await;
        };
        match member.standing {
            Standing::Elsewhere => Err(member.elsewhere().await),
            Standing::Lost => {
                let mut reply = Box::pin(self.create_new(request, CreateOutcome::Created, progress)).await?;
                reply
                    .warnings
                    .push("the cluster of that name was lost when the machine restarted".to_owned());
                Ok(reply)
            }
            Standing::Ours => {
                if matches!(member.cell.record().await.wanted.presence, Presence::Absent(_)) {
                    return Box::pin(self.create_new(request, CreateOutcome::Created, progress)).await;
                }
                Box::pin(self.change(&member, request, progress)).await
            }
        }
    }

    /// Deletes what has the name, if something has, and waits until it is gone.
    async fn make_room(
        self: &Arc<Self>,
        name: &ClusterName,
        progress: Listener<'_>,
    ) -> Result<(), RequestError> {
        if self.member(name).is_none() {
            return Ok(());
        }
        progress(format!("waiting for the old cluster {name} to be gone"));
        self.delete(name).await?;
        let mut changes = self.changes();
        let gone = async {
            while self.member(name).is_some() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(GONE_BOUND, gone).await.map_err(|_| RequestError::TooLong {
            waited_for: format!("the end of the old cluster {name}"),
            seconds: GONE_BOUND.as_secs(),
            last_seen: self
                .get(name)
                .map_or_else(|_| "nothing".to_owned(), |view| format!("{} nodes", view.nodes.len())),
        })
    }

    /// Makes a new cluster in the place of any that has its name: that goes once all that can be known
    /// before says that the new one will work.
    async fn create_new(
        self: &Arc<Self>,
        request: CreateRequest,
        outcome: CreateOutcome,
        progress: Listener<'_>,
    ) -> Result<CreateReply, RequestError> {
        if request.mode == CreateMode::DryRun {
            let changes = vec![format!("cluster {} would be created", request.document.metadata.name)];
            return Ok(CreateReply { outcome, changes, warnings: Vec::new(), cluster: None });
        }
        let ready = self.make_ready(request, progress).await?;
        self.make_room(&ready.key.name, progress).await?;
        let cluster = self.keep(ready).await?;
        Ok(CreateReply { outcome, changes: Vec::new(), warnings: Vec::new(), cluster: Some(cluster) })
    }

    /// All that a new cluster needs before anything of it is stored.
    async fn make_ready(
        &self,
        request: CreateRequest,
        progress: Listener<'_>,
    ) -> Result<Ready, RequestError> {
        let CreateRequest { mut document, context, environment, mode: _ } = request;
        let provider = self.provider(document.spec.provider.kind(), &context)?;
        if document.spec.workers.size().is_none() {
            document.spec.workers.replicas = Some(1);
        }
        let key = ClusterKey { uid: (self.tools.uids)(), name: document.metadata.name.clone() };
        let now = self.tools.clock.now();
        let caller = Caller { context, environment };
        failpoint("create.before-prepare");
        // Certificates take their time too; both are done before anything is stored.
        let (prepared, issued) =
            tokio::join!(provider.prepare(&document, &caller, progress), issue(&key, &document, now));
        let Prepared { cluster_environment, interpreter } = prepared?;
        if let Some(resolved) = cluster_environment {
            document.spec.environment = Some(resolved);
        }
        Ok(Ready { key, document, caller, interpreter, issued: issued? })
    }

    /// Stores a new cluster, and begins it.
    async fn keep(self: &Arc<Self>, ready: Ready) -> Result<ClusterView, RequestError> {
        let Ready { key, document, caller, interpreter, issued } = ready;
        // A lifetime does not count the time that its software took to be installed.
        let now = self.tools.clock.now();
        let installation = &self.tools.installation;
        let wanted = Wanted {
            uid: key.uid.clone(),
            document,
            generation: 1,
            created_at: now,
            presence: Presence::Present,
            machine: installation.machine.clone(),
            boot: installation.boot.clone(),
            context: caller.context,
            interpreter,
            forced_generation: None,
            asked_at: None,
        };
        let record =
            ClusterRecord { format: RECORD_FORMAT, revision: 1, wanted, progress: Progress::default() };
        failpoint("create.before-store");
        self.tools.store.create(&record).await?;
        failpoint("create.after-store");
        if let Some(issued) = issued
            && let Err(error) = issued.keep(&*self.tools.store, &key).await
        {
            // Nothing runs yet: without certificates nothing will.
            self.tools.store.remove(&key).await?;
            return Err(error.into());
        }
        failpoint("create.after-keys");
        self.add(record, Some(caller.environment), Standing::Ours);
        let member = self.existing(&key.name)?;
        let message = format!("cluster {} was asked for, uid {}", key.name, key.uid);
        let event =
            Event { at: now, severity: Severity::Normal, kind: EventKind::Created, node: None, message };
        member.cell.report(vec![event]).await;
        Ok(member.view())
    }

    async fn change(
        self: &Arc<Self>,
        member: &Member,
        request: CreateRequest,
        progress: Listener<'_>,
    ) -> Result<CreateReply, RequestError> {
        let record = member.cell.record().await;
        let mut wanted = request.document.clone();
        // What was resolved for the cluster stands, unless the document now says otherwise.
        let resolved = &record.wanted.document.spec.environment;
        let stands = match (&wanted.spec.environment, resolved) {
            (None, _) => true,
            (Some(asked), Some(resolved)) => asked.is_filled_in_by(resolved),
            (Some(_), None) => false,
        };
        if stands {
            wanted.spec.environment.clone_from(resolved);
        }
        let edit = spec::compare(&record.wanted.document, &wanted);
        if !edit.fixed.is_empty() {
            let name = record.name().clone();
            let changes: Vec<String> = edit.fixed.iter().map(described).collect();
            return match request.mode {
                CreateMode::Apply | CreateMode::DryRun => Err(RequestError::Fixed { name, changes }),
                CreateMode::Replace => self.create_new(request, CreateOutcome::Replaced, progress).await,
            };
        }
        let warnings = differences(&record, &request);
        let (changes, dry) = (summary(&edit), request.mode == CreateMode::DryRun);
        let outcome = if edit.is_empty() { CreateOutcome::Unchanged } else { CreateOutcome::Updated };
        if !dry {
            let environment = with_secrets(
                member.cell.environment(),
                &record.wanted.document,
                &wanted,
                &request.environment,
            )?;
            let provider = self.provider_of(&record)?;
            provider.renew(&request.environment);
            provider.lend(&request.environment);
            member.cell.set_environment(environment);
            match outcome {
                CreateOutcome::Updated => self.apply(member, &wanted, &changes).await?,
                _ if record.has_failures() => self.ask_again(member).await?,
                _ => {}
            }
        }
        let mut view = member.view();
        view.generation = member.cell.record().await.wanted.generation;
        Ok(CreateReply { outcome, changes, warnings, cluster: Some(view) })
    }

    /// Has what failed tried again at once: whoever asks for what is there may have removed the cause.
    async fn ask_again(&self, member: &Member) -> Result<(), StoreError> {
        let now = self.tools.clock.now();
        let update = |record: &mut ClusterRecord| {
            record.wanted.ask(now);
            Ok(())
        };
        member.cell.update::<_, StoreError>(update).await
    }

    async fn apply(
        &self,
        member: &Member,
        wanted: &ComputeCluster,
        changes: &[String],
    ) -> Result<(), StoreError> {
        let now = self.tools.clock.now();
        let update = |record: &mut ClusterRecord| {
            record.wanted.document = spec::carry_sizes(&record.wanted.document, wanted);
            record.wanted.ask(now);
            Ok(())
        };
        failpoint("update.before-store");
        member.cell.update::<_, StoreError>(update).await?;
        failpoint("update.after-store");
        let (at, severity, kind) = (now, Severity::Normal, EventKind::Updated);
        let message = format!("the document was changed: {}", changes.join("; "));
        member.cell.report(vec![Event { at, severity, kind, node: None, message }]).await;
        Ok(())
    }
}

fn check(document: &ComputeCluster) -> Result<(), RequestError> {
    spec::validate(document).map_err(|invalid| {
        RequestError::Invalid(invalid.problems.into_iter().map(|problem| problem.message).collect())
    })
}

/// The certificates of a new cluster; none without TLS.
async fn issue(
    key: &ClusterKey,
    document: &ComputeCluster,
    now: jiff::Timestamp,
) -> Result<Option<Issued>, ProviderError> {
    if !document.spec.tls {
        return Ok(None);
    }
    let (key, lifetime) = (key.clone(), document.spec.max_lifetime());
    let issued = tokio::task::spawn_blocking(move || Issued::new(&key, lifetime, now)).await;
    let failed =
        |cause: String| ProviderError::new(ErrorKind::Unknown, format!("cannot make certificates: {cause}"));
    match issued {
        Ok(Ok(issued)) => Ok(Some(issued)),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Where, from what and to what, in one line.
pub fn described(change: &FieldChange) -> String {
    let text = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    };
    format!("{}: from {} to {}", change.path, text(&change.old), text(&change.new))
}

/// One line per change.
pub fn summary(edit: &Edit) -> Vec<String> {
    let fields = edit.in_place.iter().chain(&edit.template).map(described);
    let rolled =
        edit.rolled_groups.iter().map(|group| format!("group {group}: its workers are replaced one by one"));
    let added = edit.added_groups.iter().map(|group| format!("group {group}: added"));
    let removed = edit.removed_groups.iter().map(|group| format!("group {group}: removed"));
    fields.chain(rolled).chain(added).chain(removed).collect()
}

/// The environment of a cluster whose document is edited: that which it has, and what `secretEnv` takes from the caller now.
///
/// Errors: a variable that the edit names is not set, neither then nor now.
fn with_secrets(
    kept: Option<CallerEnvironment>,
    before: &ComputeCluster,
    wanted: &ComputeCluster,
    caller: &CallerEnvironment,
) -> Result<CallerEnvironment, ProviderError> {
    let mut kept = kept.unwrap_or_else(|| caller.clone());
    let known: BTreeSet<&str> = before.spec.secret_variables().collect();
    for name in wanted.spec.secret_variables() {
        match caller.0.get(name) {
            Some(value) => drop(kept.0.insert(name.to_owned(), value.clone())),
            None if kept.0.contains_key(name) || known.contains(name) => {}
            None => {
                let message = format!("`secretEnv` takes the value of {name}, which is not set");
                let hint = format!("export {name}, then run the same command again");
                return Err(ProviderError::new(ErrorKind::Invalid, message).with_hint(hint));
            }
        }
    }
    Ok(kept)
}

/// What the caller has that the cluster will not follow.
fn differences(record: &ClusterRecord, request: &CreateRequest) -> Vec<String> {
    let mut warnings = Vec::new();
    let (theirs, ours) = (&record.wanted.context, &request.context);
    if theirs.working_directory != ours.working_directory {
        warnings.push(format!(
            "the cluster keeps its working directory {}; `--replace` moves it here",
            theirs.working_directory.display()
        ));
    }
    let without = request.document.spec.environment.is_none();
    if let (true, Some(kept), Some(mine)) = (without, &record.wanted.interpreter, &ours.interpreter)
        && kept.path != mine.path
    {
        warnings.push(format!(
            "the cluster keeps running with {}, yours is {}; `--replace` changes that",
            kept.path.display(),
            mine.path.display()
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(secrets: &str) -> ComputeCluster {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\nspec: {{\
             provider: {{local: {{}}}}, secretEnv: {secrets}}}\n"
        );
        spec::load("test", &text).unwrap().cluster
    }

    fn environment(variables: &[(&str, &str)]) -> CallerEnvironment {
        CallerEnvironment(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn a_secret_that_an_edit_names_is_taken_from_whoever_edits() {
        let (before, after) = (document("{}"), document("{TOKEN: MY_TOKEN}"));
        let kept = Some(environment(&[("HOME", "/home/first")]));
        let refused = with_secrets(kept.clone(), &before, &after, &environment(&[])).unwrap_err();
        assert!(refused.message.contains("MY_TOKEN, which is not set"), "{}", refused.message);
        let caller = environment(&[("HOME", "/home/second"), ("MY_TOKEN", "secret")]);
        let given = with_secrets(kept, &before, &after, &caller).unwrap();
        assert_eq!(given, environment(&[("HOME", "/home/first"), ("MY_TOKEN", "secret")]));
        let renewed =
            with_secrets(Some(given.clone()), &after, &after, &environment(&[("MY_TOKEN", "newer")]));
        assert_eq!(renewed.unwrap().0["MY_TOKEN"], "newer");
        assert_eq!(with_secrets(Some(given.clone()), &after, &after, &environment(&[])).unwrap(), given);
    }

    #[test]
    fn whoever_edits_something_else_need_not_have_the_secrets() {
        let document = document("{TOKEN: MY_TOKEN}");
        let caller = environment(&[("HOME", "/home/second")]);
        assert_eq!(with_secrets(None, &document, &document, &caller).unwrap(), caller);
    }
}
