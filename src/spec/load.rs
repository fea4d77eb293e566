//! Text to a document, or to everything that is wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{
    ComputeCluster, Diagnostic, FieldPath, LoadError, Severity,
    diagnostic::Source,
    reader,
    rules::{self, Mark, Problem, Target},
    secrets, tree,
};

/// A document that is accepted.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says.
    pub cluster: ComputeCluster,
    /// What its author should know, in the order of the text.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a document from YAML or JSON text; `source_name` is what messages call it.
///
/// All errors are found at once: in keys, types and units, and in what the values mean together.
/// Nothing is read but the text; at most 1 MiB, 50,000 values and 32 levels of it. Anchors,
/// aliases, tags, directives and second documents are refused.
pub fn load(source_name: &str, text: &str) -> Result<Document, LoadError> {
    if let Some(refusal) = tree::refuse_size(source_name, text) {
        return Err(refusal);
    }
    let source = Source::new(source_name, text);
    let (root, findings) = tree::parse(&source);
    let Some(root) = root else {
        return Err(LoadError::new(source, findings));
    };
    let secrets = secrets::hide(&source, &root);
    let (cluster, mut reader) = reader::read(&source, &root, findings);
    if let Some(cluster) = cluster.as_ref().filter(|_| reader.findings.len() < tree::MAX_FINDINGS) {
        let lookup = |path: &FieldPath, target: Target| place(&reader.places, path, target);
        let problems = rules::problems(cluster);
        let sound = problems.iter().filter(|problem| !rests_on_failed(problem, &reader.failed));
        let found: Vec<_> =
            sound.take(tree::MAX_FINDINGS).map(|problem| diagnostic(&source, problem, lookup)).collect();
        reader.findings.extend(found);
    }
    reader.findings.iter_mut().for_each(|finding| secrets::veil(finding, &secrets));
    let refused = reader.findings.iter().any(|finding| finding.severity == Severity::Error);
    match cluster {
        Some(cluster) if !refused => {
            reader.findings.sort_by_key(Diagnostic::start);
            Ok(Document { cluster, warnings: reader.findings })
        }
        _ => Err(LoadError::new(source, reader.findings)),
    }
}

/// Whether the problem was seen in a stand-in for something that could not be read.
fn rests_on_failed(problem: &Problem, failed: &BTreeSet<FieldPath>) -> bool {
    problem.marks.iter().any(|mark| overlaps_any(&mark.path, failed))
}

/// Whether one of the fields lies within the path, or the path within one of them.
fn overlaps_any(path: &FieldPath, fields: &BTreeSet<FieldPath>) -> bool {
    let mut ancestor = path.parent();
    while let Some(above) = ancestor {
        if fields.contains(&above) {
            return true;
        }
        ancestor = above.parent();
    }
    // Paths sort before what they hold.
    fields.range(path..).next().is_some_and(|next| next.is_within(path))
}

fn diagnostic(
    source: &Arc<Source>,
    problem: &Problem,
    lookup: impl Fn(&FieldPath, Target) -> Option<Range<usize>>,
) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(source, problem.severity, problem.message.clone());
    diagnostic.help.clone_from(&problem.help);
    for Mark { path, target, text } in &problem.marks {
        if let (Some(text), Some(span)) = (text, lookup(path, *target)) {
            diagnostic = diagnostic.at(span, text.clone());
        }
    }
    diagnostic
}

/// Where the field is written; where what holds it is, if it is not written at all.
fn place(
    places: &BTreeMap<FieldPath, reader::Place>,
    path: &FieldPath,
    target: Target,
) -> Option<Range<usize>> {
    if let Some(place) = places.get(path) {
        return Some(match target {
            Target::Key => place.key.clone(),
            Target::Value => place.value.clone(),
        });
    }
    place(places, &path.parent()?, Target::Key)
}
