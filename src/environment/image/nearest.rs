//! Tags that come near the one that is missing.

use super::template::Versions;

/// How many are named.
const MOST: usize = 5;

/// The tags of the pattern's form, nearest first: same Dask before same Python, newer before older.
pub(super) fn nearest(pattern: &str, wanted: &Versions, tags: &[String]) -> Vec<String> {
    let mut found: Vec<_> = tags
        .iter()
        .filter_map(|tag| {
            let (dask, python) = versions(pattern, tag)?;
            let dask = distance(&wanted.dask, dask.unwrap_or(&wanted.dask));
            let python = distance(&wanted.python, python.unwrap_or(&wanted.python));
            // One difference, however large, is nearer than two.
            let both = usize::from(dask != Distance::default() && python != Distance::default());
            Some((both, dask, python, tag))
        })
        .collect();
    found.sort();
    found.into_iter().take(MOST).map(|(_, _, _, tag)| tag.clone()).collect()
}

/// How far apart two versions are: by their first part, then by the next.
type Distance = [u64; 3];

fn distance(one: &str, other: &str) -> Distance {
    let parts = |version: &str| {
        let mut parts = Distance::default();
        for (part, text) in parts.iter_mut().zip(version.split('.')) {
            *part = text.parse().unwrap_or(u64::MAX);
        }
        parts
    };
    let mut apart = parts(one);
    for (part, other) in apart.iter_mut().zip(parts(other)) {
        *part = part.abs_diff(other);
    }
    apart
}

/// The versions of Dask and Python that stand in the tag where the pattern has their places.
fn versions<'t>(pattern: &str, tag: &'t str) -> Option<(Option<&'t str>, Option<&'t str>)> {
    let (mut pattern, mut tag) = (pattern, tag);
    let (mut dask, mut python) = (None, None);
    while !pattern.is_empty() {
        let (place, rest) = if let Some(rest) = pattern.strip_prefix("{dask}") {
            (&mut dask, rest)
        } else if let Some(rest) = pattern.strip_prefix("{python}") {
            (&mut python, rest)
        } else {
            let literal = pattern.chars().next()?;
            tag = tag.strip_prefix(literal)?;
            pattern = pattern.get(literal.len_utf8()..)?;
            continue;
        };
        let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tag.len());
        let (version, after) = tag.split_at(end);
        if version.split('.').any(str::is_empty) {
            return None;
        }
        *place = Some(version);
        (pattern, tag) = (rest, after);
    }
    tag.is_empty().then_some((dask, python))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(tags: &[&str]) -> Vec<String> {
        let wanted = Versions { dask: "2026.8.0".to_owned(), python: "3.11".to_owned() };
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        nearest("{dask}-py{python}", &wanted, &tags)
    }

    #[test]
    fn only_tags_of_the_patterns_form_are_near() {
        assert!(
            near(&["latest", "2026.8.0", "2026.8.0-py", "-py3.11", "2026.8.0-py3.11-dev", "..-py3.11"])
                .is_empty()
        );
    }

    #[test]
    fn one_version_that_differs_is_nearer_than_two() {
        assert_eq!(
            near(&[
                "2026.7.1-py3.12",
                "2026.7.1-py3.11",
                "2026.8.0-py3.13",
                "2026.8.0-py3.12",
                "2020.1.0-py3.11"
            ]),
            ["2026.8.0-py3.12", "2026.8.0-py3.13", "2026.7.1-py3.11", "2020.1.0-py3.11", "2026.7.1-py3.12"]
        );
    }

    #[test]
    fn few_are_named_of_many() {
        let tags: Vec<String> = (0..50).map(|patch| format!("2026.7.{patch}-py3.11")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        assert_eq!(near(&tags).len(), MOST);
    }
}
