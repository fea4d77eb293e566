//! What stands below `secretEnv` is shown to nobody: it may be the secret itself, typed where the name of
//! a variable belongs.

use super::{
    Diagnostic,
    diagnostic::Source,
    rules::is_variable,
    text::printable,
    tree::{Node, Value},
};

const KEY: &str = "secretEnv";
const VEIL: &str = "****";

/// Hides them in the source's excerpts; returns those that no message may repeat either.
pub(super) fn hide(source: &Source, root: &Node) -> Vec<String> {
    let mut found = Vec::new();
    find(root, false, &mut found);
    source.hide(found.iter().map(|node| node.span.clone()).collect());
    let text = |node: &&Node| match &node.value {
        Value::Scalar(scalar) if !scalar.text.is_empty() && !is_variable(&scalar.text) => {
            Some(scalar.text.clone())
        }
        _ => None,
    };
    found.iter().filter_map(text).collect()
}

/// Takes secrets out of what a finding says.
pub(super) fn veil(finding: &mut Diagnostic, secrets: &[String]) {
    let labels = finding.labels.iter_mut().map(|label| &mut label.text);
    for text in labels.chain([&mut finding.message]).chain(&mut finding.help) {
        for secret in secrets.iter().flat_map(|secret| [secret.clone(), printable(secret)]) {
            if text.contains(&secret) {
                *text = text.replace(&secret, VEIL);
            }
        }
    }
}

fn find<'t>(node: &'t Node, below: bool, found: &mut Vec<&'t Node>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                find(&entry.value, below || entry.key == KEY, found);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| find(item, below, found)),
        Value::Scalar(_) | Value::Refused if below => found.push(node),
        Value::Scalar(_) | Value::Refused => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::{ColorChoice, load};

    fn shown(secret_env: &str) -> String {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
             spec: {{provider: {{local: {{}}}}, secretEnv: {secret_env}, nonsense: 1}}\n"
        );
        load("test", &text).unwrap_err().render(ColorChoice::Never, 200)
    }

    #[test]
    fn what_is_typed_in_place_of_a_variables_name_is_shown_nowhere() {
        for (typed, secret) in [
            ("{TOKEN: hunter2}", "hunter2"),
            ("{TOKEN: s3cr3t-value}", "s3cr3t-value"),
            ("{TOKEN: \"s3cr3t-value\"}", "s3cr3t-value"),
            ("{TOKEN: 823741}", "823741"),
            ("{TOKEN: {value: s3cr3t-value}}", "s3cr3t-value"),
            ("[s3cr3t-value]", "s3cr3t-value"),
            ("s3cr3t-value", "s3cr3t-value"),
        ] {
            let shown = shown(typed);
            assert!(!shown.contains(secret), "{shown}");
            assert!(shown.contains("nonsense: 1"), "the rest of the line is: {shown}");
            assert!(shown.contains("***"), "{shown}");
        }
    }
}
