//! Copies of records, in parameters of AWS Systems Manager that no machine may read.

use std::collections::BTreeMap;

use super::{
    api::{Ec2Api, ParameterCall, Secrecy},
    build::MAX_PARAMETER,
    names::{self, CopyPiece},
    parameters,
};
use crate::{
    model::ClusterUid,
    provider::{ProviderError, RecordCopy},
};

/// Keeps a copy in place of what is there. What is there of it is not written again; and what is of another text goes
/// once it is whole.
pub async fn keep(
    api: &dyn Ec2Api,
    installation: &str,
    cluster: &ClusterUid,
    copy: &RecordCopy,
) -> Result<(), ProviderError> {
    let below = names::copies(installation, cluster);
    let texts = copy.text.as_bytes().chunks(MAX_PARAMETER);
    let texts: Vec<&str> = texts.filter_map(|piece| std::str::from_utf8(piece).ok()).collect();
    let mut old = api.parameters(&below).await?;
    for (piece, text) in CopyPiece::all(copy.generation, &copy.text, texts.len()).zip(&texts) {
        let name = piece.name(&below);
        if let Some(known) = old.iter().position(|known| *known == name) {
            old.swap_remove(known);
            continue;
        }
        let call = ParameterCall { name, value: (*text).to_owned(), secrecy: Secrecy::Encrypted };
        api.put_parameter(&call).await?;
    }
    parameters::delete(api, &old).await
}

/// The newest that is whole.
pub async fn newest(
    api: &dyn Ec2Api,
    installation: &str,
    cluster: &ClusterUid,
) -> Result<Option<RecordCopy>, ProviderError> {
    let below = names::copies(installation, cluster);
    let mut states: BTreeMap<(u64, String), (usize, BTreeMap<usize, String>)> = BTreeMap::new();
    for (name, value) in api.parameter_values(&below).await? {
        if let Some(piece) = CopyPiece::named(&below, &name) {
            let (of, pieces) = states.entry((piece.generation, piece.digest)).or_default();
            *of = piece.of;
            pieces.insert(piece.number, value);
        }
    }
    let whole = states.into_iter().rev().find(|(_, (of, pieces))| pieces.len() == *of);
    Ok(whole.map(|((generation, _), (_, pieces))| RecordCopy {
        generation,
        text: pieces.into_values().collect::<Vec<_>>().concat(),
    }))
}
