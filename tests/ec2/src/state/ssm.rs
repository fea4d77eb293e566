//! Systems Manager, which speaks JSON: the parameter store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    admission::{Caller, Verdict},
    cloud::{Cloud, Service},
    tags::Tags,
};
use crate::error::ApiError;

/// A value may be this long in the standard tier, in bytes.
const STANDARD_VALUE: usize = 4096;
/// And in the advanced one.
const ADVANCED_VALUE: usize = 8192;
/// The most parameters that one call may name, or a page may have.
const MOST: usize = 10;

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// `String`, `StringList` or `SecureString`.
    pub kind: String,
    /// In the clear.
    pub value: String,
    /// Counted from one.
    pub version: u32,
    /// When it was last written.
    pub modified: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// What a service that speaks JSON answers, and what becomes of it on its way.
#[derive(Debug)]
pub struct JsonAnswer {
    /// What it answers.
    pub result: Result<Value, ApiError>,
    /// Whether that arrives.
    pub verdict: Verdict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    name: Option<String>,
    names: Vec<String>,
    path: Option<String>,
    recursive: bool,
    value: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    tier: Option<String>,
    overwrite: bool,
    tags: Vec<Tag>,
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
    parameter_filters: Vec<Filter>,
    resource_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    key: String,
    option: Option<String>,
    values: Vec<String>,
}

impl Filter {
    fn fits(&self, name: &str, parameter: &Parameter) -> bool {
        let own = match self.key.as_str() {
            "Name" | "Path" => Some(name),
            "Type" => Some(parameter.kind.as_str()),
            other => other.strip_prefix("tag:").and_then(|key| parameter.tags.get(key)).map(String::as_str),
        };
        let begins = self.option.as_deref() == Some("BeginsWith") || self.key == "Path";
        own.is_some_and(|own| {
            self.values.is_empty()
                || self.values.iter().any(|value| if begins { own.starts_with(value) } else { own == value })
        })
    }
}

impl Cloud {
    /// Answers a call of SSM.
    pub fn ssm(&mut self, action: &str, body: &[u8], caller: &Caller, now: Timestamp) -> JsonAnswer {
        let verdict = match self.admit(Service::Ssm, action, caller, now) {
            Ok(verdict) => verdict,
            Err(error) => return JsonAnswer { result: Err(error), verdict: Verdict::Answer },
        };
        if verdict == Verdict::LoseRequest {
            return JsonAnswer { result: Ok(Value::Null), verdict };
        }
        let result = self.session_call(action, body, caller).unwrap_or_else(|| {
            let request = serde_json::from_slice(if body.is_empty() { b"{}" } else { body });
            request
                .map_err(|error| ApiError::new("SerializationException", error.to_string()))
                .and_then(|request| self.parameter_store(action, request, caller))
        });
        if let (Err(error), Some(call)) = (&result, self.calls.last_mut()) {
            call.error = Some(error.code.clone());
        }
        JsonAnswer { result, verdict }
    }

    fn parameter_store(
        &mut self,
        action: &str,
        request: Request,
        caller: &Caller,
    ) -> Result<Value, ApiError> {
        let mut resources: Vec<&str> = request.names.iter().map(String::as_str).collect();
        resources
            .extend(request.name.as_deref().or(request.path.as_deref()).or(request.resource_id.as_deref()));
        if resources.is_empty() {
            resources.push("");
        }
        for resource in resources {
            // Those of AWS are for everybody.
            if !resource.starts_with("/aws/service/") && !self.allowed(Service::Ssm, action, resource, caller)
            {
                let text = format!(
                    "User: arn:aws:sts::{}:{} is not authorized to perform: ssm:{action} on resource: \
                     arn:aws:ssm:{}:{}:parameter{resource} because no identity-based policy allows the ssm:{action} action",
                    self.settings.account,
                    self.principal(caller),
                    self.settings.region,
                    self.settings.account
                );
                return Err(ApiError::new("AccessDeniedException", text));
            }
        }
        match action {
            "PutParameter" => self.put_parameter(request),
            "GetParameter" => {
                let name = named(request.name)?;
                let found = self.parameter(&name, request.with_decryption);
                found.map(|found| json!({"Parameter": found})).ok_or_else(|| absent(&name))
            }
            "GetParameters" => {
                within(&request.names)?;
                let found: Vec<_> = request
                    .names
                    .iter()
                    .map(|name| (name, self.parameter(name, request.with_decryption)))
                    .collect();
                let invalid: Vec<_> =
                    found.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| name).collect();
                Ok(json!({
                    "Parameters": found.iter().filter_map(|(_, found)| found.as_ref()).collect::<Vec<_>>(),
                    "InvalidParameters": invalid,
                }))
            }
            "GetParametersByPath" => self.parameters_by_path(&request),
            "DescribeParameters" => self.describe_parameters(&request),
            "DeleteParameter" => {
                let name = named(request.name)?;
                self.parameters.remove(&name).map(|_| json!({})).ok_or_else(|| absent(&name))
            }
            "DeleteParameters" => {
                within(&request.names)?;
                let (gone, unknown): (Vec<_>, Vec<_>) =
                    request.names.into_iter().partition(|name| self.parameters.remove(name).is_some());
                Ok(json!({"DeletedParameters": gone, "InvalidParameters": unknown}))
            }
            "AddTagsToResource" => {
                let name = named(request.resource_id)?;
                let parameter = self.parameters.get_mut(&name).ok_or_else(|| {
                    ApiError::new("InvalidResourceId", format!("There is no parameter {name}"))
                })?;
                parameter.tags.extend(request.tags.into_iter().map(|tag| (tag.key, tag.value)));
                Ok(json!({}))
            }
            "ListTagsForResource" => {
                let name = named(request.resource_id)?;
                let tags =
                    self.parameters.get(&name).map(|parameter| parameter.tags.clone()).unwrap_or_default();
                let tags: Vec<_> =
                    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                Ok(json!({"TagList": tags}))
            }
            _ => Err(ApiError::new("UnknownOperationException", format!("There is no operation {action}"))),
        }
    }

    fn put_parameter(&mut self, request: Request) -> Result<Value, ApiError> {
        let name = named(request.name)?;
        check(&name)?;
        let value =
            request.value.filter(|value| !value.is_empty()).ok_or_else(|| invalid("value is empty"))?;
        let advanced = matches!(request.tier.as_deref(), Some("Advanced" | "Intelligent-Tiering"));
        let longest = if advanced { ADVANCED_VALUE } else { STANDARD_VALUE };
        if value.len() > longest {
            return Err(invalid(format!(
                "Standard tier parameters support a maximum parameter value of 4096 characters, advanced ones of 8192: \
                 {} are too many",
                value.len()
            )));
        }
        let known = self.parameters.get(&name);
        if known.is_some() && !request.overwrite {
            let text = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
            return Err(ApiError::new("ParameterAlreadyExists", text));
        }
        if request.overwrite && !request.tags.is_empty() {
            return Err(invalid("tags and overwrite can't be used together"));
        }
        let kind = match (request.kind, known) {
            (Some(kind), _) => kind,
            (None, Some(known)) => known.kind.clone(),
            (None, None) => return Err(invalid("A parameter type is required when you create a parameter.")),
        };
        let version = known.map_or(1, |known| known.version + 1);
        let tags = match known {
            Some(known) => known.tags.clone(),
            None => request.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        };
        self.parameters.insert(name, Parameter { kind, value, version, modified: self.now, tags });
        Ok(json!({"Version": version, "Tier": if advanced { "Advanced" } else { "Standard" }}))
    }

    /// A public parameter's value: the id of an image.
    pub(super) fn public_parameter(&self, name: &str) -> Option<String> {
        let image = self.settings.images.iter().find(|image| image.parameters.contains(&name))?;
        Some(image.id.clone())
    }

    fn parameter(&self, name: &str, decrypted: bool) -> Option<Value> {
        if let Some(value) = self.public_parameter(name) {
            return Some(json!({
                "Name": name, "Type": "String", "Value": value, "Version": 1, "DataType": "text",
                "ARN": format!("arn:aws:ssm:{}::parameter{name}", self.settings.region),
                "LastModifiedDate": 1_767_225_600.0,
            }));
        }
        let parameter = self.parameters.get(name)?;
        let hidden = parameter.kind == "SecureString" && !decrypted;
        let value = if hidden {
            format!("AQICAHencrypted{}", parameter.value.len())
        } else {
            parameter.value.clone()
        };
        Some(json!({
            "Name": name, "Type": parameter.kind, "Value": value, "Version": parameter.version, "DataType": "text",
            "ARN": self.parameter_arn(name), "LastModifiedDate": seconds(parameter.modified),
        }))
    }

    fn parameter_arn(&self, name: &str) -> String {
        let slash = if name.starts_with('/') { "" } else { "/" };
        format!("arn:aws:ssm:{}:{}:parameter{slash}{name}", self.settings.region, self.settings.account)
    }

    fn parameters_by_path(&self, request: &Request) -> Result<Value, ApiError> {
        let path = request.path.clone().unwrap_or_default();
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let public =
            self.settings.images.iter().flat_map(|image| image.parameters).map(|name| (*name).to_owned());
        for name in self.parameters.keys().cloned().chain(public) {
            let below =
                name.strip_prefix(&prefix).is_some_and(|rest| request.recursive || !rest.contains('/'));
            if below && let Some(value) = self.parameter(&name, request.with_decryption) {
                found.insert(name, value);
            }
        }
        paged("Parameters", found, request, MOST)
    }

    fn describe_parameters(&self, request: &Request) -> Result<Value, ApiError> {
        let fitting = self.parameters.iter().filter(|(name, parameter)| {
            request.parameter_filters.iter().all(|filter| filter.fits(name, parameter))
        });
        let found = fitting.map(|(name, parameter)| {
            let described = json!({
                "Name": name, "Type": parameter.kind, "Version": parameter.version, "Tier": "Standard",
                "DataType": "text", "LastModifiedDate": seconds(parameter.modified), "Policies": [],
                "LastModifiedUser": format!("arn:aws:iam::{}:user/crewcall-test", self.settings.account),
                "ARN": self.parameter_arn(name),
            });
            (name.clone(), described)
        });
        paged("Parameters", found.collect(), request, 50)
    }
}

fn paged(
    list: &str,
    found: BTreeMap<String, Value>,
    request: &Request,
    longest: usize,
) -> Result<Value, ApiError> {
    let size = request.max_results.unwrap_or(longest);
    if !(1..=longest).contains(&size) {
        return Err(invalid(format!(
            "Value '{size}' at 'maxResults' failed to satisfy constraint: at most {longest}"
        )));
    }
    let after = request.next_token.clone().unwrap_or_default();
    let mut left = found.into_iter().filter(|(name, _)| *name > after);
    let page: Vec<_> = left.by_ref().take(size).collect();
    let token = left.next().and_then(|_| page.last().map(|(name, _)| name.clone()));
    let values: Vec<_> = page.into_iter().map(|(_, value)| value).collect();
    let mut answer = json!({list: values});
    if let (Some(token), Some(fields)) = (token, answer.as_object_mut()) {
        fields.insert("NextToken".into(), token.into());
    }
    Ok(answer)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit")]
fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn absent(name: &str) -> ApiError {
    ApiError::new("ParameterNotFound", format!("Parameter {name} not found."))
}

fn named(name: Option<String>) -> Result<String, ApiError> {
    name.ok_or_else(|| {
        invalid("1 validation error detected: Value null at 'name' failed to satisfy constraint")
    })
}

fn within(names: &[String]) -> Result<(), ApiError> {
    if (1..=MOST).contains(&names.len()) {
        return Ok(());
    }
    Err(invalid(format!("{} names failed to satisfy constraint: at least 1 and at most {MOST}", names.len())))
}

fn check(name: &str) -> Result<(), ApiError> {
    let levels = name.split('/').filter(|level| !level.is_empty()).count();
    let characters =
        name.chars().all(|character| character.is_ascii_alphanumeric() || "_.-/".contains(character));
    let first = name.trim_start_matches('/').to_lowercase();
    if levels == 0
        || levels > 15
        || name.len() > 1011
        || !characters
        || (levels > 1 && !name.starts_with('/'))
    {
        return Err(invalid(format!(
            "Parameter name: \"{name}\" is no name: only letters, numbers and .-_ in at most 15 levels that each begin \
             with a slash"
        )));
    }
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(ApiError::new(
            "AccessDeniedException",
            format!("No access to reserved parameter name: {name}."),
        ));
    }
    Ok(())
}
