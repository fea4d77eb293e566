//! The name of an image with places for versions.

use std::{fmt, str::FromStr};

use super::{Digest, ImageError, ImageReference, nearest::nearest};
use crate::{model::SoftwareVersions, spec::EnvironmentSpec};

/// The images that are taken where a document names none.
pub(super) const DEFAULT: &str = EnvironmentSpec::DEFAULT_IMAGE;

/// An image whose name has `{dask}` and `{python}` where the versions of Dask (`2026.8.0`) and Python
/// (`3.13`) stand; in one without them, every client has the same image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTemplate(String);

/// An image that stays the same whatever happens to its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedImage {
    /// Its name, with the tag by which it was found.
    pub image: ImageReference,
    /// Its content.
    pub digest: Digest,
}

/// The versions that an image is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) dask: String,
    pub(super) python: String,
}

impl Default for ImageTemplate {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for ImageTemplate {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let template = Self(text.to_owned());
        template.fill(&Versions { dask: "2026.8.0".to_owned(), python: "3.13".to_owned() })?;
        Ok(template)
    }
}

impl fmt::Display for ImageTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl ImageTemplate {
    /// Whether the image depends on who asks.
    pub fn has_places(&self) -> bool {
        EnvironmentSpec::IMAGE_PLACEHOLDERS.iter().any(|place| self.0.contains(place))
    }

    /// The image that matches.
    pub fn image(&self, caller: &SoftwareVersions) -> Result<ImageReference, ImageError> {
        if !self.has_places() {
            return self.0.parse();
        }
        self.fill(&Versions::of(caller)?)
    }

    /// The same in the spelling of tags before the middle of 2022, which write the month with two
    /// digits, as Dask's own tags did; `None` where that is no other.
    pub fn old_spelling(&self, caller: &SoftwareVersions) -> Result<Option<ImageReference>, ImageError> {
        if !self.has_places() {
            return Ok(None);
        }
        let versions = Versions::of(caller)?;
        let padded = Versions { dask: padded(&versions.dask), ..versions.clone() };
        let differs = padded != versions;
        differs.then(|| self.fill(&padded)).transpose()
    }

    /// That the image is not there, with those of the repository's tags that come near.
    pub fn not_found(
        &self,
        caller: &SoftwareVersions,
        wanted: ImageReference,
        tags: &[String],
    ) -> ImageError {
        let pattern = self.0.rsplit_once(':').map_or("", |(_, tag)| tag);
        let nearest = match Versions::of(caller) {
            Ok(versions) if self.has_places() => nearest(pattern, &versions, tags),
            _ => Vec::new(),
        };
        ImageError::NotFound { wanted: Box::new(wanted), nearest }
    }

    fn fill(&self, versions: &Versions) -> Result<ImageReference, ImageError> {
        self.0.replace("{dask}", &versions.dask).replace("{python}", &versions.python).parse()
    }
}

impl Versions {
    fn of(caller: &SoftwareVersions) -> Result<Self, ImageError> {
        let released = |package: &'static str| {
            let version = caller.get(package).ok_or(ImageError::NoVersion { package })?;
            let is_release = version.split('.').all(|part| {
                !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit())
            });
            if is_release {
                return Ok(version.to_owned());
            }
            Err(ImageError::Unreleased { package, version: version.chars().take(40).collect() })
        };
        let python = released("python")?;
        let minor = python.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        Ok(Self { dask: released("dask")?, python: minor })
    }
}

/// `2022.1.0` as `2022.01.0`.
fn padded(version: &str) -> String {
    match version.splitn(3, '.').collect::<Vec<_>>().as_slice() {
        [year, month, patch] if month.len() == 1 => format!("{year}.0{month}.{patch}"),
        _ => version.to_owned(),
    }
}

impl fmt::Display for PinnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = ImageReference { digest: Some(self.digest.clone()), ..self.image.clone() };
        write!(f, "{pinned}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(python: &str, dask: Option<&str>) -> SoftwareVersions {
        let pairs = [("python", Some(python)), ("dask", dask)];
        SoftwareVersions(pairs.map(|(name, version)| (name.to_owned(), version.map(str::to_owned))).into())
    }

    fn shown(template: &str, python: &str, dask: &str) -> Vec<String> {
        let template: ImageTemplate = template.parse().unwrap();
        let caller = caller(python, Some(dask));
        let images = std::iter::once(template.image(&caller).unwrap());
        images.chain(template.old_spelling(&caller).unwrap()).map(|image| image.to_string()).collect()
    }

    #[test]
    fn an_image_is_named_after_the_callers_versions() {
        assert_eq!(shown(DEFAULT, "3.11.7", "2026.10.0"), ["ghcr.io/dask/dask:2026.10.0-py3.11"]);
        assert_eq!(
            shown("r.io/dask-py{python}:{dask}", "3.13.0", "2026.12.1"),
            ["r.io/dask-py3.13:2026.12.1"]
        );
        assert_eq!(shown("r.io/own:stable", "3.13.0", "2026.12.1"), ["r.io/own:stable"]);
    }

    #[test]
    fn a_month_of_one_digit_is_looked_for_in_both_spellings() {
        assert_eq!(
            shown(DEFAULT, "3.9.1", "2022.1.0"),
            ["ghcr.io/dask/dask:2022.1.0-py3.9", "ghcr.io/dask/dask:2022.01.0-py3.9"]
        );
    }

    #[test]
    fn without_dask_or_with_an_unreleased_one_no_image_matches() {
        let template = ImageTemplate::default();
        let error = template.image(&caller("3.11.7", None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "which image matches is not known: the Python that is active has no Dask"
        );
        let error = template.image(&caller("3.11.7", Some("2026.8.0+12.gabc"))).unwrap_err();
        assert_eq!(error.to_string(), "no image matches dask 2026.8.0+12.gabc, which is no release");
        assert!("r.io/A:{dask}".parse::<ImageTemplate>().is_err());
    }

    #[test]
    fn an_image_that_is_missing_is_reported_with_those_near_it() {
        let tags = ["latest", "2026.7.0-py3.11", "2026.8.0-py3.12", "2024.1.0-py3.11", "2026.8.0"];
        let tags: Vec<String> = tags.map(str::to_owned).into();
        let template = ImageTemplate::default();
        let versions = caller("3.11.7", Some("2026.8.0"));
        let wanted = template.image(&versions).unwrap();
        let error = template.not_found(&versions, wanted.clone(), &tags);
        assert_eq!(
            error.to_string(),
            "the registry has no image ghcr.io/dask/dask:2026.8.0-py3.11; near it are the tags 2026.8.0-py3.12, 2026.7.0-py3.11, 2024.1.0-py3.11"
        );
        assert!(error.hint().contains("`environment: {image: \"ghcr.io/dask/dask:2026.8.0-py3.12\"}`"));
        let error = template.not_found(&versions, wanted, &[]);
        assert_eq!(
            error.to_string(),
            "the registry has no image ghcr.io/dask/dask:2026.8.0-py3.11, and none like it in ghcr.io/dask/dask"
        );
    }

    #[test]
    fn a_pinned_image_keeps_its_tag_for_people() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let pinned = PinnedImage { image: "r.io/a:b".parse().unwrap(), digest };
        assert_eq!(pinned.to_string(), format!("r.io/a:b@sha256:{}", "a".repeat(64)));
    }
}
