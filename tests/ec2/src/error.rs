//! A refusal as AWS words it.

/// What a call is refused with. Codes and statuses are those of the EC2 API reference, "Error codes".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code that programs look at.
    pub code: String,
    /// What people read.
    pub message: String,
    /// The status of HTTP.
    pub status: u16,
}

impl ApiError {
    /// A refusal for which the caller is to blame.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: 400 }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// A parameter is not what it should be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// Parameters that cannot go together.
    pub fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    /// A parameter must be there.
    pub fn missing(name: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {name}"))
    }

    /// What `ClientToken` was used with differs.
    pub fn mismatch() -> Self {
        Self::new(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
    }
}
