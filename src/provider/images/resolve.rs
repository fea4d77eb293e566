//! The image that has the caller's versions.

use super::{RegistryClient, RegistryOptions, ResolveError};
use crate::{
    environment::image::{ImageError, ImageTemplate, PinnedImage},
    model::{ErrorKind, SoftwareVersions},
    provider::{Caller, ProviderError},
    spec::EnvironmentSpec,
};

/// The image that a cluster runs, where it depends on the caller's versions or the document names none; pinned.
pub async fn environment(
    wanted: Option<&EnvironmentSpec>,
    caller: &Caller,
    options: RegistryOptions,
    progress: &(dyn Fn(String) + Send + Sync),
) -> Result<Option<EnvironmentSpec>, ProviderError> {
    let template: ImageTemplate = match wanted {
        Some(EnvironmentSpec::Image(text)) => text.parse().map_err(|error: ImageError| {
            ProviderError::new(ErrorKind::Invalid, error.to_string()).with_hint(error.hint())
        })?,
        _ => ImageTemplate::default(),
    };
    if wanted.is_some() && !template.has_places() {
        return Ok(None);
    }
    progress(format!("looking for the image {template}"));
    let versions = caller.context.interpreter.as_ref().map(|interpreter| interpreter.versions.clone());
    let pinned = resolve(&versions.unwrap_or_default(), &template, &RegistryClient::new(options)).await?;
    Ok(Some(EnvironmentSpec::Image(pinned.to_string())))
}

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
