//! From a file, or standard input, to a document.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{CliError, printer::Printer};
use crate::spec::{self, ComputeCluster};

/// More than a document may have, so that one that is too large is refused by its own rule.
const MAX_BYTES: u64 = 4 << 20;

/// How like two names must be for one to be offered in place of the other; 1 is the same.
const SIMILAR: f64 = 0.7;

/// What is looked at on EC2 where no document says more.
pub const ANY_ON_EC2: &str = "\
apiVersion: crewcall.dev/v1alpha1
kind: ComputeCluster
metadata: {name: any}
spec: {provider: {ec2: {}}, workers: {replicas: 1}}
";

/// A document that was read.
#[derive(Debug)]
pub struct ReadDocument {
    /// What it says.
    pub cluster: ComputeCluster,
    /// The folder that it lies in; absolute.
    pub directory: PathBuf,
}

/// Reads a document; `-` is standard input. Warnings are printed.
pub fn read(file: &Path, working_directory: &Path, printer: &Printer) -> Result<ReadDocument, CliError> {
    let (name, text) = text(file)?;
    Ok(ReadDocument { cluster: load(&name, &text, printer)?, directory: directory(file, working_directory) })
}

/// The same, with the fields of another file, a JSON object, over those of the document.
pub fn read_merged(
    file: &Path,
    merge: &Path,
    working_directory: &Path,
    printer: &Printer,
) -> Result<ReadDocument, CliError> {
    let (name, document) = text(file)?;
    // The document's own faults are shown at their own places.
    let document = spec::load(&name, &document)?.cluster;
    let (patch_name, patch) = text(merge)?;
    let patch: Value = serde_json::from_str(&patch).map_err(|error| CliError::UnreadableDocument {
        name: patch_name,
        cause: format!("it is no JSON: {error}"),
        hint: None,
    })?;
    let mut merged = serde_json::to_value(document).map_err(CliError::encode)?;
    merge_patch(&mut merged, patch);
    let merged = serde_json::to_string_pretty(&merged).map_err(CliError::encode)?;
    let cluster = load(&format!("{name} with changes"), &merged, printer)?;
    Ok(ReadDocument { cluster, directory: directory(file, working_directory) })
}

/// RFC 7396: objects are merged field by field, `null` removes, and anything else replaces.
fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { return };
    for (key, value) in fields {
        if value.is_null() {
            object.remove(&key);
        } else {
            merge_patch(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// What a file is called, and what it says.
fn text(file: &Path) -> Result<(String, String), CliError> {
    let name = if is_stdin(file) { "<stdin>".to_owned() } else { file.display().to_string() };
    let content =
        if is_stdin(file) { bounded(io::stdin().lock()) } else { File::open(file).and_then(bounded) };
    let unreadable = |cause: String, hint| CliError::UnreadableDocument { name: name.clone(), cause, hint };
    let content = content.map_err(|error| unreadable(cause(&error), similar_file(file, &error)))?;
    let text = String::from_utf8(content).map_err(|error| {
        let line = error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n');
        unreadable(format!("line {} is not UTF-8 text", line.count() + 1), None)
    })?;
    Ok((name, text))
}

fn load(name: &str, text: &str, printer: &Printer) -> Result<ComputeCluster, CliError> {
    let document = spec::load(name, text)?;
    for warning in &document.warnings {
        printer.rendered(&warning.render(printer.error_color(), printer.width()));
    }
    Ok(document.cluster)
}

fn directory(file: &Path, working_directory: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !is_stdin(file) => working_directory.join(parent),
        _ => working_directory.to_owned(),
    }
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

/// What the operating system says, without its number.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "you may not read it".to_owned(),
        _ => error.to_string(),
    }
}

/// A file beside the one that is missing whose name looks like it.
fn similar_file(file: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != io::ErrorKind::NotFound {
        return None;
    }
    let wanted = file.file_name()?.to_str()?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(parent).ok()?.take(1000).filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let best = similar(wanted, names)?;
    Some(format!("did you mean `{}`?", file.with_file_name(best).display()))
}

/// The one of the names that is most like `wanted`, if it is like it at all.
pub fn similar(wanted: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(wanted, &name), name));
    let best = scored.filter(|(score, _)| *score >= SIMILAR).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        args::ColorWhen,
        printer::{Printer, Talk},
    };

    const DOCUMENT: &str = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                            spec: {provider: {local: {}}}\n";

    fn printer() -> Printer {
        Printer::new(ColorWhen::Never, Talk::Quiet)
    }

    #[test]
    fn the_folder_of_a_document_is_absolute() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("demo.yaml");
        std::fs::write(&file, DOCUMENT).unwrap();
        let read = read(&file, Path::new("/elsewhere"), &printer()).unwrap();
        assert_eq!(read.directory, root.path());
        assert_eq!(read.cluster.metadata.name.as_str(), "demo");
    }

    #[test]
    fn a_merge_changes_adds_and_takes_away() {
        let root = tempfile::tempdir().unwrap();
        let (file, patch) = (root.path().join("demo.yaml"), root.path().join("patch.json"));
        std::fs::write(&file, DOCUMENT.replace("spec: {", "spec: {workers: {replicas: 3, threads: 2}, "))
            .unwrap();
        let workers = r#"{"replicas": null, "min": 1, "max": 4}"#;
        std::fs::write(
            &patch,
            format!(r#"{{"metadata": {{"name": "x"}}, "spec": {{"workers": {workers}}}}}"#),
        )
        .unwrap();
        let read = read_merged(&file, &patch, Path::new("/"), &printer()).unwrap();
        assert_eq!(read.cluster.metadata.name.as_str(), "x");
        let group = &read.cluster.spec.workers;
        let group = serde_json::to_value(group).unwrap();
        assert_eq!(group, serde_json::json!({"min": 1, "max": 4, "threads": 2}));
    }

    #[test]
    fn a_merge_that_makes_no_sense_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (file, patch) = (root.path().join("demo.yaml"), root.path().join("patch.json"));
        std::fs::write(&file, DOCUMENT).unwrap();
        std::fs::write(&patch, r#"{"spec": {"workers": {"replicas": "many"}}}"#).unwrap();
        let error = read_merged(&file, &patch, Path::new("/"), &printer()).unwrap_err();
        assert!(matches!(error, CliError::Document(_)), "{error:?}");
    }

    #[test]
    fn a_missing_file_offers_the_one_that_was_meant() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("demo.yaml"), DOCUMENT).unwrap();
        let error = read(&root.path().join("demo.yml"), Path::new("/"), &printer()).unwrap_err();
        assert!(error.to_string().ends_with("there is no such file"), "{error}");
        assert!(error.hint().unwrap().contains("demo.yaml"), "{error:?}");
    }

    #[test]
    fn a_file_that_is_no_text_says_where() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("demo.yaml");
        std::fs::write(&file, b"a: 1\nb: \xff\n").unwrap();
        let error = read(&file, Path::new("/"), &printer()).unwrap_err().to_string();
        assert!(error.ends_with("line 2 is not UTF-8 text"), "{error}");
    }

    #[test]
    fn only_a_name_that_is_like_it_is_offered() {
        let names = || ["demo".to_owned(), "analysis".to_owned()];
        assert_eq!(similar("dmeo", names()).as_deref(), Some("demo"));
        assert_eq!(similar("zz", names()), None);
    }
}
