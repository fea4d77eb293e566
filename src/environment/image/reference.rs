//! Names of images, as the tools around containers have them.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use sha2::{Digest as _, Sha256};

use super::ImageError;

/// An image: where it is, and which one.
///
/// Written `[registry/]name[:tag][@digest]`; without a registry it is Docker Hub's, as Kubernetes and Docker
/// have it (<https://github.com/distribution/reference>).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    /// Host, and port unless it is that of HTTPS; `docker.io` for Docker Hub.
    pub registry: String,
    /// The name there.
    pub repository: String,
    /// Which of that name.
    pub tag: Option<String>,
    /// Which, by its content.
    pub digest: Option<Digest>,
}

/// The SHA-256 of an image's manifest: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// Where images without a registry are.
const DOCKER_HUB: &str = "docker.io";
/// Most characters of a repository's name, and of a tag.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

impl ImageReference {
    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the registry finds it by: the digest, else the tag, else `latest`.
    pub fn identifier(&self) -> &str {
        self.digest.as_ref().map(Digest::as_str).or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl Digest {
    /// The digest of a manifest.
    pub fn of(manifest: &[u8]) -> Self {
        let hash = Sha256::digest(manifest);
        Self(hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(lower_hex) => Ok(Self(text.to_owned())),
            _ => Err(malformed(text, "a digest is `sha256:` and 64 hexadecimal digits")),
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let refused = |flaw| Err(malformed(text, flaw));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before a slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return refused("a tag has letters, digits, '_', '.' and '-', at most 128");
        }
        let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path.to_owned()),
            Some(_) => (DOCKER_HUB, name.to_owned()),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        if !is_host(registry) {
            return refused("what stands before the first '/' is no host");
        }
        if path.len() > MAX_NAME || !path.split('/').all(is_component) {
            return refused(
                "a name has lower-case letters and digits, with single '.', '_' or '-' between them",
            );
        }
        Ok(Self { registry: registry.to_owned(), repository: path, tag, digest })
    }
}

fn malformed(text: &str, flaw: &'static str) -> ImageError {
    let text = text.chars().filter(|c| !c.is_control()).take(80).collect();
    ImageError::Malformed { text, flaw }
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= MAX_TAG && !text.is_empty() && !text.starts_with(['.', '-']) && text.bytes().all(inner)
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|part| {
            let edge = part.starts_with('-') || part.ends_with('-');
            !part.is_empty() && !edge && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `a`, `a.b`, `a_b`, `a__b`, `a--b`.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(is_word).filter(|separator| !separator.is_empty());
    let mut separators =
        separators.map(|text| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-'));
    text.starts_with(is_word) && text.ends_with(is_word) && separators.all(|fits| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_is_docker_hubs() {
        for (text, shown) in [
            ("python", "docker.io/library/python"),
            ("daskdev/dask:2026.8.0", "docker.io/daskdev/dask:2026.8.0"),
            ("index.docker.io/daskdev/dask", "docker.io/daskdev/dask"),
            ("ghcr.io/dask/dask:2026.8.0-py3.11", "ghcr.io/dask/dask:2026.8.0-py3.11"),
            ("localhost/a", "localhost/a"),
            ("127.0.0.1:5000/dask/dask", "127.0.0.1:5000/dask/dask"),
            ("[::1]:5000/a_b/c--d", "[::1]:5000/a_b/c--d"),
            ("team/a", "docker.io/team/a"),
        ] {
            assert_eq!(text.parse::<ImageReference>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_tag_and_a_digest_may_stand_together() {
        let hex = "0123456789abcdef".repeat(4);
        let image: ImageReference = format!("r.io/a:t@sha256:{hex}").parse().unwrap();
        assert_eq!(image.tag.as_deref(), Some("t"));
        assert_eq!(image.identifier(), format!("sha256:{hex}"));
        assert_eq!(image.to_string(), format!("r.io/a:t@sha256:{hex}"));
        assert_eq!("r.io/a".parse::<ImageReference>().unwrap().identifier(), "latest");
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = format!("a/{}", "b".repeat(300));
        for text in [
            "",
            ":",
            "a:",
            "a@",
            "A/b",
            "r.io/",
            "r.io//a",
            "r.io/a b",
            "r.io/a:b c",
            "r.io/a@sha256:12",
            "r.io:0/a",
            "r.io:99999/a",
            "-r.io/a",
            "a/../b",
            "r.io/a.",
            "r.io/a..b",
            "r.io/a:-t",
            &long,
            "http://r.io/a",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
