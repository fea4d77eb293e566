//! What registries are asked, by the distribution API of the Open Container Initiative
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md>).

use std::{collections::BTreeMap, sync::Arc};

use hyper::{HeaderMap, Method, StatusCode, Uri, header, header::HeaderValue};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    RegistryError, RegistryOptions,
    auth::{Challenge, challenge, token, token_uri, words},
    docker_config::Login,
    http::{Answer, Ask, send, trust},
};
use crate::environment::image::{Digest, ImageReference};

/// The forms of a manifest: of an image for one platform, and of one for several.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Most bytes of a manifest; the API lets registries refuse larger ones.
const MAX_MANIFEST: usize = 4 << 20;
/// Most bytes of a page of tags, of a token, and of what a registry says of a failure.
const MAX_PAGE: usize = 4 << 20;
const MAX_TOKEN: usize = 256 << 10;
/// Tags asked for at once; registries may give fewer.
const PAGE: usize = 1_000;
/// Pages after which more tags are not looked at.
const MAX_PAGES: usize = 30;
/// Redirects that are followed in a row.
const MAX_REDIRECTS: usize = 3;

/// Reads registries, as whoever its options say.
#[derive(Debug)]
pub struct RegistryClient {
    options: RegistryOptions,
    /// Made when it is first needed: a registry on loopback needs none.
    trust: Mutex<Option<Arc<ClientConfig>>>,
    /// What answered a repository's last challenge.
    authorizations: Mutex<BTreeMap<String, HeaderValue>>,
}

impl RegistryClient {
    /// A client that has asked nothing yet.
    pub fn new(options: RegistryOptions) -> Self {
        Self { options, trust: Mutex::new(None), authorizations: Mutex::new(BTreeMap::new()) }
    }

    /// The content of an image; `None` when the registry does not have it.
    pub async fn digest(&self, image: &ImageReference) -> Result<Option<Digest>, RegistryError> {
        let path = format!("manifests/{}", image.identifier());
        let mut ask = Ask {
            method: Method::HEAD,
            uri: self.uri(image, &path)?,
            accept: Some(MANIFESTS),
            authorization: None,
            most: MAX_MANIFEST,
        };
        let answer = self.ask(image, &mut ask).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let said = |answer: &Answer| {
            answer.headers.get("docker-content-digest")?.to_str().ok()?.parse::<Digest>().ok()
        };
        if answer.status.is_success()
            && let Some(digest) = said(&answer)
        {
            return Ok(Some(digest));
        }
        // A registry need not know HEAD, nor say the digest.
        ask.method = Method::GET;
        let answer = self.ask(image, &mut ask).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Digest::of(&answer.body))),
            _ => Err(refused(image, &ask, &answer)),
        }
    }

    /// The tags of an image's repository, in the registry's order; empty when there is no such repository. Of
    /// tens of thousands, the first.
    pub async fn tags(&self, image: &ImageReference) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let mut next = Some(self.uri(image, &format!("tags/list?n={PAGE}"))?);
        for _ in 0..MAX_PAGES {
            let Some(uri) = next.take() else { break };
            let mut ask = Ask { method: Method::GET, uri, accept: None, authorization: None, most: MAX_PAGE };
            let answer = self.ask(image, &mut ask).await?;
            if answer.status == StatusCode::NOT_FOUND {
                break;
            }
            if !answer.status.is_success() {
                return Err(refused(image, &ask, &answer));
            }
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| ask.unexpected(format!("no list of tags: {error}")))?;
            all.extend(page.tags.unwrap_or_default());
            next = next_page(&answer.headers, &ask.uri);
        }
        Ok(all)
    }

    /// The address of something in an image's repository.
    fn uri(&self, image: &ImageReference, path: &str) -> Result<Uri, RegistryError> {
        let host = if image.registry == "docker.io" { "registry-1.docker.io" } else { &image.registry };
        let scheme = if self.options.is_insecure(host) { "http" } else { "https" };
        let text = format!("{scheme}://{host}/v2/{}/{path}", image.repository);
        text.parse().map_err(|error| RegistryError::Unexpected {
            registry: image.registry.clone(),
            asked: path.to_owned(),
            flaw: format!("its address: {error}"),
        })
    }

    /// Asks, and once more with what the registry wants to see.
    async fn ask(&self, image: &ImageReference, ask: &mut Ask) -> Result<Answer, RegistryError> {
        let name = image.name();
        ask.authorization = self.authorizations.lock().await.get(&name).cloned();
        let answer = self.follow(ask).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let headers = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let wanted = challenge(headers.filter_map(|value| value.to_str().ok()));
        let authorization = self.answer_to(wanted, image, ask, &answer).await?;
        self.authorizations.lock().await.insert(name, authorization.clone());
        ask.authorization = Some(authorization);
        let answer = self.follow(ask).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(refused(image, ask, &answer));
        }
        Ok(answer)
    }

    async fn answer_to(
        &self,
        wanted: Option<Challenge>,
        image: &ImageReference,
        ask: &Ask,
        answer: &Answer,
    ) -> Result<HeaderValue, RegistryError> {
        let login = match self.options.login(&image.registry, &image.repository) {
            Some(Login::Kept(keeper)) => {
                return Err(RegistryError::Kept { registry: image.registry.clone(), keeper });
            }
            Some(Login::Basic(pair)) => Some(secret("Basic", &pair, ask)?),
            None => None,
        };
        match (wanted, login) {
            (Some(Challenge::Basic), Some(login)) => Ok(login),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                let uri = token_uri(&realm, service.as_deref(), scope.as_deref(), &image.repository)
                    .filter(|uri| self.may_go_to(uri))
                    .ok_or_else(|| ask.unexpected("it wants a token from nowhere safe"))?;
                let ask =
                    Ask { method: Method::GET, uri, accept: None, authorization: login, most: MAX_TOKEN };
                let answer = self.follow(&ask).await?;
                if !answer.status.is_success() {
                    return Err(refused(image, &ask, &answer));
                }
                let token = token(&answer.body).ok_or_else(|| ask.unexpected("no token"))?;
                secret("Bearer", &token, &ask)
            }
            _ => Err(refused(image, ask, answer)),
        }
    }

    /// Sends, and goes where it is sent. Elsewhere it says nothing of who asks.
    async fn follow(&self, ask: &Ask) -> Result<Answer, RegistryError> {
        let mut ask = ask.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = send(&ask, self.trust_for(&ask.uri).await?.as_ref()).await?;
            let place = answer.headers.get(header::LOCATION).filter(|_| answer.status.is_redirection());
            let Some(place) = place.and_then(|place| place.to_str().ok()) else { return Ok(answer) };
            let uri = absolute(place, &ask.uri)
                .filter(|uri| self.may_go_to(uri))
                .ok_or_else(|| ask.unexpected("it sends elsewhere, to nowhere safe"))?;
            if uri.authority() != ask.uri.authority() {
                ask.authorization = None;
            }
            ask.uri = uri;
        }
        Err(ask.unexpected("it sends elsewhere again and again"))
    }

    fn may_go_to(&self, uri: &Uri) -> bool {
        let authority = uri.authority().map(hyper::http::uri::Authority::as_str).unwrap_or_default();
        match uri.scheme_str() {
            Some("https") => !authority.is_empty(),
            Some("http") => self.options.is_insecure(authority),
            _ => false,
        }
    }

    async fn trust_for(&self, uri: &Uri) -> Result<Option<Arc<ClientConfig>>, RegistryError> {
        if uri.scheme_str() == Some("http") {
            return Ok(None);
        }
        let mut kept = self.trust.lock().await;
        if kept.is_none() {
            *kept = Some(trust()?);
        }
        Ok(kept.clone())
    }
}

/// A header that never shows itself.
fn secret(scheme: &str, value: &str, ask: &Ask) -> Result<HeaderValue, RegistryError> {
    let header = HeaderValue::from_str(&format!("{scheme} {value}"));
    let mut header = header.map_err(|_| ask.unexpected("credentials that no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn refused(image: &ImageReference, ask: &Ask, answer: &Answer) -> RegistryError {
    RegistryError::Refused {
        registry: image.registry.clone(),
        asked: ask.described(),
        status: answer.status.as_u16(),
        said: words(&answer.body),
    }
}

/// The address in `Link: <address>; rel="next"`.
fn next_page(headers: &HeaderMap, from: &Uri) -> Option<Uri> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = absolute(address, from).filter(|_| rest.contains("next"))?;
    (next.authority() == from.authority()).then_some(next)
}

/// An address as seen from another one.
fn absolute(place: &str, from: &Uri) -> Option<Uri> {
    if place.starts_with('/') && !place.starts_with("//") {
        return format!("{}://{}{place}", from.scheme_str()?, from.authority()?).parse().ok();
    }
    place.parse().ok().filter(|uri: &Uri| uri.authority().is_some() && uri.scheme().is_some())
}
