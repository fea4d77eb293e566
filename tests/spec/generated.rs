//! Files that are made from the types are committed, and current.

use std::{env, fs, path::Path, process::Command};

use crewcall::spec::{crd, generated_yaml, json_schema, reference_markdown};

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

#[test]
fn the_schema_as_yaml_is_current() {
    is_current("docs/schema/computecluster.v1alpha1.yaml", &generated_yaml(&json_schema()).unwrap());
}

#[test]
fn the_custom_resource_definition_is_current() {
    let manifest = crd::manifest().unwrap();
    assert!(!manifest.contains("{{"), "helm would take that for a template");
    is_current("charts/crewcall-crds/templates/computeclusters.yaml", &manifest);
}

#[test]
fn a_reader_of_yaml_1_1_finds_the_same_custom_resource_definition() {
    let Some(read) = read_as_yaml_1_1(&crd::manifest().unwrap()) else { return };
    assert_eq!(read, crd::custom_resource_definition());
}

#[test]
fn the_custom_resource_has_a_structural_schema_with_bounds() {
    fn visit(schema: &serde_json::Value, path: &str) {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{path} is no schema"));
        for keyword in ["$ref", "$defs", "oneOf", "anyOf", "allOf", "const", "propertyNames", "examples"] {
            assert!(!schema.contains_key(keyword), "{path} has {keyword}");
        }
        let free = ["x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"];
        let kind = schema.get("type").and_then(|kind| kind.as_str());
        assert!(kind.is_some() || free.iter().any(|key| schema.contains_key(*key)), "{path} has no type");
        if kind == Some("array") {
            assert!(schema.contains_key("maxItems"), "{path} is a list without a most");
        }
        for (name, inner) in schema.get("properties").and_then(|all| all.as_object()).into_iter().flatten() {
            visit(inner, &format!("{path}.{name}"));
        }
        if let Some(values) = schema.get("additionalProperties") {
            assert!(schema.contains_key("maxProperties"), "{path} is a map without a most");
            visit(values, &format!("{path}.*"));
        }
        schema.get("items").into_iter().for_each(|inner| visit(inner, &format!("{path}[]")));
    }
    let definition = crd::custom_resource_definition();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    visit(schema, "");
    assert_eq!(schema["properties"]["metadata"]["properties"]["name"]["maxLength"], 40);
}

/// Reads YAML as tools of YAML 1.1 do, with `PyYAML`.
fn read_as_yaml_1_1(text: &str) -> Option<serde_json::Value> {
    let Some(python) = env::var_os("CREWCALL_TEST_PYTHON") else {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with PyYAML");
        return None;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new(python).args(["-c", code]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_reader_of_yaml_1_1_finds_the_same_schema() {
    let schema = json_schema();
    let Some(read) = read_as_yaml_1_1(&generated_yaml(&schema).unwrap()) else { return };
    assert_eq!(read, schema);
}

#[test]
fn a_reader_of_yaml_1_1_would_misread_a_bare_yes() {
    // Why generated files are compared, and why people's files are written by another library.
    let value = serde_json::json!({ "on": "yes" });
    let Some(read) = read_as_yaml_1_1(&generated_yaml(&value).unwrap()) else { return };
    assert_ne!(read, value);
}
