//! Launch templates and their versions.

use jiff::Timestamp;

use super::{
    cloud::Cloud,
    devices::named_exist,
    filters::{Filters, page},
    instances::timestamp,
    tags::{Tags, not_found, specified, tag_set, tags_at},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters, Value},
};

/// A launch template.
#[derive(Debug, Clone)]
pub struct Template {
    /// As in `lt-0123`.
    pub id: String,
    /// Unique in the account.
    pub name: String,
    /// The data of each version, the first one first.
    pub versions: Vec<Parameters>,
    /// Counted from one.
    pub default: usize,
    /// When it was made.
    pub made: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl Template {
    /// The number of a version by what a call names it.
    fn version(&self, named: &str) -> Result<usize, ApiError> {
        match named {
            "$Latest" => Ok(self.versions.len()),
            "$Default" => Ok(self.default),
            number => {
                number.parse().ok().filter(|number| (1..=self.versions.len()).contains(number)).ok_or_else(|| {
                    ApiError::new(
                        "InvalidLaunchTemplateId.VersionNotFound",
                        format!("Could not find the specified version {number} for the launch template with ID {}.", self.id),
                    )
                })
            }
        }
    }
}

impl Cloud {
    /// The template that `LaunchTemplateId` or `LaunchTemplateName` names.
    fn template(&self, parameters: &Parameters) -> Result<&Template, ApiError> {
        match (parameters.text("LaunchTemplateId"), parameters.text("LaunchTemplateName")) {
            (Some(_), Some(_)) => Err(ApiError::combination(
                "The parameter LaunchTemplateId cannot be used with the parameter LaunchTemplateName",
            )),
            (Some(id), None) => self.templates.get(id).ok_or_else(|| not_found(id)),
            (None, Some(name)) => {
                self.templates.values().find(|template| template.name == name).ok_or_else(|| {
                    ApiError::new(
                        "InvalidLaunchTemplateName.NotFoundException",
                        format!("The specified launch template, with template name {name}, does not exist."),
                    )
                })
            }
            (None, None) => Err(ApiError::missing("LaunchTemplateId")),
        }
    }

    /// What a launch takes from the template that it names.
    pub(super) fn template_data(&self, named: &Parameters) -> Result<Parameters, ApiError> {
        let template = self.template(named)?;
        let number = template.version(named.text("Version").unwrap_or("$Default"))?;
        template.versions.get(number - 1).cloned().ok_or_else(|| not_found(&template.id))
    }

    pub(super) fn create_template(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        if let Some(id) = self.repeated("CreateLaunchTemplate", parameters)?
            && let Some(template) = self.templates.get(&id)
        {
            return Ok(Fields::new().fields("launchTemplate", self.template_fields(template)));
        }
        let name = parameters.required("LaunchTemplateName")?.to_owned();
        let data =
            parameters.get("LaunchTemplateData").ok_or_else(|| ApiError::missing("LaunchTemplateData"))?;
        if self.templates.values().any(|template| template.name == name) {
            let text = "Launch template name already in use.";
            return Err(ApiError::new("InvalidLaunchTemplateName.AlreadyExistsException", text));
        }
        let template = Template {
            id: self.ids.id("lt"),
            name,
            versions: vec![data.clone()],
            default: 1,
            made: self.now,
            tags: specified(parameters, "launch-template", &["launch-template"])?,
        };
        for specification in data.list("TagSpecification") {
            tags_at(specification)?;
        }
        let fields = self.template_fields(&template);
        self.remember("CreateLaunchTemplate", parameters, &template.id);
        self.templates.insert(template.id.clone(), template);
        Ok(Fields::new().fields("launchTemplate", fields))
    }

    pub(super) fn create_template_version(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = self.template(parameters)?.id.clone();
        let data =
            parameters.get("LaunchTemplateData").ok_or_else(|| ApiError::missing("LaunchTemplateData"))?;
        let based = match parameters.text("SourceVersion") {
            Some(version) => {
                let template = self.template(parameters)?;
                let number = template.version(version)?;
                data.over(template.versions.get(number - 1).unwrap_or(&Parameters::default()))
            }
            None => data.clone(),
        };
        let template = self.templates.get_mut(&id).ok_or_else(|| not_found(&id))?;
        template.versions.push(based);
        let number = template.versions.len();
        let fields = self.templates.get(&id).map(|template| self.version_fields(template, number));
        Ok(Fields::new().fields("launchTemplateVersion", fields.unwrap_or_default()))
    }

    pub(super) fn describe_templates(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let ids = parameters.texts("LaunchTemplateId");
        named_exist(&ids, |id| self.templates.contains_key(id))?;
        let names = parameters.texts("LaunchTemplateName");
        for name in &names {
            self.template(&Parameters::of([("LaunchTemplateName", *name)]))?;
        }
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (id, template) in &self.templates {
            let fits = filters.fit(&template.tags, |name| {
                Some(match name {
                    "launch-template-name" => vec![template.name.clone()],
                    "launch-template-id" => vec![id.clone()],
                    _ => return None,
                })
            })?;
            let wanted = (ids.is_empty() && names.is_empty())
                || ids.contains(&id.as_str())
                || names.contains(&template.name.as_str());
            if fits && wanted && self.visible(template.made) {
                found.push((id.clone(), self.template_fields(template)));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("launchTemplates", found).with_some("nextToken", token))
    }

    pub(super) fn describe_template_versions(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let template = self.template(parameters)?;
        let named = parameters.texts("LaunchTemplateVersion");
        let numbers: Vec<usize> = if named.is_empty() {
            (1..=template.versions.len()).rev().collect()
        } else {
            named.into_iter().map(|named| template.version(named)).collect::<Result<_, _>>()?
        };
        let versions = numbers.into_iter().map(|number| self.version_fields(template, number));
        Ok(Fields::new().items("launchTemplateVersionSet", versions))
    }

    pub(super) fn delete_template(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let template = self.template(parameters)?.clone();
        self.templates.remove(&template.id);
        Ok(Fields::new().fields("launchTemplate", self.template_fields(&template)))
    }

    fn template_fields(&self, template: &Template) -> Fields {
        Fields::new()
            .with("launchTemplateId", &template.id)
            .with("launchTemplateName", &template.name)
            .with("createTime", timestamp(template.made))
            .with("createdBy", format!("arn:aws:iam::{}:user/crewcall-test", self.settings.account))
            .with("defaultVersionNumber", template.default)
            .with("latestVersionNumber", template.versions.len())
            .items("tagSet", tag_set(&template.tags))
    }

    fn version_fields(&self, template: &Template, number: usize) -> Fields {
        let data = template.versions.get(number - 1).cloned().unwrap_or_default();
        Fields::new()
            .with("launchTemplateId", &template.id)
            .with("launchTemplateName", &template.name)
            .with("versionNumber", number)
            .with("createTime", timestamp(template.made))
            .with("createdBy", format!("arn:aws:iam::{}:user/crewcall-test", self.settings.account))
            .with("defaultVersion", number == template.default)
            .fields("launchTemplateData", data_fields(&data))
    }
}

/// The parts of a template's data that are told back.
fn data_fields(data: &Parameters) -> Fields {
    let text = |name: &str| data.text(name).map(str::to_owned);
    let specifications = data.list("TagSpecification").into_iter().map(|specification| {
        let tags = tags_at(specification).unwrap_or_default();
        Fields::new()
            .with_some("resourceType", specification.text("ResourceType"))
            .items("tagSet", tag_set(&tags))
    });
    let mappings = data.list("BlockDeviceMapping").into_iter().map(|mapping| {
        Fields::new().with_some("deviceName", mapping.text("DeviceName")).fields(
            "ebs",
            Fields::new()
                .with_some("volumeSize", mapping.text("Ebs.VolumeSize"))
                .with_some("volumeType", mapping.text("Ebs.VolumeType"))
                .with_some("encrypted", mapping.text("Ebs.Encrypted"))
                .with_some("deleteOnTermination", mapping.text("Ebs.DeleteOnTermination")),
        )
    });
    let interfaces = data.list("NetworkInterface").into_iter().map(|interface| {
        Fields::new()
            .with_some("deviceIndex", interface.text("DeviceIndex"))
            .with_some("associatePublicIpAddress", interface.text("AssociatePublicIpAddress"))
            .with_some("subnetId", interface.text("SubnetId"))
            .items(
                "groupSet",
                interface
                    .list("SecurityGroupId")
                    .into_iter()
                    .filter_map(|id| Some(Fields::new().with("groupId", id.own_text()?))),
            )
    });
    let profile = data.get("IamInstanceProfile").map(|profile| {
        Fields::new().with_some("name", profile.text("Name")).with_some("arn", profile.text("Arn"))
    });
    let metadata = data.get("MetadataOptions").map(|options| {
        Fields::new()
            .with_some("httpTokens", options.text("HttpTokens"))
            .with_some("httpPutResponseHopLimit", options.text("HttpPutResponseHopLimit"))
            .with_some("httpEndpoint", options.text("HttpEndpoint"))
            .with_some("instanceMetadataTags", options.text("InstanceMetadataTags"))
    });
    let groups = data.texts("SecurityGroupId").into_iter().map(Value::from);
    let mut fields = Fields::new()
        .with_some("imageId", text("ImageId"))
        .with_some("instanceType", text("InstanceType"))
        .with_some("keyName", text("KeyName"))
        .with_some("userData", text("UserData"))
        .with_some("instanceInitiatedShutdownBehavior", text("InstanceInitiatedShutdownBehavior"))
        .items("tagSpecificationSet", specifications)
        .items("blockDeviceMappingSet", mappings)
        .items("networkInterfaceSet", interfaces)
        .items("securityGroupIdSet", groups);
    if let Some(profile) = profile {
        fields = fields.fields("iamInstanceProfile", profile);
    }
    if let Some(metadata) = metadata {
        fields = fields.fields("metadataOptions", metadata);
    }
    fields
}
