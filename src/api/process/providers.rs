//! The providers that this program was built with.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    controller::Installation,
    provider::{Directories, Provider},
    spec::ProviderKind,
};

pub(super) fn available(
    _directories: &Directories,
    _host_program: &Path,
    _installation: &Installation,
) -> BTreeMap<ProviderKind, Arc<dyn Provider>> {
    BTreeMap::new()
}
