//! What a rule finds, and the list of all rules.

use std::fmt;

use super::{ec2, kubernetes, names, sizes, software};
use crate::spec::{ComputeCluster, FieldPath, Severity};

/// Which part of a field is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// A field that a problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which field.
    pub path: FieldPath,
    /// Which part of it.
    pub target: Target,
    /// What is to be said there; `None` for a field that was only looked at.
    pub text: Option<String>,
}

/// Values that a document may not have, or not together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// The fields; the first is the place itself.
    pub marks: Vec<Mark>,
}

/// A document that is refused, with every reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// All of them are errors; there is at least one.
    pub problems: Vec<Problem>,
}

impl Problem {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None, marks: Vec::new() }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn at(self, path: &FieldPath, text: impl Into<String>) -> Self {
        self.mark(path, Target::Value, Some(text.into()))
    }

    pub(super) fn at_key(self, path: &FieldPath, text: impl Into<String>) -> Self {
        self.mark(path, Target::Key, Some(text.into()))
    }

    /// A field that the rule looked at: the problem is void when it could not be read.
    pub(super) fn rests_on(self, path: &FieldPath) -> Self {
        self.mark(path, Target::Value, None)
    }

    fn mark(mut self, path: &FieldPath, target: Target, text: Option<String>) -> Self {
        self.marks.push(Mark { path: path.clone(), target, text });
        self
    }
}

/// With the field's path, as there is no line to point at.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mark) = self.marks.iter().find(|mark| mark.text.is_some()) {
            write!(f, "{}: ", mark.path)?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; hint: {help}"))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Everything that the rules find, warnings too.
pub fn problems(cluster: &ComputeCluster) -> Vec<Problem> {
    let mut found = Vec::new();
    names::check(cluster, &mut found);
    software::check(cluster, &mut found);
    sizes::check(cluster, &mut found);
    kubernetes::check(cluster, &mut found);
    ec2::check(cluster, &mut found);
    found
}

/// Checks a document that did not arrive as text; the rules are those of `load`.
pub fn validate(cluster: &ComputeCluster) -> Result<(), Invalid> {
    let mut problems = problems(cluster);
    problems.retain(|problem| problem.severity == Severity::Error);
    if problems.is_empty() { Ok(()) } else { Err(Invalid { problems }) }
}
