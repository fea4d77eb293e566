//! Why there is no image.

use super::{ImageReference, template::DEFAULT};

/// An image that is none, or is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The text names no image.
    #[error("`{text}` names no image: {flaw}")]
    Malformed {
        /// What was written; shortened.
        text: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// The caller's Python has no Dask, or is not known.
    #[error("which image matches is not known: {}", if *package == "python" { "no Python is active" } else { "the Python that is active has no Dask" })]
    NoVersion {
        /// What it has not.
        package: &'static str,
    },
    /// A version that was never released has no image.
    #[error("no image matches {package} {version}, which is no release")]
    Unreleased {
        /// Which package.
        package: &'static str,
        /// Its version.
        version: String,
    },
    /// The registry does not have it.
    #[error("the registry has no image {wanted}{}", there_are(wanted, nearest))]
    NotFound {
        /// What was looked for.
        wanted: Box<ImageReference>,
        /// Tags that come near, the nearest first.
        nearest: Vec<String>,
    },
}

impl ImageError {
    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { .. } => {
                format!("write it as `registry/name:tag`; the images of Dask's own project are `{DEFAULT}`")
            }
            Self::NoVersion { .. } => {
                "activate the environment that your client runs in, or name an image below `spec`: `environment: {image: ...}`".to_owned()
            }
            Self::Unreleased { .. } => {
                "build an image with what your client has, and name it below `spec`: `environment: {image: ...}`".to_owned()
            }
            Self::NotFound { nearest, wanted } => match nearest.first() {
                Some(tag) => format!(
                    "install the versions of one of them for your client, or name one below `spec`: `environment: {{image: \"{}:{tag}\"}}`",
                    wanted.name()
                ),
                None => "name an image that there is below `spec`: `environment: {image: ...}`".to_owned(),
            },
        }
    }
}

fn there_are(wanted: &ImageReference, nearest: &[String]) -> String {
    if nearest.is_empty() {
        return format!(", and none like it in {}", wanted.name());
    }
    format!("; near it are the tags {}", nearest.join(", "))
}
