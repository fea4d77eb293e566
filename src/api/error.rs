//! Why a request was not answered as hoped.

use serde::{Deserialize, Serialize};

use crate::controller::RequestError;

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure, for programs.
    pub code: ErrorCode,
    /// What happened to what, for a person.
    pub message: String,
    /// The next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// There is no such cluster, node or route.
    NotFound,
    /// The request or its document is not valid.
    Invalid,
    /// The cluster that exists stands in the way.
    Conflict,
    /// It makes no sense for this cluster, or now.
    Refused,
    /// This build lacks what it takes.
    Unsupported,
    /// The provider refused or failed.
    Provider,
    /// The store failed.
    Store,
    /// Something did not happen within its bound.
    Timeout,
    /// The cluster's record cannot be used.
    Unreadable,
    /// The cluster belongs to another machine.
    Elsewhere,
    /// The controller does not answer, or went away before it was done.
    Unreachable,
    /// Anything else; a code that this version does not know.
    #[serde(other)]
    Internal,
}

impl ApiError {
    /// Without a next step.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// With the next step for the person who reads it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::NotFound(_) => ErrorCode::NotFound,
            RequestError::Invalid(_) | RequestError::NoPlace(_) => ErrorCode::Invalid,
            RequestError::Fixed { .. } => ErrorCode::Conflict,
            RequestError::Refused(_) => ErrorCode::Refused,
            RequestError::Elsewhere { .. } => ErrorCode::Elsewhere,
            RequestError::Unreadable(_) => ErrorCode::Unreadable,
            RequestError::NoProvider(_) => ErrorCode::Unsupported,
            RequestError::Provider(_) => ErrorCode::Provider,
            RequestError::Store(_) => ErrorCode::Store,
            RequestError::TooLong { .. } => ErrorCode::Timeout,
        };
        Self { code, message: error.to_string(), hint: error.hint() }
    }
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::Conflict | Self::Elsewhere => 409,
            Self::Refused => 422,
            Self::Unsupported => 501,
            Self::Provider => 502,
            Self::Unreachable => 503,
            Self::Timeout => 504,
            Self::Store | Self::Unreadable | Self::Internal => 500,
        }
    }
}
