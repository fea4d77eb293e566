//! What a node is made from, as a fingerprint: when it changes, nodes are rolled.

use std::fmt::Write;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    model::TemplateHash,
    spec::{ClusterSpec, GroupName, MachineTemplate, PodTemplate},
};

/// The fingerprint of a group's template: 12 hexadecimal digits.
///
/// Sizes are not part of it; neither is what is fixed for a cluster's life.
pub fn template_hash(spec: &ClusterSpec, group: &GroupName) -> TemplateHash {
    let own = spec.group(group).map(|group| {
        let mut own = json!({
            "threads": group.threads(), "cpu": group.cpu, "memory": group.memory,
            "resources": group.resources, "env": group.env, "secretEnv": group.secret_env,
        });
        // Only where it is set: a new release must not roll the workers of the one before.
        if group.nanny
            && let Some(own) = own.as_object_mut()
        {
            own.insert("nanny".to_owned(), json!(true));
        }
        own
    });
    let mut template = json!({ "env": spec.env, "secretEnv": spec.secret_env, "group": own });
    let pod = spec.pod_template(group);
    if pod != PodTemplate::default()
        && let Some(template) = template.as_object_mut()
    {
        template.insert("pod".to_owned(), json!(pod));
    }
    let machine = spec.machine_template(group);
    if machine != MachineTemplate::default()
        && let Some(template) = template.as_object_mut()
    {
        template.insert("machine".to_owned(), json!(machine));
    }
    let digest = Sha256::digest(template.to_string());
    let hexadecimal = digest.iter().take(6).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    TemplateHash::new(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::load;

    fn hash(provider: &str, rest: &str) -> TemplateHash {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
             spec:\n  provider: {provider}\n{rest}"
        );
        template_hash(&load("test", &text).unwrap().cluster.spec, &GroupName::workers())
    }

    #[test]
    fn what_a_document_says_of_machines_is_part_of_a_groups_template() {
        let plain = hash("{ec2: {}}", "");
        assert_eq!(plain, hash("{ec2: {maxCost: 5}}", "  scheduler: {ec2: {purchase: onDemand}}\n"));
        let spot = hash("{ec2: {machines: {purchase: spot}}}", "  scheduler: {ec2: {purchase: onDemand}}\n");
        assert_ne!(plain, spot);
        assert_eq!(spot, hash("{ec2: {}}", "  workers: {ec2: {purchase: spot}}\n"));
    }

    #[test]
    fn what_a_document_says_of_pods_is_part_of_a_groups_template() {
        let plain = hash("{kubernetes: {}}", "");
        assert_eq!(plain, hash("{local: {}}", ""), "a new release must not roll what runs");
        assert_eq!(
            plain,
            hash("{kubernetes: {endpoint: NodePort}}", "  scheduler: {kubernetes: {labels: {a: b}}}\n")
        );
        let labelled = hash("{kubernetes: {pods: {labels: {a: b}}}}", "");
        assert_ne!(plain, labelled);
        assert_eq!(labelled, hash("{kubernetes: {}}", "  workers: {kubernetes: {labels: {a: b}}}\n"));
    }
}
