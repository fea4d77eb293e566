//! The image that has the caller's versions.

use super::{RegistryClient, ResolveError};
use crate::{
    environment::image::{ImageTemplate, PinnedImage},
    model::SoftwareVersions,
};

/// Finds the image that matches the caller's versions of Python and Dask, and pins it to its content.
///
/// When there is none, the error names those that come near.
pub async fn resolve(
    caller: &SoftwareVersions,
    template: &ImageTemplate,
    registry: &RegistryClient,
) -> Result<PinnedImage, ResolveError> {
    let wanted = template.image(caller)?;
    let old_spelling = template.old_spelling(caller)?;
    for image in std::iter::once(&wanted).chain(&old_spelling) {
        if let Some(digest) = registry.digest(image).await? {
            return Ok(PinnedImage { image: image.clone(), digest });
        }
    }
    // That the image is missing is known; what there is instead is only a help.
    let tags = registry.tags(&wanted).await.unwrap_or_default();
    Err(ResolveError::Image(template.not_found(caller, wanted, &tags)))
}
