//! What machines fetch when they boot, in parameters of AWS Systems Manager.

use std::collections::BTreeMap;

use super::{
    api::{Ec2Api, ParameterCall, Secrecy},
    build::{Contents, contents},
    memory::Memories,
    names,
};
use crate::{
    model::{CallerEnvironment, ClusterUid, ErrorKind},
    provider::{LaunchRequest, ProviderError},
};

/// Most parameters that one call removes.
const BATCH: usize = 10;

/// Where a launch's parameters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The one with the secrets.
    pub secrets: String,
    /// How many hold files.
    pub files: usize,
}

/// Makes the parameters of a launch, unless they are known to be there. `secret_environment`: names of the
/// caller's variables by the names that their values get on the machine.
pub async fn ensure(
    api: &dyn Ec2Api,
    memories: &Memories,
    installation: &str,
    request: &LaunchRequest,
    secret_environment: &BTreeMap<String, String>,
) -> Result<Placed, ProviderError> {
    let cluster = &request.cluster.uid;
    let identity = request.identity.as_ref().ok_or_else(|| {
        ProviderError::new(ErrorKind::Invalid, "machines on EC2 have certificates, and this launch has none")
    })?;
    let secrets = names::secrets(installation, cluster, &request.group, &request.template, identity);
    let mut known = memories.with(cluster, |memory| memory.parameters.clone());
    if !known.contains(&secrets) {
        // Where another controller was before, its parameters are there.
        let below = secrets.rsplit_once('/').map_or("", |(path, _)| path);
        known.extend(api.parameters(below).await?);
    }
    if known.contains(&secrets) {
        let files = known.iter().filter(|name| is_file_of(name, &secrets)).count();
        memories.with(cluster, |memory| memory.parameters = known);
        return Ok(Placed { secrets, files });
    }
    let values = secret_values(request.environment.as_ref(), secret_environment)?;
    let Contents { secrets: text, files } = contents(&request.document, identity, &values)?;
    let names = names::files(&secrets, files.len());
    let plain = names.iter().zip(files).map(|(name, value)| (name.clone(), value, Secrecy::Plain));
    let placed = Placed { secrets: secrets.clone(), files: names.len() };
    // The secrets last: with them everything is there.
    for (name, value, secrecy) in plain.chain([(secrets, text, Secrecy::Encrypted)]) {
        if !known.contains(&name) {
            api.put_parameter(&ParameterCall { name: name.clone(), value, secrecy }).await?;
            known.insert(name);
        }
    }
    memories.with(cluster, |memory| memory.parameters = known);
    Ok(placed)
}

fn is_file_of(name: &str, secrets: &str) -> bool {
    name.strip_prefix(secrets).is_some_and(|rest| rest.starts_with('.'))
}

fn secret_values(
    environment: Option<&CallerEnvironment>,
    wanted: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ProviderError> {
    wanted
        .iter()
        .map(|(name, of_caller)| {
            let value =
                environment.and_then(|environment| environment.0.get(of_caller)).ok_or_else(|| {
                    let message =
                        format!("the value of {of_caller}, which `secretEnv` names, is not at hand any more");
                    ProviderError::new(ErrorKind::Auth, message)
                        .with_hint("run the same `crewcall create` again, with the variable set")
                })?;
            Ok((name.clone(), value.clone()))
        })
        .collect()
}

/// Removes all parameters of a cluster.
pub async fn remove(api: &dyn Ec2Api, installation: &str, cluster: &ClusterUid) -> Result<(), ProviderError> {
    let all = api.parameters(&names::parameters_of(installation)).await?;
    let of_cluster =
        |name: &&String| names::cluster_of_parameter(installation, name).as_ref() == Some(cluster);
    let own: Vec<String> = all.iter().filter(of_cluster).cloned().collect();
    delete(api, &own).await
}

/// Removes parameters, however many.
pub async fn delete(api: &dyn Ec2Api, names: &[String]) -> Result<(), ProviderError> {
    for batch in names.chunks(BATCH) {
        api.delete_parameters(batch).await?;
    }
    Ok(())
}
