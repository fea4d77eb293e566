//! How instances come to run, and to end.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{
    cloud::{Cloud, Effect},
    instances::{Behaviour, Notice, Reason, State, timestamp},
    settings::Hosts,
    tags::not_found,
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// The most instances that one call may name.
const MOST: usize = 1000;

/// What becomes of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Terminated,
}

impl Cloud {
    /// Lets time pass. It does not go back.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let now = self.now;
        let ids: Vec<_> = self.instances.keys().cloned().collect();
        for id in ids {
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            let taken = instance.notice.is_some_and(|notice| now >= notice.at);
            if taken && matches!(instance.state, State::Pending | State::Running) {
                self.end(&id, End::Terminated, Some(Reason::SPOT));
            }
            self.pass_due(&id);
            self.vanish(&id);
        }
        self.end_idle_sessions();
    }

    fn pass_due(&mut self, id: &str) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id) else { return };
        let Some(due) = instance.due.filter(|due| *due <= now) else { return };
        instance.due = None;
        match instance.state {
            State::Pending => instance.state = State::Running,
            _ => self.ended(id, due),
        }
    }

    fn vanish(&mut self, id: &str) {
        let (now, vanish) = (self.now, self.settings.vanish);
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.ended.is_some_and(|ended| now.duration_since(ended) >= vanish)
            && instance.state == State::Terminated
        {
            instance.vanished = true;
        }
    }

    /// A real host has booted.
    pub fn host_runs(&mut self, id: &str) {
        if let Some(instance) = self.instances.get_mut(id)
            && instance.state == State::Pending
        {
            instance.state = State::Running;
        }
    }

    /// A real host could not be booted.
    pub fn host_failed(&mut self, id: &str) {
        self.end(id, End::Terminated, Some(Reason::FAILED));
        self.ended(id, self.now);
    }

    /// A host has powered off, because it was told to or by itself.
    pub fn host_ended(&mut self, id: &str) {
        let Some(instance) = self.instances.get(id) else { return };
        if matches!(instance.state, State::Pending | State::Running) {
            let end = match instance.behaviour {
                Behaviour::Terminate => End::Terminated,
                Behaviour::Stop => End::Stopped,
            };
            self.end(id, end, Some(Reason::INSIDE));
        }
        self.ended(id, self.now);
    }

    /// What the console says so far.
    pub fn host_said(&mut self, id: &str, console: Vec<u8>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.console = console;
        }
    }

    /// Announces that a spot instance is wanted back.
    pub fn announce(&mut self, id: &str, notice: Option<jiff::SignedDuration>) -> Result<(), ApiError> {
        let after = notice.unwrap_or(self.settings.notice);
        let at = self.now.checked_add(after).map_err(|_| ApiError::invalid("the notice is too long"))?;
        let instance = self.instances.get_mut(id).ok_or_else(|| not_found(id))?;
        instance.notice = Some(Notice { at });
        Ok(())
    }

    fn end(&mut self, id: &str, end: End, reason: Option<Reason>) {
        let (now, stop, hosts) = (self.now, self.settings.stop, self.settings.hosts);
        let Some(instance) = self.instances.get_mut(id) else { return };
        let next = match (instance.state, end) {
            (State::Terminated | State::ShuttingDown, _)
            | (State::Stopped | State::Stopping, End::Stopped) => return,
            (_, End::Stopped) => State::Stopping,
            (_, End::Terminated) => State::ShuttingDown,
        };
        let was = std::mem::replace(&mut instance.state, next);
        instance.reason = reason;
        if was == State::Stopped {
            self.ended(id, self.now);
            return;
        }
        instance.due = (hosts == Hosts::Imagined).then(|| now.checked_add(stop).unwrap_or(now));
        if was != State::Stopping {
            self.effects.push(Effect::End(id.to_owned()));
        }
    }

    /// From shutting down to terminated, from stopping to stopped.
    fn ended(&mut self, id: &str, at: Timestamp) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        match instance.state {
            State::Stopping => instance.state = State::Stopped,
            State::ShuttingDown => {
                instance.state = State::Terminated;
                instance.ended = Some(at);
                instance.notice = None;
                let address = u32::from(instance.private_ip);
                self.addresses.remove(&address);
                self.release_devices(id);
                self.effects.push(Effect::Forget(id.to_owned()));
            }
            _ => {}
        }
    }

    fn start(&mut self, id: &str) -> Result<(), ApiError> {
        let (now, boot, hosts) = (self.now, self.settings.boot, self.settings.hosts);
        let instance = self.instances.get_mut(id).ok_or_else(|| not_found(id))?;
        match instance.state {
            State::Running | State::Pending => return Ok(()),
            State::Stopped => {}
            other => return Err(wrong_state(id, other, "started")),
        }
        instance.state = State::Pending;
        instance.reason = None;
        instance.launched = now;
        instance.due = (hosts == Hosts::Imagined).then(|| now.checked_add(boot).unwrap_or(now));
        self.effects.push(Effect::Boot(id.to_owned()));
        Ok(())
    }

    pub(super) fn terminate(&mut self, id: &str) {
        self.end(id, End::Terminated, Some(Reason::USER));
    }

    pub(super) fn change_instances(
        &mut self,
        action: &str,
        parameters: &Parameters,
    ) -> Result<Fields, ApiError> {
        let ids: Vec<_> = parameters.texts("InstanceId").into_iter().map(str::to_owned).collect();
        if ids.is_empty() {
            return Err(ApiError::missing("InstanceId"));
        }
        if ids.len() > MOST {
            return Err(ApiError::invalid(format!(
                "The maximum number of instances on a single call is {MOST}"
            )));
        }
        self.known(&ids)?;
        let mut changes = Vec::new();
        for id in &ids {
            let before = self.instances.get(id).map_or(State::Terminated, |instance| instance.state);
            match action {
                "TerminateInstances" => self.terminate(id),
                "StopInstances" if before >= State::ShuttingDown => {
                    return Err(wrong_state(id, before, "stopped"));
                }
                "StopInstances" => self.end(id, End::Stopped, Some(Reason::USER)),
                "StartInstances" => self.start(id)?,
                _ => self.effects.push(Effect::Reboot(id.clone())),
            }
            let after = self.instances.get(id).map_or(State::Terminated, |instance| instance.state);
            changes.push(
                Fields::new()
                    .with("instanceId", id)
                    .fields("currentState", after.fields())
                    .fields("previousState", before.fields()),
            );
        }
        if action == "RebootInstances" {
            return Ok(Fields::done());
        }
        Ok(Fields::new().items("instancesSet", changes))
    }

    /// All of these instances exist, or the error names those that do not.
    pub(super) fn known(&self, ids: &[String]) -> Result<(), ApiError> {
        for id in ids {
            let digits = id.strip_prefix("i-").unwrap_or_default();
            if digits.is_empty() || !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                let text = format!("Invalid id: \"{id}\"");
                return Err(ApiError::new("InvalidInstanceID.Malformed", text));
            }
        }
        let missing: Vec<_> = ids
            .iter()
            .filter(|id| {
                self.instances
                    .get(*id)
                    .is_none_or(|instance| instance.vanished || !self.visible(instance.made))
            })
            .map(String::as_str)
            .collect();
        match missing[..] {
            [] => Ok(()),
            [one] => Err(not_found(one)),
            _ => Err(ApiError::new(
                "InvalidInstanceID.NotFound",
                format!("The instance IDs '{}' do not exist", missing.join(", ")),
            )),
        }
    }

    pub(super) fn console_output(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = parameters.required("InstanceId")?.to_owned();
        self.known(std::slice::from_ref(&id))?;
        let console = self.instances.get(&id).map(|instance| instance.console.as_slice()).unwrap_or_default();
        // EC2 keeps the last 64 KB.
        let from = console.len().saturating_sub(64 * 1024);
        Ok(Fields::new()
            .with("instanceId", &id)
            .with("timestamp", timestamp(self.now))
            .with("output", STANDARD.encode(&console[from..])))
    }
}

fn wrong_state(id: &str, state: State, what: &str) -> ApiError {
    let text = format!("The instance '{id}' is not in a state from which it can be {what}: {}", state.name());
    ApiError::new("IncorrectInstanceState", text)
}
