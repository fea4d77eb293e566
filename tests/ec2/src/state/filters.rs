//! Filters and pages of describing calls.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{settings::matches, tags::Tags};
use crate::{error::ApiError, protocol::Parameters};

/// The most values that the filters of a call may have together.
const MOST_VALUES: usize = 200;

/// The filters of a call: all of them must fit, each with one of its values.
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    pub(super) fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for filter in parameters.list("Filter") {
            let values: Vec<_> = filter.texts("Value").into_iter().map(str::to_owned).collect();
            if values.is_empty() {
                return Err(ApiError::invalid("The filter 'null' is invalid: it has no values"));
            }
            filters.push((filter.required("Name")?.to_owned(), values));
        }
        if filters.iter().map(|(_, values)| values.len()).sum::<usize>() > MOST_VALUES {
            let text = "The maximum number of filter values specified on a single call is 200";
            return Err(ApiError::new("FilterLimitExceeded", text));
        }
        Ok(Self(filters))
    }

    /// Whether a resource fits. `values` gives what it has under a filter's name, `None` for no such filter.
    pub(super) fn fit(
        &self,
        tags: &Tags,
        values: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<bool, ApiError> {
        for (name, patterns) in &self.0 {
            let found = if let Some(key) = name.strip_prefix("tag:") {
                tags.get(key).cloned().into_iter().collect()
            } else if name == "tag-key" {
                tags.keys().cloned().collect()
            } else {
                values(name).ok_or_else(|| ApiError::invalid(format!("The filter '{name}' is invalid")))?
            };
            if !patterns.iter().any(|pattern| found.iter().any(|text| matches(pattern, text))) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Things by their keys, and the token for those that follow.
pub(super) type Page<T> = (Vec<(String, T)>, Option<String>);

/// One page of what is described, in the order of its keys, and the token for the next.
pub(super) fn page<T>(
    items: Vec<(String, T)>,
    parameters: &Parameters,
    longest: Option<usize>,
) -> Result<Page<T>, ApiError> {
    let asked = parameters.number("MaxResults")?.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if asked.is_some_and(|asked| !(5..=1000).contains(&asked)) {
        return Err(ApiError::invalid(format!(
            "Value ( {} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.",
            asked.unwrap_or_default()
        )));
    }
    let after = parameters.text("NextToken").filter(|token| !token.is_empty()).map(decode).transpose()?;
    let size = asked.into_iter().chain(longest).min().unwrap_or(usize::MAX);
    let mut left = items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let page: Vec<_> = left.by_ref().take(size).collect();
    let token = left.next().and_then(|_| page.last().map(|(key, _)| STANDARD.encode(key)));
    Ok((page, token))
}

fn decode(token: &str) -> Result<String, ApiError> {
    STANDARD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::new("InvalidNextToken", format!("The token '{token}' is invalid")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_and_come_to_an_end() {
        let items: Vec<_> = (0..12).map(|number| (format!("k{number:02}"), number)).collect();
        let mut seen = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut parameters = Parameters::of([("MaxResults", "5")]);
            if let Some(token) = &token {
                parameters.set("NextToken", token);
            }
            let (page, next) = page(items.clone(), &parameters, None).unwrap();
            seen.extend(page.into_iter().map(|(_, number)| number));
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
    }
}
