//! Files that are made from the types are committed, and current.

use std::{env, fs, path::Path};

use crewcall::spec::{json_schema, reference_markdown};

/// Compares, or writes with `CREWCALL_UPDATE=1`.
fn is_current(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("CREWCALL_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, wanted).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == wanted, "{} is not current: run the test with CREWCALL_UPDATE=1", path.display());
}

#[test]
fn the_json_schema_is_current() {
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    is_current("docs/schema/computecluster.v1alpha1.json", &schema);
}

#[test]
fn the_field_reference_is_current() {
    is_current("docs/reference/computecluster.md", &reference_markdown());
}
