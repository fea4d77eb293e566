//! Text of the author's, made fit to stand in a message.

/// Most characters of the author's text that a message repeats.
const MAX_SHOWN: usize = 60;

/// Conversions of a type that is text to serde: from it by `FromStr`, to it by `Display`.
macro_rules! string_form {
    ($name:ident, $error:ty) => {
        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use string_form;

/// The text on one line: shortened, and without characters that could drive a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).map(Shown).map(|c| c.to_string()).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The text between backticks.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() { "`\"\"`".to_owned() } else { format!("`{}`", printable(text)) }
}

/// `a`, `b` or `c`, between backticks.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Whether a terminal might obey the character, or reorder text by it.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

struct Shown(char);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if is_unprintable(self.0) {
            write!(f, "{}", self.0.escape_default())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// The one of `candidates` that `word` was most likely meant to be.
pub(crate) fn closest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
    };
    if word.len() > 80 {
        return None;
    }
    let word = plain(word);
    let scored = candidates.iter().map(|candidate| {
        let plain_candidate = plain(candidate);
        let distance = strsim::osa_distance(&word, &plain_candidate);
        (distance, word.len().max(plain_candidate.len()), *candidate)
    });
    // A third of the letters may be wrong; more is another word.
    scored
        .filter(|(distance, length, _)| distance * 3 <= *length)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_word_and_another_word_does_not() {
        let keys = ["replicas", "threads", "memory", "idleTimeout"];
        assert_eq!(closest("replcas", &keys), Some("replicas"));
        assert_eq!(closest("idle_timeout", &keys), Some("idleTimeout"));
        assert_eq!(closest("Memroy", &keys), Some("memory"));
        assert_eq!(closest("banana", &keys), None);
        assert_eq!(closest("", &keys), None);
    }

    #[test]
    fn what_a_message_repeats_is_short_and_harmless() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(printable(&"x".repeat(500)).len(), 63);
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
