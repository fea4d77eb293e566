//! Where in a document a field is.

use std::fmt;

/// The way from the document's root to a field: `spec.workerGroups.highmem.min`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Key(String),
    Index(usize),
}

impl FieldPath {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The field that dotted plain keys lead to, from the root.
    pub fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Segment::Key(key.to_owned())).collect())
    }

    /// The field under that key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
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

    /// Whether one of the two lies within the other, or they are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine == theirs)
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
    fn paths_overlap_when_one_holds_the_other() {
        let workers = FieldPath::of("spec.workers");
        assert!(workers.overlaps(&FieldPath::of("spec.workers.min")));
        assert!(FieldPath::root().overlaps(&workers));
        assert!(!workers.overlaps(&FieldPath::of("spec.workerGroups")));
    }
}
