//! From a file, or standard input, to a document.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{CliError, printer::Printer};
use crate::spec::{self, ComputeCluster};

/// More than a document may have, so that one that is too large is refused by its own rule.
const MAX_BYTES: u64 = 4 << 20;

/// How like two names must be for one to be offered in place of the other; 1 is the same.
const SIMILAR: f64 = 0.7;

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
    let from_stdin = file == Path::new("-");
    let name = if from_stdin { "<stdin>".to_owned() } else { file.display().to_string() };
    let content = if from_stdin { bounded(io::stdin().lock()) } else { File::open(file).and_then(bounded) };
    let unreadable = |cause: String, hint| CliError::UnreadableDocument { name: name.clone(), cause, hint };
    let content = content.map_err(|error| unreadable(cause(&error), similar_file(file, &error)))?;
    let text = String::from_utf8(content).map_err(|error| {
        let line = error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n');
        unreadable(format!("line {} is not UTF-8 text", line.count() + 1), None)
    })?;
    let document = spec::load(&name, &text)?;
    for warning in &document.warnings {
        printer.rendered(&warning.render(printer.error_color(), printer.width()));
    }
    let directory = match file.parent() {
        Some(parent) if !from_stdin => working_directory.join(parent),
        _ => working_directory.to_owned(),
    };
    Ok(ReadDocument { cluster: document.cluster, directory })
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
