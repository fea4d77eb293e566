//! The size of a group as the rest of the plan sees it.

use crate::{
    model::{GroupLedger, SlotEntry},
    spec::{Size, WorkerGroupSpec},
};

/// The size of a group of a new cluster whose document says none.
pub(super) const DEFAULT: u32 = 1;

/// How many workers the group should have now.
///
/// A fixed group has its replicas. An adaptive one has what was decided last, or what is there if
/// nothing was decided yet; in both cases within its bounds.
pub fn desired(group: &WorkerGroupSpec, ledger: Option<&GroupLedger>) -> u32 {
    match group.size() {
        None => DEFAULT,
        Some(Size::Fixed(replicas)) => replicas,
        Some(Size::Adaptive { min, max }) => {
            let decided = ledger.and_then(|ledger| ledger.adaptive.as_ref()).map(|adaptive| adaptive.wanted);
            decided.unwrap_or_else(|| ledger.map_or(0, live)).min(max).max(min)
        }
    }
}

/// Workers that hold a place in the group.
pub(super) fn live(ledger: &GroupLedger) -> u32 {
    u32::try_from(ledger.slots.values().filter(|entry| SlotEntry::is_live(entry)).count()).unwrap_or(u32::MAX)
}
