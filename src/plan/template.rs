//! What a node is made from, as a fingerprint: when it changes, nodes are rolled.

use std::fmt::Write;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    model::TemplateHash,
    spec::{ClusterSpec, GroupName},
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
    let template = json!({ "env": spec.env, "secretEnv": spec.secret_env, "group": own });
    let digest = Sha256::digest(template.to_string());
    let hexadecimal = digest.iter().take(6).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    TemplateHash::new(hexadecimal)
}
