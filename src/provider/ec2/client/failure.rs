//! What a call that failed says.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::session::CALL;
use crate::{
    model::{ErrorKind, with_causes},
    provider::{
        ProviderError,
        ec2::error::{Refusal, refused},
    },
};

/// A call that failed, whatever way.
pub(super) fn failed<E, R>(action: &str, error: &SdkError<E, R>) -> ProviderError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(said) => {
            let said = said.err();
            let (code, message) = (said.code().unwrap_or("no code"), said.message().unwrap_or("no message"));
            refused(&Refusal { action, code, message })
        }
        SdkError::TimeoutError(_) => {
            ProviderError::unsure(format!("{action} was not answered within {} s", CALL.as_secs()))
        }
        _ => {
            let said = told(error);
            // The SDK has no kind of its own for it.
            if matches!(error, SdkError::ConstructionFailure(_)) || said.contains("credential") {
                let message = format!("{action} could not be asked: {said}");
                return ProviderError::new(ErrorKind::Auth, message).with_hint(
                    "log in (`aws sso login`), set AWS_PROFILE, or export AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` says whether they are found",
                );
            }
            ProviderError::unsure(format!("{action} was not answered: {said}"))
        }
    }
}

/// An error with what is behind it, on one line.
fn told(error: &dyn std::error::Error) -> String {
    let text = with_causes(error);
    text.lines().next().unwrap_or_default().trim_end_matches(". Attempted:").to_owned()
}

pub(super) fn nothing(action: &str, what: &str) -> ProviderError {
    ProviderError::unsure(format!("{action} was answered without the {what}"))
}
