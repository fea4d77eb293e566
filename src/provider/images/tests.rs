//! Against a registry within the test, for what is said on the wire.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{DockerConfig, RegistryClient, RegistryOptions, ResolveError, resolve};
use crate::{
    environment::image::{Digest, ImageReference, ImageTemplate},
    model::SoftwareVersions,
    provider::{ErrorKind, ProviderError},
};

/// How the registry behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Open,
    /// Name and password.
    Basic,
    /// A token for anybody, but nothing without one.
    Token,
    /// A token for whoever logs in.
    TokenWithLogin,
    /// HEAD and the digest's header are unknown.
    Plain,
    /// Asks to come back elsewhere.
    Moved,
    Broken,
}

type Seen = Arc<Mutex<Vec<String>>>;

const TAGS: [&str; 4] = ["2026.7.0-py3.11", "2026.8.0-py3.11", "2026.8.0-py3.12", "latest"];
const MANIFEST: &str = "{\"schemaVersion\": 2}";
const DIGEST: &str = "sha256:1b2aa72e2d6e4a8d4ad5a2a6df34e4cf4fbd4c6a4ae0e7f3c59a13bd24a13a1b";

/// A registry on loopback that ends with the test; its address, and what it was asked.
async fn registry(manner: Manner) -> (SocketAddr, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let authorization =
            request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let line = format!("{} {}{query}", request.method(), request.uri().path());
        let who = authorization.as_deref().map(|who| format!(" [{who}]")).unwrap_or_default();
        noted.lock().unwrap().push(format!("{line}{who}"));
        let answer = answer(manner, address, &request, authorization.as_deref());
        std::future::ready(answer)
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, seen)
}

fn login() -> String {
    format!("Basic {}", STANDARD.encode("me:secret"))
}

fn answer(manner: Manner, address: SocketAddr, request: &Request<Body>, who: Option<&str>) -> Response<Body> {
    let say = |status: StatusCode, headers: &[(&str, &str)], body: &str| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Body::from(body.to_owned())).unwrap()
    };
    let path = request.uri().path();
    let denied = r#"{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}"#;
    if path == "/token" {
        return match (manner, who) {
            (Manner::TokenWithLogin, who) if who != Some(&login()) => say(StatusCode::FORBIDDEN, &[], denied),
            _ => say(StatusCode::OK, &[], r#"{"token": "t0ken"}"#),
        };
    }
    let bearer = format!("Bearer realm=\"http://{address}/token\",service=\"the registry\"");
    match manner {
        Manner::Basic if who != Some(&login()) => {
            return say(StatusCode::UNAUTHORIZED, &[("www-authenticate", "Basic realm=\"r\"")], denied);
        }
        Manner::Token | Manner::TokenWithLogin if who != Some("Bearer t0ken") => {
            return say(StatusCode::UNAUTHORIZED, &[("www-authenticate", &bearer)], denied);
        }
        Manner::Moved if path.starts_with("/v2/dask/dask/manifests") => {
            let place = path.replacen("/v2/dask/dask", "/elsewhere", 1);
            return say(StatusCode::TEMPORARY_REDIRECT, &[("location", &place)], "");
        }
        Manner::Broken => return say(StatusCode::INTERNAL_SERVER_ERROR, &[], "<html>"),
        _ => {}
    }
    let plain = manner == Manner::Plain;
    if let Some((_, tag)) = path.split_once("/manifests/") {
        return match TAGS.contains(&tag) {
            false => say(StatusCode::NOT_FOUND, &[], denied),
            true if plain && request.method() == Method::HEAD => say(StatusCode::METHOD_NOT_ALLOWED, &[], ""),
            true if plain => say(StatusCode::OK, &[], MANIFEST),
            true => say(StatusCode::OK, &[("docker-content-digest", DIGEST)], ""),
        };
    }
    // Two tags to a page.
    let last = request
        .uri()
        .query()
        .and_then(|query| query.split_once("last="))
        .map_or(0, |(_, last)| TAGS.iter().position(|tag| *tag == last).unwrap() + 1);
    let tags: Vec<_> = TAGS.iter().skip(last).take(2).collect();
    let body = serde_json::json!({ "name": "dask/dask", "tags": tags }).to_string();
    match tags.last().filter(|_| last + 2 < TAGS.len()) {
        Some(last) => {
            let link = format!("</v2/dask/dask/tags/list?n=2&last={last}>; rel=\"next\"");
            say(StatusCode::OK, &[("link", &link)], &body)
        }
        None => say(StatusCode::OK, &[], &body),
    }
}

fn options(address: SocketAddr) -> RegistryOptions {
    let text = format!(r#"{{"auths": {{"{address}": {{"username": "me", "password": "secret"}}}}}}"#);
    RegistryOptions::default().with_logins(DockerConfig::parse(&text).unwrap())
}

fn caller(python: &str, dask: &str) -> SoftwareVersions {
    let pairs = [("python", python), ("dask", dask)];
    SoftwareVersions(pairs.map(|(name, version)| (name.to_owned(), Some(version.to_owned()))).into())
}

async fn asked(address: SocketAddr, options: RegistryOptions, dask: &str) -> Result<String, ResolveError> {
    let template: ImageTemplate = format!("{address}/dask/dask:{{dask}}-py{{python}}").parse().unwrap();
    let client = RegistryClient::new(options);
    resolve(&caller("3.11.7", dask), &template, &client).await.map(|image| image.to_string())
}

#[tokio::test]
async fn an_image_is_found_with_one_request_and_pinned() {
    let (address, seen) = registry(Manner::Open).await;
    let image = asked(address, RegistryOptions::default(), "2026.8.0").await.unwrap();
    assert_eq!(image, format!("{address}/dask/dask:2026.8.0-py3.11@{DIGEST}"));
    assert_eq!(*seen.lock().unwrap(), ["HEAD /v2/dask/dask/manifests/2026.8.0-py3.11"]);
}

#[tokio::test]
async fn a_registry_without_head_and_digests_is_asked_for_the_manifest_itself() {
    let (address, _) = registry(Manner::Plain).await;
    let image = asked(address, RegistryOptions::default(), "2026.8.0").await.unwrap();
    assert!(image.ends_with(&format!("@{}", Digest::of(MANIFEST.as_bytes()))), "{image}");
}

#[tokio::test]
async fn a_missing_image_is_reported_with_those_near_it_from_all_pages() {
    let (address, seen) = registry(Manner::Open).await;
    let error: ProviderError =
        asked(address, RegistryOptions::default(), "2026.9.0").await.unwrap_err().into();
    assert_eq!(
        error.message,
        format!(
            "the registry has no image {address}/dask/dask:2026.9.0-py3.11; near it are the tags 2026.8.0-py3.11, 2026.7.0-py3.11, 2026.8.0-py3.12"
        )
    );
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "HEAD /v2/dask/dask/manifests/2026.9.0-py3.11",
            "HEAD /v2/dask/dask/manifests/2026.09.0-py3.11",
            "GET /v2/dask/dask/tags/list?n=1000",
            "GET /v2/dask/dask/tags/list?n=2&last=2026.8.0-py3.11",
        ]
    );
}

#[tokio::test]
async fn a_token_is_fetched_once_for_a_repository() {
    let (address, seen) = registry(Manner::Token).await;
    asked(address, RegistryOptions::default(), "2026.9.0").await.unwrap_err();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "HEAD /v2/dask/dask/manifests/2026.9.0-py3.11",
            "GET /token?service=the%20registry&scope=repository:dask/dask:pull",
            "HEAD /v2/dask/dask/manifests/2026.9.0-py3.11 [Bearer t0ken]",
            "HEAD /v2/dask/dask/manifests/2026.09.0-py3.11 [Bearer t0ken]",
            "GET /v2/dask/dask/tags/list?n=1000 [Bearer t0ken]",
            "GET /v2/dask/dask/tags/list?n=2&last=2026.8.0-py3.11 [Bearer t0ken]",
        ]
    );
}

#[tokio::test]
async fn a_login_is_shown_only_to_who_asks_for_it() {
    let (address, seen) = registry(Manner::TokenWithLogin).await;
    asked(address, options(address), "2026.8.0").await.unwrap();
    let shown = |line: &String| line.contains(&login());
    assert_eq!(seen.lock().unwrap().iter().filter(|line| shown(line)).count(), 1);
    let (address, seen) = registry(Manner::Basic).await;
    asked(address, options(address), "2026.8.0").await.unwrap();
    assert_eq!(seen.lock().unwrap().iter().filter(|line| shown(line)).count(), 1);
    let (address, seen) = registry(Manner::Open).await;
    asked(address, options(address), "2026.8.0").await.unwrap();
    assert!(!seen.lock().unwrap().iter().any(shown));
}

#[tokio::test]
async fn who_is_not_let_in_reads_the_registrys_words_and_how_to_log_in() {
    for manner in [Manner::Basic, Manner::TokenWithLogin] {
        let (address, _) = registry(manner).await;
        let error: ProviderError =
            asked(address, RegistryOptions::default(), "2026.8.0").await.unwrap_err().into();
        assert_eq!(error.kind, ErrorKind::Auth, "{manner:?}");
        assert!(
            error.message.ends_with(": requested access is denied") || manner == Manner::Basic,
            "{}",
            error.message
        );
        assert!(error.hint.unwrap().starts_with(&format!("log in (`docker login {address}`)")));
    }
    let (address, _) = registry(Manner::Token).await;
    let kept = DockerConfig::parse(&format!(r#"{{"credHelpers": {{"{address}": "desktop"}}}}"#)).unwrap();
    let error = asked(address, RegistryOptions::default().with_logins(kept), "2026.8.0").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the registry {address} wants a login, which docker-credential-desktop keeps")
    );
}

#[tokio::test]
async fn an_image_elsewhere_is_followed_there() {
    let (address, seen) = registry(Manner::Moved).await;
    asked(address, RegistryOptions::default(), "2026.8.0").await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        ["HEAD /v2/dask/dask/manifests/2026.8.0-py3.11", "HEAD /elsewhere/manifests/2026.8.0-py3.11"]
    );
}

#[tokio::test]
async fn a_registry_that_fails_or_is_not_there_says_so() {
    let (address, _) = registry(Manner::Broken).await;
    let error: ProviderError =
        asked(address, RegistryOptions::default(), "2026.8.0").await.unwrap_err().into();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(
        error.message.ends_with("/manifests/2026.8.0-py3.11 with 500 Internal Server Error")
            || error.message.ends_with("with 500"),
        "{}",
        error.message
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let error: ProviderError =
        asked(closed, RegistryOptions::default(), "2026.8.0").await.unwrap_err().into();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(
        error.message.starts_with(&format!("the registry {closed} cannot be reached: ")),
        "{}",
        error.message
    );
}

/// With a real registry: `CREWCALL_TEST_REGISTRY` is its address, `CREWCALL_TEST_IMAGE` an image in it
/// by the name that it has elsewhere.
#[tokio::test]
async fn a_real_registry_is_understood() {
    let (Ok(registry), Ok(image)) =
        (std::env::var("CREWCALL_TEST_REGISTRY"), std::env::var("CREWCALL_TEST_IMAGE"))
    else {
        eprintln!("SKIPPED: CREWCALL_TEST_REGISTRY and CREWCALL_TEST_IMAGE name no registry and image");
        return;
    };
    let image: ImageReference = image.parse().unwrap();
    let (dask, python) = image.tag.as_deref().unwrap().split_once("-py").unwrap();
    let template = |registry: &str| -> ImageTemplate {
        format!("{registry}/{}:{{dask}}-py{{python}}", image.repository).parse().unwrap()
    };
    let open = RegistryClient::new(RegistryOptions::default().with_insecure(&registry));
    let found = resolve(&caller(python, dask), &template(&registry), &open).await.unwrap();
    let by_digest = ImageReference { digest: Some(found.digest.clone()), ..found.image.clone() };
    assert_eq!(open.digest(&by_digest).await.unwrap(), Some(found.digest.clone()));
    let error = resolve(&caller(python, "1999.1.0"), &template(&registry), &open).await.unwrap_err();
    assert!(error.to_string().contains(image.tag.as_deref().unwrap()), "{error}");
    let nowhere = ImageReference { repository: "no/such".to_owned(), ..found.image };
    assert_eq!(open.digest(&nowhere).await.unwrap(), None);

    let (Ok(private), Ok(login)) =
        (std::env::var("CREWCALL_TEST_PRIVATE_REGISTRY"), std::env::var("CREWCALL_TEST_REGISTRY_LOGIN"))
    else {
        return;
    };
    let logins = |pair: &str| {
        let text = format!(r#"{{"auths": {{"{private}": {{"auth": "{}"}}}}}}"#, STANDARD.encode(pair));
        RegistryOptions::default().with_insecure(&private).with_logins(DockerConfig::parse(&text).unwrap())
    };
    let known = RegistryClient::new(logins(&login));
    let same = resolve(&caller(python, dask), &template(&private), &known).await.unwrap();
    assert_eq!(same.digest, found.digest);
    let stranger = RegistryClient::new(logins("nobody:wrong"));
    let error = resolve(&caller(python, dask), &template(&private), &stranger).await.unwrap_err();
    let error = ProviderError::from(error);
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
}
