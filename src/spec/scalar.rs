//! What a scalar means, to readers of YAML old and new.

/// A scalar as written.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
}

/// Whether a scalar's text decides its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
}

/// What a plain scalar means in YAML 1.2, and whether an older reader would take it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Null,
    Boolean(bool),
    /// `yes`, `on` and the like: text in YAML 1.2, a boolean to YAML 1.1 readers such as kubectl.
    OldBoolean(bool),
    Number,
    Text,
}

impl Scalar {
    pub(super) fn meaning(&self) -> Meaning {
        if self.style == Style::Quoted {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Boolean(true),
            "false" | "False" | "FALSE" => Meaning::Boolean(false),
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Meaning::OldBoolean(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Meaning::OldBoolean(false),
            text if is_number(text) => Meaning::Number,
            _ => Meaning::Text,
        }
    }
}

/// Whether YAML 1.1 or 1.2 reads it as a number: `1_000`, `0x1F`, `012`, `.5`, `1e9`, `.inf`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let radix = |prefix: &str, digits: fn(&char) -> bool| {
        unsigned
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c == '_' || digits(&c)))
    };
    if radix("0x", char::is_ascii_hexdigit)
        || radix("0o", |c| matches!(c, '0'..='7'))
        || radix("0b", |c| matches!(c, '0' | '1'))
    {
        return true;
    }
    // Rust also reads `inf` and `nan`, which YAML does not.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.replace('_', "").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> Meaning {
        Scalar { text: text.to_owned(), style: Style::Plain }.meaning()
    }

    #[test]
    fn what_any_yaml_reader_takes_for_a_number_is_one() {
        for text in [
            "1", "-1", "+1", "0.5", ".5", "1e9", "1_000", "0x1F", "0o17", "0b1", "012", ".inf", "-.inf",
            ".NaN",
        ] {
            assert_eq!(meaning(text), Meaning::Number, "{text}");
        }
        for text in ["inf", "nan", "1.2.3", "2GiB", "0x", "-", ".", "e5", "1h"] {
            assert_eq!(meaning(text), Meaning::Text, "{text}");
        }
    }

    #[test]
    fn words_that_older_readers_take_for_booleans_are_known() {
        assert_eq!(meaning("yes"), Meaning::OldBoolean(true));
        assert_eq!(meaning("Off"), Meaning::OldBoolean(false));
        assert_eq!(meaning("true"), Meaning::Boolean(true));
        assert_eq!(meaning("~"), Meaning::Null);
        assert_eq!(Scalar { text: "true".to_owned(), style: Style::Quoted }.meaning(), Meaning::Text);
    }
}
