//! From a document to an object, or to the changes of one.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;

use super::{
    asked,
    shared::{Resources, refused, uid_of},
    story::story,
};
use crate::{
    api::{ApiError, ErrorCode, WatchMessage},
    controller::{
        CreateMode, CreateOutcome, CreateReply, CreateRequest, Listener, RequestError, described, summary,
    },
    model::Presence,
    provider::{
        Caller,
        kubernetes::{Rehearsal, secret_values, secret_variables_name},
    },
    spec::{self, ClusterName, ComputeCluster, ProviderKind},
    store::kubernetes::{belonging, note_client},
};

/// How long a name that is still being deleted is waited for.
const GONE_BOUND: Duration = Duration::from_mins(2);

/// How often a change is tried again that somebody else came before.
const TRIES: u32 = 5;

impl Resources {
    /// Makes the object that a document describes, or changes the one of its name.
    pub(super) async fn accept(
        &self,
        mut request: CreateRequest,
        progress: Listener<'_>,
    ) -> Result<CreateReply, ApiError> {
        check(&request.document)?;
        request.document.metadata.namespace = Some(self.context().namespace.clone());
        let name = request.document.metadata.name.clone();
        for _ in 0..TRIES {
            let Some(object) = self.shared.custom.get(&name).await.map_err(refused)? else {
                match self.make(&request, CreateOutcome::Created, progress).await? {
                    Some(reply) => return Ok(reply),
                    // Somebody was faster.
                    None => continue,
                }
            };
            if let Some(reply) = self.change(&object, &request, progress).await? {
                return Ok(reply);
            }
        }
        let message = format!("somebody else keeps changing computecluster {name}");
        Err(ApiError::new(ErrorCode::Conflict, message).with_hint("run the command again"))
    }

    /// Makes a new object; `None` when there is one by now.
    async fn make(
        &self,
        request: &CreateRequest,
        outcome: CreateOutcome,
        progress: Listener<'_>,
    ) -> Result<Option<CreateReply>, ApiError> {
        let name = &request.document.metadata.name;
        let custom = &self.shared.custom;
        let mut document = request.document.clone();
        if document.spec.workers.size().is_none() {
            document.spec.workers.replicas = Some(1);
        }
        if request.mode == CreateMode::DryRun {
            custom.create(&written(&document)?, Rehearsal::DryRun).await.map_err(refused)?;
            let changes = vec![format!("cluster {name} would be created")];
            return Ok(Some(CreateReply { outcome, changes, warnings: Vec::new(), cluster: None }));
        }
        let caller = Caller { context: request.context.clone(), environment: request.environment.clone() };
        let secrets = secret_values(&document, &caller).map_err(refused)?;
        let resolved = custom.resolve_image(&document, &caller, progress).await.map_err(refused)?;
        if resolved.is_some() {
            document.spec.environment = resolved;
        }
        if outcome == CreateOutcome::Replaced {
            self.make_room(name, progress).await?;
        }
        let mut object = written(&document)?;
        if let Some(client) = &request.context.interpreter {
            note_client(&mut object, &client.versions);
        }
        let made = custom.create(&object, Rehearsal::ForReal).await.map_err(refused)?;
        let Some(made) = made else { return Ok(None) };
        if !secrets.is_empty() {
            let metadata = belonging(&made, &secret_variables_name(name));
            if let Err(error) = custom.keep_secret_variables(&metadata, &secrets).await {
                // Nothing of it could start.
                custom.delete(name, &uid_of(&made)).await.map_err(refused)?;
                return Err(refused(error));
            }
        }
        let cluster = Some(self.view(&made)?);
        Ok(Some(CreateReply { outcome, changes: Vec::new(), warnings: Vec::new(), cluster }))
    }

    /// Deletes what has the name, and waits until it is gone.
    async fn make_room(&self, name: &ClusterName, progress: Listener<'_>) -> Result<(), ApiError> {
        let Some(object) = self.shared.custom.get(name).await.map_err(refused)? else { return Ok(()) };
        progress(format!("waiting for the old cluster {name} to be gone"));
        let mut story = story(self.clone(), name.clone());
        self.shared.custom.delete(name, &uid_of(&object)).await.map_err(refused)?;
        let mut left = 0;
        let gone = async {
            while let Some(message) = story.next().await {
                match message {
                    Ok(WatchMessage::Gone) => return Ok(()),
                    Ok(WatchMessage::Cluster(view)) => left = view.nodes.len(),
                    Ok(WatchMessage::Event(_)) => {}
                    Err(error) if error.code == ErrorCode::NotFound => return Ok(()),
                    // What an operator refuses, or is no cluster, has no nodes.
                    Err(error) if matches!(error.code, ErrorCode::Refused | ErrorCode::Unreadable) => {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let waited = tokio::time::timeout(GONE_BOUND, gone).await;
        waited.unwrap_or_else(|_| {
            Err(RequestError::TooLong {
                waited_for: format!("the end of the old cluster {name}"),
                seconds: GONE_BOUND.as_secs(),
                last_seen: format!("{left} nodes"),
            }
            .into())
        })
    }

    /// Changes an object; `None` when it is another one, or another version, by now.
    async fn change(
        &self,
        object: &Value,
        request: &CreateRequest,
        progress: Listener<'_>,
    ) -> Result<Option<CreateReply>, ApiError> {
        let name = &request.document.metadata.name;
        let record = match self.shared.reader.look(object) {
            Ok(record) => record,
            Err(_) if request.mode == CreateMode::Replace => {
                return self.make(request, CreateOutcome::Replaced, progress).await;
            }
            Err(_) => return self.view(object).map(|_| None),
        };
        if matches!(record.wanted.presence, Presence::Absent(_)) {
            self.make_room(name, progress).await?;
            return self.make(request, CreateOutcome::Created, progress).await;
        }
        let stands = &record.wanted.document;
        let mut wanted = request.document.clone();
        // What was resolved for the cluster stands, unless the document now says otherwise.
        if wanted.spec.environment.as_ref().is_none_or(|asked| {
            stands.spec.environment.as_ref().is_some_and(|resolved| asked.is_filled_in_by(resolved))
        }) {
            wanted.spec.environment.clone_from(&stands.spec.environment);
        }
        // Labels that others have set are theirs.
        for (key, value) in &stands.metadata.labels {
            wanted.metadata.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let edit = spec::compare(stands, &wanted);
        if !edit.fixed.is_empty() {
            let changes = edit.fixed.iter().map(described).collect();
            return match request.mode {
                CreateMode::Apply | CreateMode::DryRun => {
                    Err(RequestError::Fixed { name: name.clone(), changes }.into())
                }
                CreateMode::Replace => self.make(request, CreateOutcome::Replaced, progress).await,
            };
        }
        let (changes, warnings) = (summary(&edit), Vec::new());
        if edit.is_empty() {
            let cluster = Some(self.view(object)?);
            return Ok(Some(CreateReply { outcome: CreateOutcome::Unchanged, changes, warnings, cluster }));
        }
        let mut after = written(&spec::carry_sizes(stands, &wanted))?;
        // An image that the object leaves to the operator stays its matter.
        if let Some(spec) = after.get_mut("spec").and_then(Value::as_object_mut) {
            match object.pointer("/spec/environment") {
                Some(environment) => drop(spec.insert("environment".to_owned(), environment.clone())),
                None => drop(spec.remove("environment")),
            }
        }
        let rehearsal =
            if request.mode == CreateMode::DryRun { Rehearsal::DryRun } else { Rehearsal::ForReal };
        let patch = asked::patch(object, &after);
        let patched = self.shared.custom.patch(name, &patch, rehearsal).await.map_err(refused)?;
        let Some(patched) = patched else { return Ok(None) };
        let cluster = Some(self.view(&patched)?);
        Ok(Some(CreateReply { outcome: CreateOutcome::Updated, changes, warnings, cluster }))
    }
}

fn check(document: &ComputeCluster) -> Result<(), ApiError> {
    spec::validate(document).map_err(|invalid| {
        RequestError::Invalid(invalid.problems.into_iter().map(|problem| problem.message).collect())
    })?;
    let kind = document.spec.provider.kind();
    if kind == ProviderKind::Kubernetes {
        return Ok(());
    }
    let message = format!("`provider: {{{}: …}}` is not for an operator, which runs pods", kind.as_str());
    Err(ApiError::new(ErrorCode::Invalid, message).with_hint(
        "write `provider: {kubernetes: {}}`, or use this machine's controller with `--context local`",
    ))
}

fn written(document: &ComputeCluster) -> Result<Value, ApiError> {
    asked::object(document).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("the document cannot be written as JSON: {error}"))
    })
}
