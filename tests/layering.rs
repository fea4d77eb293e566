//! Who may use whom, read from the `use` lines and paths of the source.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each module of the crate, and the modules that it may name.
const TABLE: [(&str, &[&str]); 15] = [
    ("spec", &[]),
    ("model", &["spec"]),
    ("plan", &["spec", "model"]),
    ("environment", &["spec", "model"]),
    ("security", &["spec", "model"]),
    ("engine", &["spec", "model", "security"]),
    ("provider", &["spec", "model", "security", "environment", "engine"]),
    ("store", &["spec", "model", "security", "environment", "engine"]),
    ("telemetry", &[]),
    (
        "controller",
        &["spec", "model", "plan", "environment", "security", "engine", "provider", "store", "telemetry"],
    ),
    ("api", &["*"]),
    ("operator", &["*"]),
    ("cli", &["*"]),
    ("lib", &["*"]),
    ("main", &["*"]),
];

/// What a module of the third column may not be used by, although its user may use everything.
const FORBIDDEN: [(&str, &str); 2] = [("api", "cli"), ("operator", "cli")];

#[test]
fn every_use_is_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<_, BTreeSet<_>> =
        TABLE.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    let mut edges = 0;
    for file in rust_files(&source) {
        let place = file.strip_prefix(&source).unwrap();
        let module = place.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let may = table.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        // Tests may reach further: they drive a module through its neighbours.
        let is_test = place.to_str().unwrap().contains("test");
        for used in uses(&fs::read_to_string(&file).unwrap(), &table) {
            edges += 1;
            let allowed = used == module || may.contains("*") || may.contains(used.as_str()) || is_test;
            if !allowed || FORBIDDEN.contains(&(module.as_str(), used.as_str())) {
                wrong.push(format!("{} uses {used}", place.display()));
            }
        }
    }
    assert!(edges > 50, "only {edges} uses were found: does the test still read them?");
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Modules that a text names after `crate::`, also inside the braces of `use crate::{…}`.
fn uses(text: &str, modules: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(first_names(list));
        } else {
            found.extend(first_name(rest));
        }
    }
    found.retain(|name| modules.contains_key(name.as_str()));
    found
}

fn first_name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then(|| text[..end].to_owned())
}

/// The names that begin the entries of a brace list.
fn first_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut fresh) = (0, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphabetic() => {
                names.extend(first_name(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn nested_lists_are_read() {
    let modules = TABLE.iter().map(|(name, _)| (*name, BTreeSet::new())).collect();
    let text = "use crate::{\n model::{Node, plan::X}, spec::Y,\n};\nfn f(x: crate::store::Z) {}\n";
    let found: Vec<String> = uses(text, &modules).into_iter().collect();
    assert_eq!(found, ["model", "spec", "store"]);
}
