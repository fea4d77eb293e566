//! Pods as a document can shape them, and how one description goes over another.

mod merge;
mod template;

pub(crate) use merge::{Nulls, merge};
pub use template::{
    Fragment, ImagePullPolicy, PodResources, PodTemplate, PullSecret, TaintEffect, Toleration,
    TolerationOperator,
};
