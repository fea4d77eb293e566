//! Maps with known keys: what is missing, unknown, or left empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::shapes::Shape;
use crate::spec::{
    Diagnostic, FieldPath,
    diagnostic::Source,
    text::{code, one_of},
    tree::{Entry, MAX_FINDINGS, Node, Value},
};

/// Where a field is written.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Place {
    pub(in crate::spec) key: Range<usize>,
    pub(in crate::spec) value: Range<usize>,
}

/// What reading gathers beside the document itself.
pub(in crate::spec) struct Reader {
    pub(super) source: Arc<Source>,
    /// What was found wrong.
    pub(in crate::spec) findings: Vec<Diagnostic>,
    /// Where each field is.
    pub(in crate::spec) places: BTreeMap<FieldPath, Place>,
    /// Fields that could not be read; what stands for them in the document means nothing.
    pub(in crate::spec) failed: BTreeSet<FieldPath>,
}

/// A value on its way to be read.
pub(super) struct Field<'t> {
    pub(super) path: FieldPath,
    /// Its key; empty for items of a list.
    pub(super) name: &'t str,
    /// Where the key is, to point at when something in it is missing.
    pub(super) key_span: Range<usize>,
    pub(super) node: &'t Node,
}

/// A map whose keys are known to be right.
pub(super) struct Fields<'t> {
    path: FieldPath,
    key_span: Range<usize>,
    entries: &'t [Entry],
}

impl Reader {
    pub(super) fn new(source: &Arc<Source>, findings: Vec<Diagnostic>) -> Self {
        Self { source: Arc::clone(source), findings, places: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// Whether there is no point in finding more.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    pub(super) fn report(&mut self, finding: Diagnostic) {
        if !self.is_full() {
            self.findings.push(finding);
        }
    }

    /// Reports that the field's own value is wrong, and gives it up.
    pub(super) fn refuse<T>(
        &mut self,
        field: &Field<'_>,
        message: String,
        help: impl Into<String>,
    ) -> Option<T> {
        // A value that is not there has no place of its own.
        let node = &field.node.span;
        let span = if node.is_empty() { field.key_span.clone() } else { node.clone() };
        self.report(Diagnostic::error(&self.source, message).at(span, "").help(help));
        self.give_up(field)
    }

    /// Reports that the key of an entry that was read is wrong, and gives the entry up.
    pub(super) fn refuse_key(&mut self, path: &FieldPath, message: String, help: impl Into<String>) {
        let place = self.places.get(path).map(|place| place.key.clone()).unwrap_or_default();
        self.report(Diagnostic::error(&self.source, message).at(place, "").help(help));
        self.failed.insert(path.clone());
    }

    /// Says no more about a field that was reported already.
    pub(super) fn give_up<T>(&mut self, field: &Field<'_>) -> Option<T> {
        self.failed.insert(field.path.clone());
        None
    }

    pub(super) fn remember(&mut self, field: &Field<'_>) {
        let place = Place { key: field.key_span.clone(), value: field.node.span.clone() };
        self.places.insert(field.path.clone(), place);
    }

    /// The entries of a map of any keys; a merge key is refused.
    pub(super) fn entries<'t>(&mut self, field: &Field<'t>, expected: &str) -> Option<Vec<Field<'t>>> {
        let entries = self.map(field, expected)?;
        let mut fields = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.key == "<<" {
                self.refuse_merge(entry);
                continue;
            }
            fields.push(child(&field.path, entry));
        }
        Some(fields)
    }

    fn map<'t>(&mut self, field: &Field<'t>, expected: &str) -> Option<&'t [Entry]> {
        match &field.node.value {
            Value::Map(entries) => Some(entries),
            Value::Refused => self.give_up(field),
            _ => {
                let message =
                    format!("{} must be {expected}, but is {}", code_path(&field.path), field.node.found());
                self.refuse(
                    field,
                    message,
                    "write its keys on indented lines below it, or in braces: `{key: value}`",
                )
            }
        }
    }

    fn refuse_merge(&mut self, entry: &Entry) {
        let finding = Diagnostic::error(&self.source, "merge keys (`<<`) are not supported")
            .at(entry.key_span.clone(), "")
            .help("write the values out where they are needed");
        self.report(finding);
    }

    /// The map with its unknown keys reported.
    pub(super) fn fields<'t>(&mut self, field: &Field<'t>, shape: &Shape) -> Option<Fields<'t>> {
        let expected = if shape.keys.is_empty() { "a map (`{}`)" } else { "a map" };
        let entries = self.map(field, expected)?;
        for entry in entries {
            if self.is_full() {
                break;
            }
            if entry.key == "<<" {
                self.refuse_merge(entry);
            } else if !shape.keys.contains(&entry.key.as_str())
                && !matches!(entry.value.value, Value::Refused)
            {
                let finding = self.unknown_key(entry, shape);
                self.report(finding);
                // What was meant is unknown, not absent.
                self.failed.extend(shape.suggest(&entry.key).map(|meant| field.path.key(meant)));
            }
        }
        Some(Fields { path: field.path.clone(), key_span: field.key_span.clone(), entries })
    }

    fn unknown_key(&self, entry: &Entry, shape: &Shape) -> Diagnostic {
        let key = &entry.key;
        let finding =
            Diagnostic::error(&self.source, format!("unknown key {} in {}", code(key), shape.place))
                .at(entry.key_span.clone(), "");
        let keys = || match shape.keys {
            [only] => format!("the only key here is `{only}`"),
            keys => format!("the keys here are {}", keys.join(", ")),
        };
        if let Some(meant) = shape.suggest(key) {
            return finding.help(format!("did you mean `{meant}`? {}", keys()));
        }
        if key == "status" {
            return finding.help("`status` is what Crewcall reports; remove it from the file");
        }
        if let Some(home) = Shape::home_of(key) {
            return finding.help(format!("{} belongs in {}", code(key), home.place));
        }
        if shape.keys.is_empty() {
            return finding.help("it has no settings: write `{}`");
        }
        finding.help(keys())
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<'t, T>(
        &mut self,
        fields: &Fields<'t>,
        key: &str,
        read: impl FnOnce(&mut Self, &Field<'t>) -> Option<T>,
    ) -> Option<T> {
        let entry = fields.entries.iter().find(|entry| entry.key == key)?;
        let field = child(&fields.path, entry);
        self.remember(&field);
        if field.node.is_null() {
            let finding = Diagnostic::error(&self.source, format!("`{key}` has no value"))
                .at(entry.key_span.clone(), "")
                .help("give it a value, or remove the key; an empty map is written `{}`");
            self.report(finding);
            return self.give_up(&field);
        }
        read(self, &field)
    }

    /// The value of a key that must be there.
    pub(super) fn required<'t, T>(
        &mut self,
        fields: &Fields<'t>,
        key: &str,
        help: &str,
        read: impl FnOnce(&mut Self, &Field<'t>) -> Option<T>,
    ) -> Option<T> {
        if fields.entries.iter().all(|entry| entry.key != key) {
            let place = match fields.path.to_string() {
                path if path.is_empty() => "the document".to_owned(),
                path => format!("`{path}`"),
            };
            let finding = Diagnostic::error(&self.source, format!("{place} has no `{key}`"))
                .at(fields.key_span.clone(), "")
                .help(help);
            self.report(finding);
            self.failed.insert(fields.path.key(key));
            return None;
        }
        self.optional(fields, key, read)
    }

    /// The one entry of a map that names exactly one of its variants.
    pub(super) fn variant<'t>(
        &mut self,
        field: &Field<'t>,
        shape: &Shape,
        what: &str,
    ) -> Option<(&'static str, Field<'t>)> {
        let Value::Map(entries) = &field.node.value else {
            return self.variant_is_no_map(field, shape, what);
        };
        self.fields(field, shape)?;
        let known: Vec<(&'static str, &Entry)> = entries
            .iter()
            .filter_map(|entry| Some((*shape.keys.iter().find(|key| **key == entry.key)?, entry)))
            .collect();
        match known.as_slice() {
            [(name, entry)] => {
                let child = child(&field.path, entry);
                self.remember(&child);
                Some((name, child))
            }
            [] => {
                // An unknown key was reported already, with its suggestion.
                if entries.is_empty() {
                    let message = format!("{} names no {what}", code_path(&field.path));
                    return self.refuse(field, message, format!("write one of {}", one_of(shape.keys)));
                }
                self.give_up(field)
            }
            [(first, first_entry), .., (_, last_entry)] => {
                let message = format!("{} names more than one {what}", code_path(&field.path));
                let finding = Diagnostic::error(&self.source, message)
                    .at(last_entry.key_span.clone(), "another here")
                    .at(first_entry.key_span.clone(), "one here")
                    .help(format!("keep one of them, such as `{first}`"));
                self.report(finding);
                self.give_up(field)
            }
        }
    }

    fn variant_is_no_map<T>(&mut self, field: &Field<'_>, shape: &Shape, what: &str) -> Option<T> {
        let word = match &field.node.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            Value::Refused => return self.give_up(field),
            _ => "",
        };
        let message = format!(
            "{} must be a map with one {what}, but is {}",
            code_path(&field.path),
            field.node.found()
        );
        let help = match shape.suggest(word) {
            Some(meant @ ("local" | "kubernetes" | "ec2" | "dask")) => format!("write `{{{meant}: {{}}}}`"),
            _ => format!("write one of {} as its key", one_of(shape.keys)),
        };
        self.refuse(field, message, help)
    }
}

fn child<'t>(path: &FieldPath, entry: &'t Entry) -> Field<'t> {
    Field {
        path: path.key(&entry.key),
        name: &entry.key,
        key_span: entry.key_span.clone(),
        node: &entry.value,
    }
}

/// The path between backticks; the root by its name.
pub(super) fn code_path(path: &FieldPath) -> String {
    match path.to_string() {
        text if text.is_empty() => "the document".to_owned(),
        text => format!("`{text}`"),
    }
}
