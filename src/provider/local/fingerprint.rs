//! Short names for contents.

use sha2::{Digest, Sha256};

/// 16 hexadecimal digits that differ when the texts, or how they are divided, differ.
pub fn fingerprint<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
    }
    let digest = hasher.finalize();
    format!("{:016x}", digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_divided_differently_have_different_names() {
        assert_ne!(fingerprint(["ab", "c"]), fingerprint(["a", "bc"]));
        assert_eq!(fingerprint(["ab", "c"]).len(), 16);
    }
}
