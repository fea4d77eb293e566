//! What is wrong with a document, where, and what to do about it.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// A document's text and the name it is known by.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset of every line's first character.
    line_starts: Vec<usize>,
    /// Bytes of the text that are shown to nobody; known once it has been parsed.
    secrets: OnceLock<Vec<Range<usize>>>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document is accepted; its author should know.
    Warning,
    /// The document is refused.
    Error,
}

/// A place in the text, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// May be empty.
    pub text: String,
}

/// One finding in a document.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Where; the first is the place itself, the others explain it.
    pub labels: Vec<Label>,
    source: Arc<Source>,
}

/// A document that is refused: every error that was found, and the warnings.
#[derive(Debug, Clone)]
pub struct LoadError {
    source: Arc<Source>,
    diagnostics: Vec<Diagnostic>,
}

impl Source {
    /// A text by the name of its file, or of where else it came from.
    pub fn new(name: &str, text: &str) -> Arc<Self> {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Arc::new(Self { name: name.to_owned(), text: text.to_owned(), line_starts, secrets: OnceLock::new() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says which bytes of the text are shown to nobody. The first word counts.
    pub(super) fn hide(&self, secrets: Vec<Range<usize>>) {
        let _ = self.secrets.set(secrets);
    }

    /// Whether the byte at `offset` is shown to nobody.
    pub(super) fn hides(&self, offset: usize) -> bool {
        self.secrets.get().is_some_and(|secrets| secrets.iter().any(|secret| secret.contains(&offset)))
    }

    /// The line that holds the byte offset, counted from 0.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Bytes of a line, its line break not among them.
    pub(super) fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        let next = self.line_starts.get(line + 1).copied().unwrap_or(self.text.len());
        let text = self.text.get(start..next).unwrap_or("");
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }

    /// Line and column of a byte offset, both counted from 1; columns are characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_of(offset);
        let start = self.line_starts.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        (line + 1, before.chars().count() + 1)
    }
}

impl Diagnostic {
    /// A finding that refuses the document.
    pub(super) fn error(source: &Arc<Source>, message: impl Into<String>) -> Self {
        Self::new(source, Severity::Error, message.into())
    }

    pub(super) fn new(source: &Arc<Source>, severity: Severity, message: String) -> Self {
        Self { severity, message, help: None, labels: Vec::new(), source: Arc::clone(source) }
    }

    /// Adds the next step.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a place; it is cut to its first line and to what the text has.
    pub(super) fn at(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        let length = self.source.text.len();
        let start = self.source.text.floor_char_boundary(span.start.min(length));
        let line_end = self.source.line_range(self.source.line_of(start)).end;
        let end = self.source.text.ceil_char_boundary(span.end.min(line_end).max(start));
        self.labels.push(Label { span: start..end, text: text.into() });
        self
    }

    /// Line and column of the place itself, both counted from 1; `None` when it is the whole text.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.labels.first().map(|label| self.source.position(label.span.start))
    }

    /// The text that this is about.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// For an order that follows the text.
    pub(super) fn start(&self) -> usize {
        self.labels.first().map_or(0, |label| label.span.start)
    }
}

impl LoadError {
    pub(super) fn new(source: Arc<Source>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(Diagnostic::start);
        let mut room = super::tree::MAX_FINDINGS;
        diagnostics.retain(|diagnostic| {
            let keep = diagnostic.severity == Severity::Warning || room > 0;
            room -= usize::from(keep && diagnostic.severity == Severity::Error);
            keep
        });
        Self { source, diagnostics }
    }

    /// Every finding, in the order of the text; at least one is an error.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let errors = self.count(Severity::Error);
        let more = if errors >= super::tree::MAX_FINDINGS { " or more" } else { "" };
        write!(f, "{} has {}{more}", self.source.name, plural(errors, "error"))?;
        match self.count(Severity::Warning) {
            0 => Ok(()),
            warnings => write!(f, " and {}", plural(warnings, "warning")),
        }
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self.source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let labels = self.labels.iter().map(|label| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            miette::LabeledSpan::new(text, label.span.start, label.span.len())
        });
        Some(Box::new(labels))
    }
}

impl miette::Diagnostic for LoadError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.diagnostics.iter().map(|diagnostic| diagnostic as &dyn miette::Diagnostic)))
    }
}

impl miette::SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let found = self.text.read_span(span, before, after)?;
        let named = miette::MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            found.line(),
            found.column(),
            found.line_count(),
        );
        Ok(Box::new(named))
    }
}
