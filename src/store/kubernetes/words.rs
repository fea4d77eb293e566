//! What people read of a call that failed.

use kube::{core::Status, runtime::watcher};

use crate::model::with_causes;

/// Why a call failed, in the API server's own words where it has any.
pub fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return of_status(status);
    }
    with_causes(error)
}

/// Why a watch broke off.
pub fn words_of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => words(cause),
        watcher::Error::WatchError(status) => of_status(status),
        watcher::Error::NoResourceVersion => "the API server's list has no version".to_owned(),
    }
}

fn of_status(status: &Status) -> String {
    if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_api_server() {
        let status = Status { code: 500, message: "etcd has no leader".to_owned(), ..Status::default() };
        assert_eq!(words(&kube::Error::Api(Box::new(status.clone()))), "etcd has no leader");
        assert_eq!(words_of_watch(&watcher::Error::WatchError(Box::new(status))), "etcd has no leader");
        assert_eq!(words(&kube::Error::Api(Box::new(Status { code: 503, ..Status::default() }))), "HTTP 503");
    }
}
