//! Without EC2 there are no sessions of its.

use tokio::time::Instant;

/// None.
#[derive(Clone)]
pub enum SessionWay {}

impl SessionWay {
    /// There is none.
    #[expect(clippy::unused_async, reason = "others wait")]
    pub async fn port(&self, _: Instant) -> Result<u16, String> {
        match *self {}
    }

    /// There is none.
    pub fn doubt(&self) {
        match *self {}
    }

    /// There is none.
    #[expect(clippy::unused_async, reason = "others wait")]
    pub async fn is_over(&self) {
        match *self {}
    }

    /// There is none.
    #[expect(clippy::unused_async, reason = "others wait")]
    pub async fn close(&self) {
        match *self {}
    }
}
