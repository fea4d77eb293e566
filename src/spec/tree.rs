//! Text to a tree of values with their places; everything YAML that a document does not need is
//! refused here.
//!
//! The tree is built from the events of serde-saphyr's own parser, which keep what a serde
//! visitor loses: how a scalar was written, keys that occur twice, anchors, tags, and the end of
//! the first document.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use super::{
    Diagnostic, LoadError,
    diagnostic::Source,
    scalar::{Meaning, Scalar, Style},
    syntax,
    text::code,
};

/// Largest text that is parsed at all, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Most values (scalars, lists and maps) in a document.
pub(super) const MAX_NODES: usize = 50_000;
/// Deepest nesting of lists and maps.
pub(super) const MAX_DEPTH: usize = 32;
/// Findings after which looking for more stops.
pub(super) const MAX_FINDINGS: usize = 50;

/// A value and where it is written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Map(Vec<Entry>),
    Sequence(Vec<Node>),
    Scalar(Scalar),
    /// Something that was already reported.
    Refused,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// The document's tree, if there is one, and what was found wrong.
pub(super) fn parse(source: &Arc<Source>) -> (Option<Node>, Vec<Diagnostic>) {
    if let Some(refusal) = refuse_early(source) {
        return (None, vec![refusal]);
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH + 8,
        block_nesting_limit: MAX_DEPTH + 8,
    };
    let mut builder = Builder::new(source);
    for event in Parser::new_from_str_with_options(source.text(), options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax::diagnostic(source, &error)),
        };
        if let Err(stop) = step {
            builder.findings.push(stop);
            return (None, builder.findings);
        }
    }
    builder.finish()
}

/// Refuses a text for its size, before anything is done with it.
pub(super) fn refuse_size(source_name: &str, text: &str) -> Option<LoadError> {
    if text.len() <= MAX_BYTES {
        return None;
    }
    let source = Source::new(source_name, "");
    let message = format!("the document has {} bytes; the most is {MAX_BYTES} (1 MiB)", text.len());
    let finding = Diagnostic::error(&source, message).help("is this the right file?");
    Some(LoadError::new(source, vec![finding]))
}

/// What need not be parsed to be refused.
fn refuse_early(source: &Arc<Source>) -> Option<Diagnostic> {
    let text = source.text();
    // The parser takes NUL for the end of the text, which would hide what follows.
    let forbidden = |c: char| {
        c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}') || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let (at, c) = text.char_indices().find(|(_, c)| forbidden(*c))?;
    let message = format!("the character U+{:04X} cannot stand in a YAML file", u32::from(c));
    Some(
        Diagnostic::error(source, message)
            .at(at..at + c.len_utf8(), "")
            .help("remove it; inside double quotes it can be written as an escape such as \"\\x00\""),
    )
}

enum Frame {
    Map { start: usize, entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
    Sequence { start: usize, items: Vec<Node> },
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    findings: Vec<Diagnostic>,
    stack: Vec<Frame>,
    nodes: usize,
    /// The first document with anything in it.
    root: Option<Node>,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Arc<Source>) -> Self {
        Self { source, findings: Vec::new(), stack: Vec::new(), nodes: 0, root: None }
    }

    fn report(&mut self, finding: Diagnostic) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// `Err` ends the parse.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Diagnostic> {
        let at = span.byte_range().unwrap_or(0..0);
        match event {
            Event::Scalar(text, style, _, tag) => {
                let style = match (style, tag.as_deref()) {
                    (ScalarStyle::Plain, None) => Style::Plain,
                    (_, Some(tag)) if !tag.is_yaml_core_schema_tag("str") => {
                        return self.refuse_tag(&tag.original(), at);
                    }
                    _ => Style::Quoted,
                };
                let scalar = Scalar { text: text.into_owned(), style };
                self.attach(Node { span: at, value: Value::Scalar(scalar) })
            }
            Event::MappingStart(_, _, tag) => {
                self.refuse_collection_tag(tag.as_deref(), &at);
                self.open(Frame::Map { start: at.start, entries: Vec::new(), key: None }, at)
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_collection_tag(tag.as_deref(), &at);
                self.open(Frame::Sequence { start: at.start, items: Vec::new() }, at)
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(at.end),
            Event::Anchor(_, name) => {
                self.report(
                    Diagnostic::error(
                        self.source,
                        format!("anchors are not supported: {}", code(&format!("&{name}"))),
                    )
                    .at(at, "")
                    .help("write the value out where it is needed"),
                );
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let name = self.source.text().get(at.clone()).unwrap_or("*").to_owned();
                self.report(
                    Diagnostic::error(self.source, format!("aliases are not supported: {}", code(&name)))
                        .at(at.clone(), "")
                        .help("write the value out where it is needed"),
                );
                self.attach(Node { span: at, value: Value::Refused })
            }
            _ => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tag: &str, at: Range<usize>) -> Result<(), Diagnostic> {
        self.report(
            Diagnostic::error(self.source, format!("tags are not supported: {}", code(tag)))
                .at(at.clone(), "")
                .help("remove the tag; to make a number or boolean a text, quote it"),
        );
        self.attach(Node { span: at, value: Value::Refused })
    }

    fn refuse_collection_tag(&mut self, tag: Option<&granit_parser::Tag>, at: &Range<usize>) {
        if let Some(tag) = tag {
            let message = format!("tags are not supported: {}", code(&tag.original()));
            self.report(Diagnostic::error(self.source, message).at(at.clone(), "").help("remove the tag"));
        }
    }

    fn count(&mut self, at: &Range<usize>) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} values");
            return Err(Diagnostic::error(self.source, message)
                .at(at.clone(), "")
                .help("is this the right file?"));
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame, at: Range<usize>) -> Result<(), Diagnostic> {
        self.count(&at)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(syntax::too_deep(self.source, at));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Diagnostic> {
        let node = match self.stack.pop() {
            Some(Frame::Map { start, entries, .. }) => {
                let entries = self.unique(entries);
                Node { span: start..end, value: Value::Map(entries) }
            }
            Some(Frame::Sequence { start, items }) => {
                Node { span: start..end, value: Value::Sequence(items) }
            }
            None => return Ok(()),
        };
        self.place(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), Diagnostic> {
        self.count(&node.span)?;
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), Diagnostic> {
        match self.stack.last_mut() {
            None => self.place_root(node),
            Some(Frame::Sequence { items, .. }) => {
                items.push(node);
                Ok(())
            }
            Some(Frame::Map { entries, key, .. }) => {
                match key.take() {
                    Some((name, key_span)) => entries.push(Entry { key: name, key_span, value: node }),
                    None => match self.key_of(node) {
                        Ok(name) => {
                            if let Some(Frame::Map { key, .. }) = self.stack.last_mut() {
                                *key = Some(name);
                            }
                        }
                        Err(finding) => return Err(finding),
                    },
                }
                Ok(())
            }
        }
    }

    fn key_of(&mut self, node: Node) -> Result<(String, Range<usize>), Diagnostic> {
        match node.value {
            Value::Scalar(Scalar { text, .. }) => Ok((text, node.span)),
            Value::Refused => Ok((String::new(), node.span)),
            Value::Map(_) | Value::Sequence(_) => {
                let finding =
                    Diagnostic::error(self.source, "a key must be a plain word, not a map or a list");
                let inner = self.source.text().get(node.span.start.saturating_sub(1)..).unwrap_or("");
                let help = if inner.starts_with("{{") {
                    "this looks like a template that was not filled in; if the braces are meant, quote the value"
                } else {
                    "quote the value if the braces or brackets are meant"
                };
                Err(finding.at(node.span, "").help(help))
            }
        }
    }

    fn place_root(&mut self, node: Node) -> Result<(), Diagnostic> {
        // A marker with nothing behind it is no document.
        let empty = node.span.is_empty() && node.is_null();
        if empty {
            return Ok(());
        }
        if let Some(first) = &self.root {
            let finding = Diagnostic::error(self.source, "the file holds more than one document")
                .at(node.span, "a second one starts here")
                .at(first.span.clone(), "the first")
                .help("put each cluster into a file of its own");
            return Err(finding);
        }
        self.root = Some(node);
        Ok(())
    }

    /// Without the keys that came before; each of them is reported.
    fn unique(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(first) = seen.get(&entry.key) {
                let first = first.clone();
                self.report(
                    Diagnostic::error(self.source, format!("the key {} is given twice", code(&entry.key)))
                        .at(entry.key_span, "again here")
                        .at(first, "first here")
                        .help("keep one of the two"),
                );
            } else {
                seen.insert(entry.key.clone(), entry.key_span.clone());
                kept.push(entry);
            }
        }
        kept
    }

    fn finish(mut self) -> (Option<Node>, Vec<Diagnostic>) {
        if self.root.is_none() && self.findings.is_empty() {
            let empty = Diagnostic::error(self.source, "the document is empty").help(
                "a small one:\n\
                 apiVersion: crewcall.dev/v1alpha1\n\
                 kind: ComputeCluster\n\
                 metadata: {name: demo}\n\
                 spec:\n  provider: {local: {}}\n  workers: {replicas: 4}",
            );
            self.findings.push(empty);
        }
        (self.root, self.findings)
    }
}

impl Node {
    /// What is there, for "found ...".
    pub(super) fn found(&self) -> String {
        match &self.value {
            Value::Map(_) => "a map".to_owned(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Refused => "something else".to_owned(),
            Value::Scalar(scalar) => {
                let shown = code(&scalar.text);
                match scalar.meaning() {
                    Meaning::Null => "nothing".to_owned(),
                    Meaning::Boolean(_) => format!("the boolean {shown}"),
                    Meaning::Number => format!("the number {shown}"),
                    Meaning::OldBoolean(_) | Meaning::Text => format!("the text {shown}"),
                }
            }
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }
}
