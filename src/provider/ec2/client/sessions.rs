//! Sessions of AWS Systems Manager: port forwardings to machines that have no address of their own.

use serde_json::json;

use super::{failure::nothing, session::Ec2Client};
use crate::{model::InstanceId, provider::ProviderError};

/// AWS' own document of a session that forwards one port.
const DOCUMENT: &str = "AWS-StartPortForwardingSession";

/// A session that was started, for AWS' program to use.
#[derive(Clone, PartialEq, Eq)]
pub struct StartedSession {
    /// Its id.
    pub id: String,
    /// What AWS answered, as JSON; whoever has it has the session.
    pub answer: String,
}

/// Without what opens it.
impl std::fmt::Debug for StartedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartedSession").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Ec2Client {
    /// Starts a session that leads to a port of a machine. AWS has each session end when it was idle for a while, 20
    /// minutes unless the account says otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::model::ErrorKind::NotFound): nothing is heard of the machine's agent, or not yet.
    pub async fn start_session(
        &self,
        instance: &InstanceId,
        port: u16,
    ) -> Result<StartedSession, ProviderError> {
        const ACTION: &str = "ssm:StartSession";
        let call = self
            .ssm()
            .await?
            .start_session()
            .target(instance.as_str())
            .document_name(DOCUMENT)
            .parameters("portNumber", vec![port.to_string()])
            // Any port that is free.
            .parameters("localPortNumber", vec!["0".to_owned()]);
        let answer = call.send().await.map_err(|error| self.failed(ACTION, &error))?;
        let (Some(id), Some(url), Some(token)) =
            (answer.session_id(), answer.stream_url(), answer.token_value())
        else {
            return Err(nothing(ACTION, "session"));
        };
        let text = json!({"SessionId": id, "StreamUrl": url, "TokenValue": token}).to_string();
        Ok(StartedSession { id: id.to_owned(), answer: text })
    }

    /// Ends a session; one that has ended is fine.
    pub async fn terminate_session(&self, session: &str) -> Result<(), ProviderError> {
        let call = self.ssm().await?.terminate_session().session_id(session);
        call.send().await.map(|_| ()).map_err(|error| self.failed("ssm:TerminateSession", &error))
    }
}
