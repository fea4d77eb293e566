//! How a registry wants to be asked: the challenge of a 401, and the token that answers it. Pure.

use std::collections::BTreeMap;

use hyper::Uri;
use serde::Deserialize;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token, which somebody else gives.
    Bearer {
        /// Where: an absolute URL.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
    /// Name and password.
    Basic,
}

/// The first challenge that is understood, of the values of `WWW-Authenticate`.
pub(super) fn challenge<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.filter_map(parse).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or_else(|| all.first()).cloned()
}

fn parse(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    Some(Challenge::Bearer {
        realm: parameters.remove("realm")?,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// `key="value",other=value`; what follows a mistake is left out.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let value = if let Some(quoted) = after.strip_prefix('"') {
            let Some((value, after)) = quoted.split_once('"') else { return found };
            rest = after;
            value
        } else {
            let (value, after) = after.split_once(',').unwrap_or((after, ""));
            rest = after;
            value.trim()
        };
        found.insert(key, value.to_owned());
    }
    found
}

/// The address that gives a token for reading the repository.
pub(super) fn token_uri(
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
    repository: &str,
) -> Option<Uri> {
    let scope = scope.map_or_else(|| format!("repository:{repository}:pull"), str::to_owned);
    let mut uri = realm.to_owned();
    uri.push(if realm.contains('?') { '&' } else { '?' });
    for (key, value) in
        service.map(|service| ("service", service)).into_iter().chain([("scope", scope.as_str())])
    {
        if !uri.ends_with(['?', '&']) {
            uri.push('&');
        }
        uri.push_str(key);
        uri.push('=');
        uri.extend(value.bytes().map(escaped));
    }
    uri.parse().ok()
}

fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

/// The token in what its giver answered.
pub(super) fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Given {
        token: Option<String>,
        access_token: Option<String>,
    }
    let given: Given = serde_json::from_slice(body).ok()?;
    given.token.or(given.access_token).filter(|token| !token.is_empty())
}

/// What a registry says of a failure: `{"errors": [{"code": ..., "message": ...}]}`.
pub(super) fn words(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let failure: Failure = serde_json::from_slice(body).ok()?;
    let Reason { code, message } = failure.errors.into_iter().next()?;
    let words = if message.is_empty() { code } else { message };
    Some(words.chars().filter(|c| !c.is_control()).take(200).collect())
        .filter(|words: &String| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_who_gives_tokens() {
        let header =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:dask/dask:pull""#;
        let Some(Challenge::Bearer { realm, service, scope }) =
            challenge([r#"Basic realm="x""#, header].into_iter())
        else {
            panic!("no challenge of that kind")
        };
        let uri = token_uri(&realm, service.as_deref(), scope.as_deref(), "other").unwrap();
        assert_eq!(uri.to_string(), "https://ghcr.io/token?service=ghcr.io&scope=repository:dask/dask:pull");
        assert_eq!(challenge(["Basic realm=x"].into_iter()), Some(Challenge::Basic));
        assert_eq!(challenge(["Negotiate", "Bearer service=\"x\""].into_iter()), None);
    }

    #[test]
    fn a_token_is_asked_for_the_repository_when_the_challenge_does_not_say() {
        let uri = token_uri("https://a.io/t?x=1", Some("a b&c"), None, "team/image").unwrap();
        assert_eq!(uri.to_string(), "https://a.io/t?x=1&service=a%20b%26c&scope=repository:team/image:pull");
        assert_eq!(token_uri("no url at all", None, None, "a"), None);
    }

    #[test]
    fn tokens_and_reasons_are_read_and_odd_answers_are_none() {
        assert_eq!(token(br#"{"token": "a"}"#), Some("a".to_owned()));
        assert_eq!(token(br#"{"access_token": "b", "expires_in": 300}"#), Some("b".to_owned()));
        assert_eq!((token(b"{}"), token(b"<html>"), token(br#"{"token": ""}"#)), (None, None, None));
        let body = br#"{"errors": [{"code": "DENIED", "message": "access \u001b[31mdenied"}]}"#;
        assert_eq!(words(body), Some("access [31mdenied".to_owned()));
        assert_eq!(words(br#"{"errors": []}"#), None);
    }
}
