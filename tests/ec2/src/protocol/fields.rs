//! A reply as a tree, and as the XML of EC2's Query protocol.

use std::fmt::Write as _;

/// A value of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, a number or a flag, as written.
    Text(String),
    /// Elements that are each named `item`.
    Items(Vec<Value>),
    /// Named elements.
    Fields(Fields),
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Fields(fields)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Named elements in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// No element.
    pub fn new() -> Self {
        Self::default()
    }

    /// What most changing actions answer.
    pub fn done() -> Self {
        Self::new().with("return", true)
    }

    /// With one more element.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "numbers and flags are written where they are given")]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, Value::Text(value.to_string())));
        self
    }

    /// With one more element if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a structure.
    #[must_use]
    pub fn fields(mut self, name: &'static str, fields: Fields) -> Self {
        self.0.push((name, Value::Fields(fields)));
        self
    }

    /// With a list.
    #[must_use]
    pub fn items<T: Into<Value>>(mut self, name: &'static str, items: impl IntoIterator<Item = T>) -> Self {
        self.0.push((name, Value::Items(items.into_iter().map(Into::into).collect())));
        self
    }

    /// The text at a path such as `instancesSet.0.instanceId`; numbers count the items of lists.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.value(path)? {
            Value::Text(text) => Some(text),
            Value::Items(_) | Value::Fields(_) => None,
        }
    }

    /// How many items the list at a path has; 0 where there is none.
    pub fn count(&self, path: &str) -> usize {
        match self.value(path) {
            Some(Value::Items(items)) => items.len(),
            _ => 0,
        }
    }

    fn value(&self, path: &str) -> Option<&Value> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let value = self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)?;
        rest.map_or(Some(value), |rest| below(value, rest))
    }

    /// The elements as XML, without any around them.
    pub fn xml(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        for (name, value) in &self.0 {
            write_element(text, name, value);
        }
    }
}

fn below<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    match value {
        Value::Text(_) => None,
        Value::Fields(fields) => fields.value(path),
        Value::Items(items) => {
            let (index, rest) =
                path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let item = items.get(index.parse::<usize>().ok()?)?;
            rest.map_or(Some(item), |rest| below(item, rest))
        }
    }
}

fn write_element(text: &mut String, name: &str, value: &Value) {
    // Writing to a string does not fail.
    let _ = write!(text, "<{name}>");
    match value {
        Value::Text(content) => text.push_str(&escape(content)),
        Value::Items(items) => items.iter().for_each(|item| write_element(text, "item", item)),
        Value::Fields(fields) => fields.write(text),
    }
    let _ = write!(text, "</{name}>");
}

/// Text as XML has it.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_and_lists_nest_and_text_is_escaped() {
        let fields =
            Fields::new().with("a", "x<&").items("list", [Fields::new().with("b", 1)]).items("texts", ["c"]);
        assert_eq!(
            fields.xml(),
            "<a>x&lt;&amp;</a><list><item><b>1</b></item></list><texts><item>c</item></texts>"
        );
        assert_eq!(fields.text("list.0.b"), Some("1"));
        assert_eq!(fields.text("list.1.b"), None);
    }
}
