//! Sessions of Session Manager: who may have one to which port of which machine, and when it ends.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    admission::Caller,
    cloud::{Cloud, Service},
    instances::State,
};
use crate::error::ApiError;

/// The document of port forwarding, the only one there is.
pub const PORT_FORWARDING: &str = "AWS-StartPortForwardingSession";

/// What the role of a machine must allow for its agent to be heard of.
const AGENT_NEEDS: [&str; 2] = ["ssm:UpdateInstanceInformation", "ssmmessages:CreateDataChannel"];

/// A session: a way to one port of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// As in `crewcall-test-0a1b2c…`.
    pub id: String,
    /// The machine.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// What the client's program is told to listen on; `0` for any.
    pub local_port: u16,
    /// What whoever opens the channel must show.
    pub token: String,
    /// Whose it is, as the end of an ARN.
    pub owner: String,
    /// When data last went through, or it began.
    pub active: Timestamp,
    /// Why it ended, if it has.
    pub ended: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    target: Option<String>,
    document_name: Option<String>,
    parameters: std::collections::BTreeMap<String, Vec<String>>,
    session_id: Option<String>,
}

impl Cloud {
    /// Answers the calls about sessions; `None` for others.
    pub(super) fn session_call(
        &mut self,
        action: &str,
        body: &[u8],
        caller: &Caller,
    ) -> Option<Result<Value, ApiError>> {
        let act = match action {
            "StartSession" => Self::start_session,
            "ResumeSession" => Self::resume_session,
            "TerminateSession" => Self::terminate_session,
            _ => return None,
        };
        let request = serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
            .map_err(|error| ApiError::new("SerializationException", error.to_string()));
        Some(request.and_then(|request| act(self, request, caller)))
    }

    fn start_session(&mut self, request: Request, caller: &Caller) -> Result<Value, ApiError> {
        let target = request.target.ok_or_else(|| invalid("Target is missing"))?;
        let document = request.document_name.unwrap_or_else(|| "SSM-SessionManagerRunShell".into());
        for resource in [format!("instance/{target}"), format!("document/{document}")] {
            self.may("StartSession", &resource, caller)?;
        }
        if document != PORT_FORWARDING {
            return Err(ApiError::new(
                "InvalidDocument",
                format!("Document with name {document} does not exist."),
            ));
        }
        let port = |name: &str, otherwise: Option<u16>| match request.parameters.get(name).map(Vec::as_slice)
        {
            Some([text]) => text.parse().map_err(|_| invalid(format!("{name}: {text} is no port"))),
            None => otherwise.ok_or_else(|| invalid(format!("{name} is missing"))),
            Some(_) => Err(invalid(format!("{name} takes one value"))),
        };
        let (port, local_port) = (port("portNumber", Some(80))?, port("localPortNumber", Some(0))?);
        if !self.is_connected(&target) {
            return Err(ApiError::new("TargetNotConnected", format!("{target} is not connected.")));
        }
        let owner = self.principal(caller);
        let name = owner.rsplit('/').next().unwrap_or_default();
        let id = format!("{name}-{:017x}", self.ids.number() >> 4);
        let token = format!("AAEAA{:016x}{:016x}", self.ids.number(), self.ids.number());
        let session =
            Session { id: id.clone(), target, port, local_port, token, owner, active: self.now, ended: None };
        let answer = self.opened(&session);
        self.sessions.insert(id, session);
        Ok(answer)
    }

    fn resume_session(&mut self, request: Request, caller: &Caller) -> Result<Value, ApiError> {
        let id = self.own(request, "ResumeSession", caller)?;
        let token = format!("AAEAA{:016x}{:016x}", self.ids.number(), self.ids.number());
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.ended.is_none()) else {
            // Clients take the missing token for the end.
            return Ok(json!({"SessionId": id}));
        };
        session.token = token;
        let session = session.clone();
        Ok(self.opened(&session))
    }

    fn terminate_session(&mut self, request: Request, caller: &Caller) -> Result<Value, ApiError> {
        let id = self.own(request, "TerminateSession", caller)?;
        self.end_session(&id, "Session terminated by its owner");
        Ok(json!({"SessionId": id}))
    }

    /// The session that a request names, if the caller may do this to it.
    fn own(&self, request: Request, action: &str, caller: &Caller) -> Result<String, ApiError> {
        let id = request.session_id.ok_or_else(|| invalid("SessionId is missing"))?;
        self.may(action, &format!("session/{id}"), caller)?;
        if !self.sessions.contains_key(&id) {
            return Err(ApiError::new("DoesNotExistException", format!("Session {id} does not exist")));
        }
        Ok(id)
    }

    fn may(&self, action: &str, resource: &str, caller: &Caller) -> Result<(), ApiError> {
        if self.allowed(Service::Ssm, action, resource, caller) {
            return Ok(());
        }
        let text = format!(
            "User: arn:aws:sts::{account}:{} is not authorized to perform: ssm:{action} on resource: \
             arn:aws:ssm:{}:{account}:{resource} because no identity-based policy allows the ssm:{action} action",
            self.principal(caller),
            self.settings.region,
            account = self.settings.account,
        );
        Err(ApiError::new("AccessDeniedException", text))
    }

    fn opened(&self, session: &Session) -> Value {
        let url = format!("{}/v1/data-channel/{}?role=publish_subscribe", self.settings.channels, session.id);
        json!({"SessionId": session.id, "TokenValue": session.token, "StreamUrl": url})
    }

    /// Whether the agent of a machine is heard of: it runs, and its role allows what agents need.
    pub fn is_connected(&self, instance: &str) -> bool {
        let Some(instance) = self.instances.get(instance) else { return false };
        let policy = instance.profile.as_ref().and_then(|name| self.settings.profiles.get(name));
        instance.state == State::Running
            && policy.is_some_and(|policy| AGENT_NEEDS.iter().all(|action| policy.allows(action, "")))
    }

    /// A session, ended ones too.
    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// Data went through it.
    pub fn session_active(&mut self, id: &str) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(id) {
            session.active = now;
        }
    }

    /// Ends it; the first reason holds.
    pub fn end_session(&mut self, id: &str, reason: &str) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.ended.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Ends those through which nothing has gone for too long.
    pub(super) fn end_idle_sessions(&mut self) {
        let (now, idle) = (self.now, self.settings.session_idle);
        let open = self.sessions.values_mut().filter(|session| session.ended.is_none());
        for session in open.filter(|session| now.duration_since(session.active) >= idle) {
            session.ended = Some("Your session was inactive for too long".into());
        }
    }

    /// The ids of those that have not ended.
    pub(super) fn open_sessions(&self) -> Vec<&String> {
        self.sessions.values().filter(|session| session.ended.is_none()).map(|session| &session.id).collect()
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}
