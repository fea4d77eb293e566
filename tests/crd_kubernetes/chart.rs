//! The chart that brings the definition.

use std::{env, path::Path, process::Command};

use crewcall::spec::crd;
use serde_json::Value;

fn helm(arguments: &[&str]) -> Option<String> {
    let Some(program) = env::var_os("CREWCALL_TEST_HELM") else {
        eprintln!("SKIPPED: CREWCALL_TEST_HELM names no helm");
        return None;
    };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/crewcall-crds");
    let output = Command::new(program).args(arguments).arg(chart).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[test]
fn the_chart_has_no_faults_and_brings_the_definition_as_it_is() {
    let Some(said) = helm(&["lint", "--strict"]) else { return };
    assert!(said.contains("0 chart(s) failed"), "{said}");
    let rendered = helm(&["template", "crewcall-crds"]).unwrap();
    let object: Value = serde_saphyr::from_str(&rendered).unwrap();
    assert_eq!(object, crd::custom_resource_definition());
    assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}
