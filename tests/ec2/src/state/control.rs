//! What a test tells the double, in its process or over HTTP.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{
    admission::{Credentials, Mishap, Throttle},
    capacity::Room,
    cloud::Cloud,
    settings::Policy,
};
use crate::error::ApiError;

/// Credentials that a test makes known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The access key's id.
    pub access_key: String,
    /// Temporary credentials have one.
    #[serde(default)]
    pub session_token: Option<String>,
    /// How long they are good, in seconds from now.
    #[serde(default)]
    pub expires_in: Option<f64>,
    /// Whose, as in `user/alice`.
    #[serde(default)]
    pub principal: Option<String>,
    /// What they allow; everything if nothing is said.
    #[serde(default)]
    pub policy: Option<Policy>,
}

/// A habit of the service, and the limits of the account. What is not named stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setting {
    /// Seconds until what was made is described.
    pub visibility: Option<f64>,
    /// Seconds that a terminated instance is described.
    pub vanish: Option<f64>,
    /// Seconds until imagined hosts run.
    pub boot: Option<f64>,
    /// Seconds until imagined hosts end.
    pub stop: Option<f64>,
    /// Seconds from an interruption notice to the interruption.
    pub notice: Option<f64>,
    /// The longest page; 0 for as long as may be.
    pub page: Option<usize>,
    /// Processors of on-demand instances; -1 for no limit.
    pub on_demand_vcpus: Option<i64>,
    /// Processors of spot instances; -1 for no limit.
    pub spot_vcpus: Option<i64>,
    /// Only known credentials.
    pub strict_credentials: Option<bool>,
    /// Seconds that a session may be idle.
    pub session_idle: Option<f64>,
    /// Seconds that a request's time may be off; 0 for any.
    pub signature_window: Option<f64>,
}

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Change habits and limits.
    Settings(Setting),
    /// Say how many machines there are.
    Capacity(Room),
    /// Limit how often may be called; a later bucket for the same pattern takes the place of an earlier one.
    Throttle(Throttle),
    /// Plan a mishap.
    Mishap(Mishap),
    /// Drop capacity rules, buckets and mishaps.
    Calm {},
    /// Announce that a spot instance is wanted back.
    Interrupt {
        /// Which one.
        instance: String,
        /// Seconds until then.
        #[serde(default)]
        seconds: Option<f64>,
    },
    /// Make an instance profile and its role, or change what the role may do.
    Profile {
        /// Of both.
        name: String,
        /// What the role may do.
        policy: Policy,
    },
    /// Make credentials known.
    Credentials(Known),
    /// Known credentials, or those of an instance's role, are no good from now on.
    Expire {
        /// The access key's id, or the instance's.
        access_key: String,
    },
    /// What callers with unknown credentials may do.
    Policy(Policy),
}

impl Cloud {
    /// Does what a test says.
    pub fn control(&mut self, control: Control, now: Timestamp) -> Result<(), ApiError> {
        self.advance(now);
        match control {
            Control::Settings(setting) => return self.set(&setting),
            Control::Capacity(room) => {
                self.rooms.retain(|known| !known.is_about(&room));
                if room.room.is_some() {
                    self.rooms.push(room);
                }
            }
            Control::Throttle(throttle) => {
                self.throttles.retain(|known| known.action != throttle.action);
                self.throttles.push(throttle);
            }
            Control::Mishap(mishap) => self.mishaps.push(mishap),
            Control::Calm {} => {
                self.rooms.clear();
                self.throttles.clear();
                self.mishaps.clear();
            }
            Control::Interrupt { instance, seconds } => {
                return self.announce(&instance, seconds.map(duration).transpose()?);
            }
            Control::Profile { name, policy } => {
                self.settings.profiles.insert(name, policy);
            }
            Control::Credentials(known) => return self.make_known(known, now),
            Control::Expire { access_key } => self.expire(&access_key, now),
            Control::Policy(policy) => self.everybody = policy,
        }
        Ok(())
    }

    fn make_known(&mut self, known: Known, now: Timestamp) -> Result<(), ApiError> {
        let expires = known.expires_in.map(duration).transpose()?;
        self.know(Credentials {
            access_key: known.access_key,
            secret: String::new(),
            session_token: known.session_token,
            expires: expires.and_then(|after| now.checked_add(after).ok()),
            principal: known.principal.unwrap_or_else(|| "user/crewcall-test".into()),
            policy: known.policy.unwrap_or_else(Policy::administrator),
            profile: None,
        });
        Ok(())
    }

    fn expire(&mut self, named: &str, now: Timestamp) {
        let mine = format!("/{named}");
        let known = self
            .principals
            .iter_mut()
            .filter(|(key, known)| key.as_str() == named || known.principal.ends_with(&mine));
        known.for_each(|(_, known)| known.expires = Some(now));
    }

    fn set(&mut self, setting: &Setting) -> Result<(), ApiError> {
        let settings = &mut self.settings;
        let durations = [
            (&mut settings.visibility, setting.visibility),
            (&mut settings.vanish, setting.vanish),
            (&mut settings.boot, setting.boot),
            (&mut settings.stop, setting.stop),
            (&mut settings.notice, setting.notice),
            (&mut settings.session_idle, setting.session_idle),
        ];
        for (known, given) in durations {
            if let Some(seconds) = given {
                *known = duration(seconds)?;
            }
        }
        if let Some(page) = setting.page {
            settings.page = (page > 0).then_some(page);
        }
        let limits = [
            (&mut settings.on_demand_vcpus, setting.on_demand_vcpus),
            (&mut settings.spot_vcpus, setting.spot_vcpus),
        ];
        for (known, given) in limits {
            if let Some(limit) = given {
                *known = u32::try_from(limit).ok();
            }
        }
        if let Some(strict) = setting.strict_credentials {
            settings.strict_credentials = strict;
        }
        if let Some(window) = setting.signature_window {
            settings.signature_window = (window > 0.0).then(|| duration(window)).transpose()?;
        }
        Ok(())
    }

    /// What there is, for tests that look from outside: ids by kind, and instances with their states.
    pub fn report(&self) -> serde_json::Value {
        let instances: BTreeMap<&str, serde_json::Value> = self
            .instances
            .values()
            .map(|instance| {
                let about = serde_json::json!({
                    "state": instance.state.name(),
                    "type": instance.kind.name,
                    "zone": instance.zone,
                    "market": instance.market.name(),
                    "private_ip": instance.private_ip,
                    "public_ip": instance.reachable_ip(),
                    "reason": instance.reason.as_ref().map(|reason| reason.code),
                    "fleet": instance.fleet,
                    "tags": instance.tags,
                    "user_data_bytes": instance.user_data.len(),
                });
                (instance.id.as_str(), about)
            })
            .collect();
        serde_json::json!({"now": self.now, "instances": instances, "leftovers": self.leftovers()})
    }
}

fn duration(seconds: f64) -> Result<SignedDuration, ApiError> {
    SignedDuration::try_from_secs_f64(seconds)
        .map_err(|_| ApiError::invalid(format!("{seconds} is no number of seconds")))
}
