//! Which of two versions is newer.

use std::cmp::Ordering;

/// Compares two versions as semver.org has them, what comes behind a `+` left out. What is no
/// version is older than all that are.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    parse(left).cmp(&parse(right))
}

/// Numbers; then, whether it is a release, which is newer than all that came before it; then what
/// tells those apart.
type Parsed<'a> = ([u64; 3], bool, &'a str);

fn parse(text: &str) -> Option<Parsed<'_>> {
    let core = text.split('+').next()?;
    let (numbers, before) = core.split_once('-').unwrap_or((core, ""));
    let mut parts = numbers.split('.').map(|part| part.parse::<u64>().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some((version, before.is_empty(), before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        assert_eq!(compare("0.10.0", "0.9.1"), Ordering::Greater);
        assert_eq!(compare("1.0.0", "1.0.0+build"), Ordering::Equal);
        assert_eq!(compare("1.0.0-rc.1", "1.0.0"), Ordering::Less);
        assert_eq!(compare("junk", "0.0.1"), Ordering::Less);
    }
}
