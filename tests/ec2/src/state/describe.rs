//! What is said about instances.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::collections::BTreeMap;

use super::{
    cloud::Cloud,
    filters::{Filters, page},
    instances::{Behaviour, Instance, State},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

impl Cloud {
    pub(super) fn describe_instances(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let (found, token) = self.found_instances(parameters, |_| true)?;
        let mut reservations: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        for instance in found {
            reservations.entry(&instance.reservation).or_default().push(instance);
        }
        let reservations = reservations.into_iter().map(|(id, instances)| {
            Fields::new()
                .with("reservationId", id)
                .with("ownerId", &self.settings.account)
                .items::<Fields>("groupSet", [])
                .items("instancesSet", instances.into_iter().map(|instance| self.instance_fields(instance)))
        });
        Ok(Fields::new().items("reservationSet", reservations).with_some("nextToken", token))
    }

    pub(super) fn describe_instance_status(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let all = parameters.flag("IncludeAllInstances")? == Some(true);
        let (found, token) =
            self.found_instances(parameters, |instance| all || instance.state == State::Running)?;
        let statuses = found.into_iter().map(|instance| {
            let status = if instance.state == State::Running { "ok" } else { "not-applicable" };
            Fields::new()
                .with("instanceId", &instance.id)
                .with("availabilityZone", &instance.zone)
                .fields("instanceState", instance.state.fields())
                .fields("systemStatus", Fields::new().with("status", status))
                .fields("instanceStatus", Fields::new().with("status", status))
        });
        Ok(Fields::new().items("instanceStatusSet", statuses).with_some("nextToken", token))
    }

    fn found_instances(
        &self,
        parameters: &Parameters,
        also: impl Fn(&Instance) -> bool,
    ) -> Result<(Vec<&Instance>, Option<String>), ApiError> {
        let named: Vec<_> = parameters.texts("InstanceId").into_iter().map(str::to_owned).collect();
        if !named.is_empty() && parameters.has("MaxResults") {
            let text = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(ApiError::combination(text));
        }
        self.known(&named)?;
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (id, instance) in &self.instances {
            if instance.vanished || !self.visible(instance.made) || !also(instance) {
                continue;
            }
            let fits = filters.fit(&instance.tags, |name| self.values(instance, name))?;
            if fits && (named.is_empty() || named.contains(id)) {
                found.push((id.clone(), instance));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        Ok((found.into_iter().map(|(_, instance)| instance).collect(), token))
    }

    /// What an instance has under a filter's name.
    fn values(&self, instance: &Instance, name: &str) -> Option<Vec<String>> {
        let lives = instance.lives();
        let some = |value: Option<&String>| value.cloned().into_iter().collect();
        Some(match name {
            "instance-id" => vec![instance.id.clone()],
            "instance-state-name" => vec![instance.state.name().into()],
            "instance-type" => vec![instance.kind.name.clone()],
            "instance-lifecycle" => vec![match instance.market {
                super::Market::OnDemand => "scheduled-or-on-demand".into(),
                super::Market::Spot => "spot".into(),
            }],
            "client-token" => some(instance.token.as_ref()),
            "reservation-id" => vec![instance.reservation.clone()],
            "spot-instance-request-id" => some(instance.spot_request.as_ref()),
            "image-id" => vec![instance.image.clone()],
            "availability-zone" => vec![instance.zone.clone()],
            "key-name" => some(instance.key.as_ref()),
            "architecture" => vec![instance.kind.architecture.into()],
            "instance.group-id" | "network-interface.group-id" if lives => instance.groups.clone(),
            "instance.group-id"
            | "network-interface.group-id"
            | "vpc-id"
            | "subnet-id"
            | "private-ip-address"
                if !lives =>
            {
                Vec::new()
            }
            "vpc-id" => vec![self.settings.vpc.clone()],
            "subnet-id" => vec![instance.subnet.clone()],
            "private-ip-address" => vec![instance.private_ip.to_string()],
            "private-dns-name" => vec![instance.private_name()],
            "ip-address" => instance.reachable_ip().map(|address| address.to_string()).into_iter().collect(),
            "iam-instance-profile.arn" => {
                instance.profile.iter().map(|profile| self.profile_arn(profile)).collect()
            }
            _ => return None,
        })
    }

    pub(super) fn describe_instance_attribute(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = parameters.required("InstanceId")?.to_owned();
        self.known(std::slice::from_ref(&id))?;
        let fields = Fields::new().with("instanceId", &id);
        let Some(instance) = self.instances.get(&id) else { return Ok(fields) };
        let value = |value: String| Fields::new().with("value", value);
        match parameters.required("Attribute")? {
            "userData" if instance.user_data.is_empty() => Ok(fields.fields("userData", Fields::new())),
            "userData" => Ok(fields.fields("userData", value(STANDARD.encode(&instance.user_data)))),
            "instanceInitiatedShutdownBehavior" => {
                let text = match instance.behaviour {
                    Behaviour::Stop => "stop",
                    Behaviour::Terminate => "terminate",
                };
                Ok(fields.fields("instanceInitiatedShutdownBehavior", value(text.into())))
            }
            other => Err(ApiError::invalid(format!("Value ({other}) for parameter attribute is invalid."))),
        }
    }
}
