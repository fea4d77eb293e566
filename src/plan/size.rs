//! How many workers a group should have.

use crate::spec::{Size, WorkerGroupSpec};

/// The size of a group of a new cluster whose document says none.
const DEFAULT: u32 = 1;

/// How many workers the group should have, given that it has `live` now.
///
/// A fixed group has its replicas. An adaptive one keeps its present size, within its bounds.
pub fn desired(group: &WorkerGroupSpec, live: u32) -> u32 {
    match group.size() {
        None => DEFAULT,
        Some(Size::Fixed(replicas)) => replicas,
        Some(Size::Adaptive { min, max }) => live.min(max).max(min),
    }
}
