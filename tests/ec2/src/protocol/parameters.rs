//! The parameters of a call: a form whose dotted names are a tree.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// A parameter: text, or more parameters by name, or by number where they are a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parameters {
    text: Option<String>,
    below: BTreeMap<String, Parameters>,
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text.
    pub fn of_form(form: &[u8]) -> Self {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(form) {
            parameters.set(&name, &value);
        }
        parameters
    }

    /// From dotted names and their values, for calls made within a process.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            parameters.set(name, value);
        }
        parameters
    }

    /// Sets what a dotted name stands for.
    pub fn set(&mut self, name: &str, value: &str) {
        let place = name.split('.').fold(self, |place, part| place.below.entry(part.to_owned()).or_default());
        place.text = Some(value.to_owned());
    }

    /// Without the parameters of these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.below.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// What is at a dotted name.
    pub fn get(&self, name: &str) -> Option<&Parameters> {
        name.split('.').try_fold(self, |place, part| place.below.get(part))
    }

    /// Whether anything is at a dotted name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The text at a dotted name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Parameters::own_text)
    }

    /// The text of this parameter itself.
    pub fn own_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The text at a dotted name, which must be there.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing(name))
    }

    /// The flag at a dotted name.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.text(name)
            .map(|text| match text {
                "true" => Ok(true),
                "false" => Ok(false),
                other => Err(ApiError::invalid(format!("Invalid value '{other}' for {name}."))),
            })
            .transpose()
    }

    /// The number at a dotted name.
    pub fn number(&self, name: &str) -> Result<Option<u32>, ApiError> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::invalid(format!("Value ({text}) for parameter {name} is invalid."))
                })
            })
            .transpose()
    }

    /// The list at a dotted name, in the order of its numbers.
    pub fn list(&self, name: &str) -> Vec<&Parameters> {
        let Some(place) = self.get(name) else { return Vec::new() };
        let mut numbered: Vec<_> =
            place.below.iter().filter_map(|(key, item)| Some((key.parse::<u32>().ok()?, item))).collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, item)| item).collect()
    }

    /// The texts of the list at a dotted name.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).into_iter().filter_map(Parameters::own_text).collect()
    }

    /// These over those of a launch template: what is said here at the top level holds.
    #[must_use]
    pub fn over(&self, template: &Parameters) -> Parameters {
        let mut merged = template.clone();
        for (name, value) in &self.below {
            merged.below.insert(name.clone(), value.clone());
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_their_numbers() {
        let parameters = Parameters::of_form(b"Id.10=c&Id.2=b&Id.1=a&Tag.1.Key=k%20&Empty=");
        assert_eq!(parameters.texts("Id"), ["a", "b", "c"]);
        assert_eq!(parameters.text("Tag.1.Key"), Some("k "));
        assert!(parameters.required("Empty").is_err());
    }
}
