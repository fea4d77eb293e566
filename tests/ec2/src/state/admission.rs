//! Before a call does anything: who calls, may they, too often, and does a planned mishap befall it.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

use super::{
    cloud::{Call, Cloud, Service},
    settings::{Policy, matches},
};
use crate::error::ApiError;

/// How long the credentials of an instance's role are good.
const ROLE_CREDENTIALS: SignedDuration = SignedDuration::from_hours(6);
/// When new ones take their place.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(15);

/// Who makes a call, as its signature says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The access key's id; without one nobody signed.
    pub access_key: Option<String>,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
    /// When it was signed, as the caller's clock has it.
    pub signed_at: Option<Timestamp>,
}

impl Caller {
    /// Somebody who may do everything unless a policy was set.
    pub fn anybody() -> Self {
        Self { access_key: Some("AKIATESTTESTTESTTEST".into()), ..Self::default() }
    }
}

/// Known credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// Its secret.
    pub secret: String,
    /// Temporary credentials have one.
    pub session_token: Option<String>,
    /// When they are no good any more.
    pub expires: Option<Timestamp>,
    /// Whose: the last part of an ARN, as `user/test` or `assumed-role/crewcall-worker/i-0123`.
    pub principal: String,
    /// What they allow, unless they are a role's.
    pub policy: Policy,
    /// The instance profile whose policy they have.
    pub profile: Option<String>,
}

/// A bucket of tokens for the actions that fit a pattern.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// A pattern of actions, as in `Describe*`.
    pub action: String,
    /// Calls in a row from rest.
    pub burst: f64,
    /// Calls a second after that.
    pub per_second: f64,
    #[serde(skip)]
    level: Option<(f64, Timestamp)>,
}

impl Throttle {
    /// A full bucket.
    pub fn new(action: &str, burst: f64, per_second: f64) -> Self {
        Self { action: action.to_owned(), burst, per_second, level: None }
    }

    fn take(&mut self, now: Timestamp) -> bool {
        let level = self.level.map_or(self.burst, |(level, since)| {
            let passed = now.duration_since(since).as_secs_f64().max(0.0);
            (level + passed * self.per_second).min(self.burst)
        });
        let taken = level >= 1.0;
        self.level = Some((if taken { level - 1.0 } else { level }, now));
        taken
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// It is refused, with no effect.
    Refuse {
        /// The code of the error.
        code: String,
        /// Its text.
        #[serde(default)]
        message: String,
        /// The status of HTTP.
        #[serde(default = "bad_request")]
        status: u16,
    },
    /// It has its effect; the connection is closed instead of an answer.
    LoseReply,
    /// It has no effect; the connection is closed instead of an answer.
    LoseRequest,
    /// It has its effect at once and is answered late.
    Delay {
        /// How late.
        seconds: f64,
    },
}

fn bad_request() -> u16 {
    400
}

fn once() -> u32 {
    1
}

/// A fault, planned.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mishap {
    /// A pattern of actions.
    pub action: String,
    /// How many calls that fit are spared first.
    #[serde(default)]
    pub skip: u32,
    /// How many then are not.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

/// How a call that is let in goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Answer,
    /// It is answered late.
    AnswerAfter(Duration),
    /// It has its effect, and no answer.
    LoseReply,
    /// It has no effect and no answer.
    LoseRequest,
}

impl Cloud {
    /// Lets a call in, or not, and writes it down.
    pub(super) fn admit(
        &mut self,
        service: Service,
        action: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Verdict, ApiError> {
        self.advance(now);
        let admitted = self.admitted(service, action, caller, now);
        self.calls.push(Call {
            at: now,
            service,
            action: action.to_owned(),
            access_key: caller.access_key.clone().unwrap_or_default(),
            error: admitted.as_ref().err().map(|error| error.code.clone()),
            lost: matches!(admitted, Ok(Verdict::LoseReply | Verdict::LoseRequest)),
        });
        admitted
    }

    fn admitted(
        &mut self,
        service: Service,
        action: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Verdict, ApiError> {
        let fault = self.next_fault(action);
        if fault == Some(Fault::LoseRequest) {
            return Ok(Verdict::LoseRequest);
        }
        if let Some(Fault::Refuse { code, message, status }) = fault {
            return Err(ApiError { code, message, status });
        }
        self.throttle(service, action, now)?;
        self.authenticate(service, caller, now)?;
        Ok(match fault {
            Some(Fault::LoseReply) => Verdict::LoseReply,
            Some(Fault::Delay { seconds }) => {
                Verdict::AnswerAfter(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            _ => Verdict::Answer,
        })
    }

    fn next_fault(&mut self, action: &str) -> Option<Fault> {
        let mut found = None;
        for mishap in self.mishaps.iter_mut().filter(|mishap| matches(&mishap.action, action)) {
            if mishap.skip > 0 {
                mishap.skip -= 1;
            } else if found.is_none() && mishap.times > 0 {
                mishap.times -= 1;
                found = Some(mishap.fault.clone());
            }
        }
        self.mishaps.retain(|mishap| mishap.times > 0);
        found
    }

    fn throttle(&mut self, service: Service, action: &str, now: Timestamp) -> Result<(), ApiError> {
        let mut fitting = self.throttles.iter_mut().filter(|throttle| matches(&throttle.action, action));
        if fitting.all(|throttle| throttle.take(now)) {
            return Ok(());
        }
        Err(match service {
            Service::Ec2 => ApiError::new("RequestLimitExceeded", "Request limit exceeded.").status(503),
            Service::Ssm | Service::ServiceQuotas => ApiError::new("ThrottlingException", "Rate exceeded"),
            Service::Sts | Service::Iam => ApiError::new("Throttling", "Rate exceeded"),
        })
    }

    fn authenticate(&self, service: Service, caller: &Caller, now: Timestamp) -> Result<(), ApiError> {
        let Some(access_key) = &caller.access_key else {
            return Err(match service {
                Service::Ec2 => {
                    ApiError::new("MissingParameter", "The request must contain the parameter AWSAccessKeyId")
                }
                _ => ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token")
                    .status(403),
            });
        };
        if let (Some(window), Some(signed_at)) = (self.settings.signature_window, caller.signed_at)
            && now.duration_since(signed_at).abs() > window
        {
            return Err(match service {
                Service::Ec2 => ApiError::new("RequestExpired", "Request has expired."),
                _ => ApiError::new(
                    "InvalidSignatureException",
                    format!("Signature not yet current or expired: {signed_at}"),
                ),
            });
        }
        match self.principals.get(access_key) {
            Some(known) if known.expires.is_some_and(|expires| now >= expires) => Err(match service {
                Service::Ec2 => ApiError::new("RequestExpired", "Request has expired."),
                Service::Ssm | Service::ServiceQuotas => ApiError::new(
                    "ExpiredTokenException",
                    "The security token included in the request is expired",
                ),
                Service::Sts | Service::Iam => {
                    ApiError::new("ExpiredToken", "The security token included in the request is expired")
                        .status(403)
                }
            }),
            Some(known) if known.session_token == caller.session_token => Ok(()),
            None if !self.settings.strict_credentials && !access_key.starts_with("ASIA") => Ok(()),
            _ => Err(match service {
                Service::Ec2 => ApiError::new(
                    "AuthFailure",
                    "AWS was not able to validate the provided access credentials",
                )
                .status(401),
                Service::Ssm | Service::ServiceQuotas => ApiError::new(
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid.",
                ),
                Service::Sts | Service::Iam => ApiError::new(
                    "InvalidClientTokenId",
                    "The security token included in the request is invalid.",
                )
                .status(403),
            }),
        }
    }

    /// Whether the caller may do this; `resource` is empty where policies do not tell resources apart.
    pub(super) fn allowed(&self, service: Service, action: &str, resource: &str, caller: &Caller) -> bool {
        let known = caller.access_key.as_ref().and_then(|key| self.principals.get(key));
        let action = format!("{}:{action}", service.prefix());
        match known {
            Some(known) => match &known.profile {
                Some(profile) => {
                    self.settings.profiles.get(profile).is_some_and(|policy| policy.allows(&action, resource))
                }
                None => known.policy.allows(&action, resource),
            },
            None => self.everybody.allows(&action, resource),
        }
    }

    /// Whose credentials these are, as the end of an ARN.
    pub fn principal(&self, caller: &Caller) -> String {
        let known = caller.access_key.as_ref().and_then(|key| self.principals.get(key));
        known.map_or_else(|| "user/crewcall-test".to_owned(), |known| known.principal.clone())
    }

    /// Makes credentials known.
    pub fn know(&mut self, credentials: Credentials) {
        self.principals.insert(credentials.access_key.clone(), credentials);
    }

    /// The credentials of an instance's role, as its metadata has them; `None` without a profile.
    pub fn role_credentials(&mut self, instance: &str, now: Timestamp) -> Option<Credentials> {
        let profile = self.instances.get(instance)?.profile.clone()?;
        let principal = format!("assumed-role/{profile}/{instance}");
        let fresh = self.principals.values().find(|known| {
            known.principal == principal
                && known.expires.is_some_and(|expires| expires > now + RENEWED_BEFORE)
        });
        if let Some(fresh) = fresh {
            return Some(fresh.clone());
        }
        let credentials = Credentials {
            access_key: format!("ASIA{:016X}", self.ids.number()),
            secret: format!("{:016x}{:016x}", self.ids.number(), self.ids.number()),
            session_token: Some(format!("token/{:016x}", self.ids.number())),
            expires: now.checked_add(ROLE_CREDENTIALS).ok(),
            principal,
            policy: Policy::default(),
            profile: Some(profile),
        };
        self.know(credentials.clone());
        Some(credentials)
    }
}
