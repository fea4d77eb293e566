//! Where in a document a field is.

use std::{fmt, sync::Arc};

/// The way from the document's root to a field: `spec.workerGroups.highmem.min`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Key(Arc<str>),
    Index(usize),
}

impl FieldPath {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The field that dotted plain keys lead to, from the root.
    pub fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Segment::Key(key.into())).collect())
    }

    /// The field under that key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.into()))
    }

    /// The item of a list, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    /// The field that holds this one; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// Whether it is the other field, or lies in it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

/// Dotted, with odd keys in brackets: `spec.engine.dask.config["a.b"]`, `environment.packages[0]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{key}")?;
                }
                Segment::Key(key) => write!(f, "[\"{}\"]", super::text::printable(key))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_document() {
        let config = FieldPath::of("spec.engine.dask.config");
        assert_eq!(config.key("a.b").to_string(), "spec.engine.dask.config[\"a.b\"]");
        assert_eq!(config.key("list").index(2).to_string(), "spec.engine.dask.config.list[2]");
        assert_eq!(config.key("\u{1b}[2J").to_string(), "spec.engine.dask.config[\"\\u{1b}[2J\"]");
    }

    #[test]
    fn a_path_lies_within_itself_and_what_is_above_it() {
        let workers = FieldPath::of("spec.workers");
        assert!(FieldPath::of("spec.workers.min").is_within(&workers));
        assert!(workers.is_within(&workers) && workers.is_within(&FieldPath::root()));
        assert!(!workers.is_within(&FieldPath::of("spec.workerGroups")));
        assert_eq!(workers.parent(), Some(FieldPath::of("spec")));
        assert_eq!(FieldPath::root().parent(), None);
    }
}
