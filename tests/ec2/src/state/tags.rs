//! Tags: in the creating call, and after it.

use std::collections::BTreeMap;

use super::{
    cloud::Cloud,
    filters::{Filters, page},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// Tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// The most tags that a resource may have.
const MOST: usize = 50;

/// As `tagSet` lists them.
pub(super) fn tag_set(tags: &Tags) -> Vec<Fields> {
    tags.iter().map(|(key, value)| Fields::new().with("key", key).with("value", value)).collect()
}

/// The `Tag` list at this place.
pub(super) fn tags_at(parameters: &Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in parameters.list("Tag") {
        let key = tag.required("Key")?;
        let value = tag.text("Value").unwrap_or_default();
        check(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    within_limit(tags)
}

/// What `TagSpecification` says for one type of resource, of those that the call allows.
pub(super) fn specified(parameters: &Parameters, kind: &str, allowed: &[&str]) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for specification in parameters.list("TagSpecification") {
        let resource = specification.required("ResourceType")?;
        if !allowed.contains(&resource) {
            return Err(ApiError::invalid(format!(
                "'{resource}' is not a valid taggable resource type for this operation."
            )));
        }
        if resource == kind {
            tags.extend(tags_at(specification)?);
        }
    }
    within_limit(tags)
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    if key.len() > 128 || value.len() > 256 {
        return Err(ApiError::invalid(
            "Tag key exceeds the maximum length of 128 characters or its value 256",
        ));
    }
    if key.starts_with("aws:") {
        return Err(ApiError::invalid(format!(
            "Tag keys starting with 'aws:' are reserved for internal use: {key}"
        )));
    }
    Ok(())
}

fn within_limit(tags: Tags) -> Result<Tags, ApiError> {
    if tags.len() > MOST {
        return Err(ApiError::new(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        ));
    }
    Ok(tags)
}

impl Cloud {
    pub(super) fn create_tags(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let tags = tags_at(parameters)?;
        if tags.is_empty() {
            return Err(ApiError::missing("Tag"));
        }
        self.change_tags(parameters, |known| {
            known.extend(tags.clone());
            within_limit(known.clone()).map(drop)
        })
    }

    pub(super) fn delete_tags(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let doomed: Vec<_> =
            parameters.list("Tag").into_iter().map(|tag| (tag.text("Key"), tag.text("Value"))).collect();
        self.change_tags(parameters, |known| {
            if doomed.is_empty() {
                known.clear();
            }
            for (key, value) in &doomed {
                known.retain(|name, content| {
                    Some(name.as_str()) != *key || value.is_some_and(|value| value != content.as_str())
                });
            }
            Ok(())
        })
    }

    pub(super) fn describe_tags(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (kind, id, tags) in self.tagged() {
            for (key, value) in tags {
                let fits = filters.fit(tags, |name| {
                    Some(match name {
                        "key" => vec![key.clone()],
                        "value" => vec![value.clone()],
                        "resource-id" => vec![id.clone()],
                        "resource-type" => vec![kind.into()],
                        _ => return None,
                    })
                })?;
                if fits {
                    let row = Fields::new()
                        .with("resourceId", id)
                        .with("resourceType", kind)
                        .with("key", key)
                        .with("value", value);
                    found.push((format!("{id} {key}"), row));
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, row)| row);
        Ok(Fields::new().items("tagSet", found).with_some("nextToken", token))
    }

    /// All that is described and may have tags, by kind and id. Fleets that were deleted are shown on.
    fn tagged(&self) -> impl Iterator<Item = (&'static str, &String, &Tags)> {
        let instances = self.instances.iter().filter(|(_, one)| !one.vanished && self.visible(one.made));
        let groups = self.groups.iter().filter(|(_, one)| self.visible(one.made));
        let templates = self.templates.iter().filter(|(_, one)| self.visible(one.made));
        let fleets = self.fleets.iter().filter(|(_, one)| self.visible(one.made));
        instances
            .map(|(id, one)| ("instance", id, &one.tags))
            .chain(self.volumes.iter().map(|(id, one)| ("volume", id, &one.tags)))
            .chain(self.interfaces.iter().map(|(id, one)| ("network-interface", id, &one.tags)))
            .chain(groups.map(|(id, one)| ("security-group", id, &one.tags)))
            .chain(templates.map(|(id, one)| ("launch-template", id, &one.tags)))
            .chain(fleets.map(|(id, one)| ("fleet", id, &one.tags)))
    }

    /// All or none of the resources named.
    fn change_tags(
        &mut self,
        parameters: &Parameters,
        change: impl Fn(&mut Tags) -> Result<(), ApiError>,
    ) -> Result<Fields, ApiError> {
        let ids = parameters.texts("ResourceId");
        if ids.is_empty() {
            return Err(ApiError::missing("ResourceId"));
        }
        if ids.len() > 1000 {
            return Err(ApiError::invalid("The maximum number of resources on a single call is 1000"));
        }
        let before = self.clone();
        for id in ids {
            let changed = match self.tags_of(id) {
                Some(tags) => change(tags),
                None => Err(not_found(id)),
            };
            if let Err(error) = changed {
                *self = before;
                return Err(error);
            }
        }
        Ok(Fields::done())
    }

    fn tags_of(&mut self, id: &str) -> Option<&mut Tags> {
        let instance =
            self.instances.get_mut(id).filter(|instance| !instance.vanished).map(|found| &mut found.tags);
        instance
            .or_else(|| self.volumes.get_mut(id).map(|found| &mut found.tags))
            .or_else(|| self.interfaces.get_mut(id).map(|found| &mut found.tags))
            .or_else(|| self.groups.get_mut(id).map(|found| &mut found.tags))
            .or_else(|| self.templates.get_mut(id).map(|found| &mut found.tags))
            .or_else(|| self.fleets.get_mut(id).map(|found| &mut found.tags))
    }
}

/// The error that EC2 has for each kind of resource.
pub(super) fn not_found(id: &str) -> ApiError {
    let (code, what) = match id.split('-').next() {
        Some("i") => ("InvalidInstanceID.NotFound", "instance ID"),
        Some("vol") => ("InvalidVolume.NotFound", "volume"),
        Some("eni") => ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
        Some("sg") => ("InvalidGroup.NotFound", "security group"),
        Some("lt") => ("InvalidLaunchTemplateId.NotFound", "launch template ID"),
        Some("subnet") => ("InvalidSubnetID.NotFound", "subnet ID"),
        Some("vpc") => ("InvalidVpcID.NotFound", "vpc ID"),
        _ => ("InvalidID", "ID"),
    };
    ApiError::new(code, format!("The {what} '{id}' does not exist"))
}
