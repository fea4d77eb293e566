//! `create --owner`: a cluster that ends with the process that it is for (docs/decisions.md, 20).

use std::{cell::Cell, pin::pin, time::Duration};

use futures_util::StreamExt;

use super::create::{Asked, Heard, ask, finish};
use crate::{
    api::{Clusters, ErrorCode, WatchMessage},
    cli::{
        CliError,
        args::CreateArguments,
        document::ReadDocument,
        owner::Owner,
        session::{Session, explain},
    },
    controller::CreateOutcome,
    model::ClusterKey,
};

/// How often a controller is looked for after the last one went away. None is started: the cluster
/// needs none as long as its owner lives.
const RECONNECT: Duration = Duration::from_secs(2);

/// Runs the verb for an owner.
///
/// What this command made it deletes when the owner ends, when it is interrupted, and when the
/// cluster does not become ready. A cluster that was there before is left as it is.
pub(super) async fn create_owned(
    session: &Session,
    arguments: &CreateArguments,
    read: ReadDocument,
    owner: u32,
) -> Result<(), CliError> {
    let owner = Owner::find(owner)?;
    let mut stop = pin!(owner.ended_or_interrupted());
    let heard = Cell::new(Heard::Nothing);
    let mut asking = pin!(ask(session, arguments, read, &heard));
    // The controller goes on once it was asked: only its answer tells what there is to delete.
    let (asked, stopped) = tokio::select! {
        asked = &mut asking => (asked?, None),
        why = &mut stop => (asking.await?, Some(why?)),
    };
    let Some(key) = made(&asked) else {
        return match stopped {
            Some(why) => Err(interrupted(why, "the cluster was there before and is left as it is")),
            None => finish(session, arguments, asked).await,
        };
    };
    let finished = if let Some(why) = stopped {
        Err(interrupted(why, "the cluster is deleted"))
    } else {
        tokio::select! {
            finished = finish(session, arguments, asked) => finished,
            why = &mut stop => Err(interrupted(why?, "the cluster is deleted")),
        }
    };
    if let Err(error) = finished {
        delete(session, &key).await?;
        return Err(error);
    }
    tokio::select! {
        () = until_gone(session, &key) => Ok(()),
        _ = stop => delete(session, &key).await,
    }
}

/// The cluster, if this command made it.
fn made(asked: &Asked) -> Option<ClusterKey> {
    match asked.reply.outcome {
        CreateOutcome::Created | CreateOutcome::Replaced => {
            asked.reply.cluster.as_ref().map(crate::controller::ClusterView::key)
        }
        CreateOutcome::Updated | CreateOutcome::Unchanged => None,
    }
}

fn interrupted(why: &str, what: &str) -> CliError {
    CliError::Interrupted { goes_on: format!("{why}; {what}"), hint: None }
}

/// Has the cluster deleted, unless it is gone or its name is another one's by now.
async fn delete(session: &Session, key: &ClusterKey) -> Result<(), CliError> {
    let client = session.controller().await?;
    let deleted = match client.get(&key.name).await {
        Ok(view) if view.uid == key.uid => client.delete(&key.name).await.map(drop),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match deleted {
        Err(error) if error.code != ErrorCode::NotFound => Err(explain(&*client, &key.name, error).await),
        _ => Ok(()),
    }
}

async fn until_gone(session: &Session, key: &ClusterKey) {
    loop {
        if let Ok(Some(client)) = session.existing().await
            && is_gone(&*client, key).await
        {
            return;
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Follows the cluster until it is gone; `false` when the controller went away before.
async fn is_gone(client: &dyn Clusters, key: &ClusterKey) -> bool {
    let mut messages = client.watch(&key.name);
    while let Some(message) = messages.next().await {
        match message {
            Ok(WatchMessage::Gone) => return true,
            Ok(WatchMessage::Cluster(view)) if view.uid != key.uid => return true,
            Ok(WatchMessage::Cluster(_) | WatchMessage::Event(_)) => {}
            Err(error) => return error.code == ErrorCode::NotFound,
        }
    }
    false
}
