//! Single values: texts, numbers, booleans, quantities, lists.

use std::{collections::BTreeMap, str::FromStr};

use serde_json::{Map, Number, Value as Json};

use super::fields::{Field, Reader, code_path};
use crate::spec::{
    Span, TimeLimit, UnitError,
    scalar::{Meaning, Scalar, Style},
    text::{code, printable},
    tree::{Node, Value},
};

impl Reader {
    fn scalar<'t>(&mut self, field: &Field<'t>, expected: &str) -> Option<&'t Scalar> {
        match &field.node.value {
            Value::Scalar(scalar) if scalar.meaning() != Meaning::Null => Some(scalar),
            Value::Refused => self.give_up(field),
            _ => {
                let message =
                    format!("{} must be {expected}, but is {}", code_path(&field.path), field.node.found());
                self.refuse(field, message, format!("write {expected}"))
            }
        }
    }

    /// A text. A number or boolean is refused: readers of other YAML versions disagree on them.
    pub(super) fn text(&mut self, field: &Field<'_>) -> Option<String> {
        let scalar = self.scalar(field, "a text")?;
        let quote = || format!("quote it: \"{}\"", printable(&scalar.text));
        match scalar.meaning() {
            Meaning::Text => Some(scalar.text.clone()),
            Meaning::OldBoolean(_) => {
                let message = format!(
                    "{} must be a text, and {} is a boolean to some readers",
                    code_path(&field.path),
                    code(&scalar.text)
                );
                self.refuse(field, message, quote())
            }
            _ => {
                let message =
                    format!("{} must be a text, but is {}", code_path(&field.path), field.node.found());
                self.refuse(field, message, quote())
            }
        }
    }

    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let scalar = self.scalar(field, "`true` or `false`")?;
        match scalar.meaning() {
            Meaning::Boolean(value) => Some(value),
            meaning => {
                let message = format!(
                    "{} must be `true` or `false`, but is {}",
                    code_path(&field.path),
                    field.node.found()
                );
                let help = match (meaning, scalar.text.as_str()) {
                    (Meaning::OldBoolean(value), _) => format!("write `{value}`"),
                    (Meaning::Text, "true" | "false") => format!("remove the quotes: `{}`", scalar.text),
                    _ => "write `true` or `false`".to_owned(),
                };
                self.refuse(field, message, help)
            }
        }
    }

    /// A whole number of at least 0.
    pub(super) fn count(&mut self, field: &Field<'_>) -> Option<u32> {
        let scalar = self.scalar(field, "a whole number such as `4`")?;
        let path = code_path(&field.path);
        let text = scalar.text.as_str();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let no_lead = text == "0" || !text.starts_with('0');
        if scalar.style == Style::Quoted && digits {
            return self.refuse(
                field,
                format!("{path} must be a whole number, but is a text"),
                format!("remove the quotes: {}", code(text)),
            );
        }
        if scalar.meaning() != Meaning::Number {
            return self.refuse(
                field,
                format!("{path} must be a whole number, but is {}", field.node.found()),
                "write digits only, such as `4`",
            );
        }
        if text.starts_with('-') {
            return self.refuse(field, format!("{path} cannot be negative"), "write 0 or more");
        }
        if !digits || !no_lead {
            let message = format!("{path} must be a whole number, but is {}", field.node.found());
            return self.refuse(
                field,
                message,
                "write decimal digits only, without a leading zero, such as `4`",
            );
        }
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.refuse(field, format!("{path} is far too large: {}", code(text)), "the most is 10000")
            }
        }
    }

    /// A finite number.
    pub(super) fn number(&mut self, field: &Field<'_>) -> Option<f64> {
        let scalar = self.scalar(field, "a number such as `1`")?;
        let path = code_path(&field.path);
        if scalar.style == Style::Quoted && scalar.text.parse::<f64>().is_ok() {
            return self.refuse(
                field,
                format!("{path} must be a number, but is a text"),
                format!("remove the quotes: {}", code(&scalar.text)),
            );
        }
        let value = match scalar.meaning() {
            Meaning::Number => scalar.text.parse::<f64>().ok().filter(|value| value.is_finite()),
            _ => None,
        };
        if value.is_none() {
            let message = format!("{path} must be a finite number, but is {}", field.node.found());
            return self.refuse(field, message, "write it as 1, 0.5 or 1e9");
        }
        value
    }

    /// A quantity by its text form; a bare number is taken as its text.
    pub(super) fn quantity<T: FromStr<Err = UnitError>>(
        &mut self,
        field: &Field<'_>,
        such_as: &str,
    ) -> Option<T> {
        let scalar = self.scalar(field, such_as)?;
        match scalar.text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.refuse(
                field,
                format!("{}: {}", code_path(&field.path), error.problem()),
                error.expected(),
            ),
        }
    }

    pub(super) fn span(&mut self, field: &Field<'_>) -> Option<Span> {
        let scalar = self.scalar(field, "a span of time such as `20m`")?;
        self.time(field, scalar, "")
    }

    pub(super) fn time_limit(&mut self, field: &Field<'_>) -> Option<TimeLimit> {
        let scalar = self.scalar(field, "a span of time such as `20m`")?;
        match scalar.text.as_str() {
            "never" => Some(TimeLimit::Never),
            _ => self.time(field, scalar, "; for no limit write `never`").map(TimeLimit::After),
        }
    }

    fn time(&mut self, field: &Field<'_>, scalar: &Scalar, or: &str) -> Option<Span> {
        let path = code_path(&field.path);
        let text = scalar.text.trim();
        if !text.is_empty()
            && text.len() < 20
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text != "0"
        {
            let message = format!("{path} is {text}, but {text} what?");
            return self.refuse(
                field,
                message,
                format!("write `{text}s` for seconds, `{text}m` for minutes or `{text}h` for hours{or}"),
            );
        }
        match scalar.text.parse() {
            Ok(span) => Some(span),
            Err(error) => self.refuse(
                field,
                format!("{path}: {}", error.problem()),
                format!("{}{or}", error.expected()),
            ),
        }
    }

    /// A map of texts, by texts.
    pub(super) fn texts(&mut self, field: &Field<'_>) -> Option<BTreeMap<String, String>> {
        self.map_of(field, Self::text)
    }

    /// A map of anything, by texts; an item that cannot be read is left out.
    pub(super) fn map_of<'t, T>(
        &mut self,
        field: &Field<'t>,
        read: impl Fn(&mut Self, &Field<'t>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let mut map = BTreeMap::new();
        for child in self.entries(field, "a map")? {
            if self.is_full() {
                return self.give_up(field);
            }
            self.remember(&child);
            if child.node.is_null() {
                let message = format!("{} has no value", code_path(&child.path));
                let help = "give it a value (an empty text is written \"\"), or remove the key";
                self.refuse::<()>(&child, message, help);
            } else if let Some(value) = read(self, &child) {
                map.insert(child.name.to_owned(), value);
            }
        }
        Some(map)
    }

    /// A list of texts.
    pub(super) fn list(&mut self, field: &Field<'_>) -> Option<Vec<String>> {
        self.list_of(field, Self::text)
    }

    /// A list of anything; an item that cannot be read is left out, and no rule looks at the list.
    pub(super) fn list_of<'t, T>(
        &mut self,
        field: &Field<'t>,
        read: impl Fn(&mut Self, &Field<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Sequence(items) = &field.node.value else {
            if matches!(field.node.value, Value::Refused) {
                return self.give_up(field);
            }
            let message = format!("{} must be a list, but is {}", code_path(&field.path), field.node.found());
            return self.refuse(field, message, "write `[first, second]`, or one line `- item` for each");
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            if self.is_full() {
                return self.give_up(field);
            }
            let item = Field::item(field, index, node);
            self.remember(&item);
            let read = read(self, &item);
            if read.is_none() {
                // The items behind it are not where the rules would look for them.
                self.failed.insert(field.path.clone());
            }
            list.extend(read);
        }
        Some(list)
    }

    /// Any value, for settings whose types are Dask's or Kubernetes'.
    pub(super) fn any(&mut self, field: &Field<'_>) -> Option<Json> {
        self.remember(field);
        match &field.node.value {
            Value::Refused => self.give_up(field),
            Value::Scalar(scalar) => self.any_scalar(field, scalar),
            Value::Sequence(items) => {
                let items =
                    items.iter().enumerate().map(|(index, node)| self.any(&Field::item(field, index, node)));
                items.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
            }
            Value::Map(_) => {
                let mut map = Map::new();
                for child in self.entries(field, "a map")? {
                    if self.is_full() {
                        return self.give_up(field);
                    }
                    if let Some(value) = self.any(&child) {
                        map.insert(child.name.to_owned(), value);
                    }
                }
                Some(Json::Object(map))
            }
        }
    }

    fn any_scalar(&mut self, field: &Field<'_>, scalar: &Scalar) -> Option<Json> {
        let text = scalar.text.as_str();
        match scalar.meaning() {
            Meaning::Null => Some(Json::Null),
            Meaning::Boolean(value) => Some(Json::Bool(value)),
            Meaning::Text => Some(Json::String(scalar.text.clone())),
            Meaning::OldBoolean(value) => {
                let message = format!(
                    "{} is {}, which some readers take for a boolean and others for a text",
                    code_path(&field.path),
                    code(text)
                );
                self.refuse(field, message, format!("write `{value}`, or quote it: \"{}\"", printable(text)))
            }
            Meaning::Number => {
                let whole = text
                    .parse::<u64>()
                    .map(Number::from)
                    .or_else(|_| text.parse::<i64>().map(Number::from))
                    .ok();
                let lead = text.trim_start_matches('-');
                let octal =
                    lead.len() > 1 && lead.starts_with('0') && lead.bytes().all(|byte| byte.is_ascii_digit());
                let number = whole.or_else(|| Number::from_f64(text.parse().ok()?)).filter(|_| !octal);
                if number.is_none() {
                    let message =
                        format!("{}: {} is no plain decimal number", code_path(&field.path), code(text));
                    return self.refuse(
                        field,
                        message,
                        format!("write it in decimal, or quote it: \"{}\"", printable(text)),
                    );
                }
                number.map(Json::Number)
            }
        }
    }
}

impl<'t> Field<'t> {
    fn item(list: &Field<'_>, index: usize, node: &'t Node) -> Self {
        Self { path: list.path.index(index), name: "", key_span: node.span.clone(), node }
    }
}
