//! Crewcall makes, scales and takes down compute clusters (Dask first) from one YAML file.
//!
//! This page is the map of the crate. What the processes are and what a crash may not break is in
//! `docs/architecture.md`; what was decided, and why, in `docs/decisions.md`.
//!
//! # From a file to a cluster
//!
//! ```text
//! YAML ─ spec::load ─► Fleet::create ─► Provider::prepare       the software; nothing is stored before it is there
//!                           │
//!                           ▼
//!                      Store::create    the record: what is wanted, and the ledger: what was decided
//!                           │
//!                           ▼
//!      ┌───────────► a tick of the cluster's Reconciler
//!      │                    │
//!      │                    ├─ Provider::observe    what is there
//!      │                    ├─ Engine::status       what the scheduler says
//!      │                    ├─ plan::plan           pure: next ledger, actions, conditions, events
//!      │                    ├─ Store::replace       the next ledger, durable before anything is begun
//!      │                    └─ the actions: ensure_anchor, ensure_nodes, retire, remove_nodes, remove_anchor
//!      │                                     │
//!      └── hints, timers, changed wishes ◄───┴── finished actions
//! ```
//!
//! All policy is in [`plan`]: what to make, what to drain first, when to try again, what to give up
//! on. Providers and engines decide nothing; they make, look and remove.
//!
//! # Modules
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`spec`] | the document: from text to checked, plain types; the JSON Schema; what an edit changes | nothing of ours |
//! | [`model`] | what the parts tell each other: ids, nodes, record and ledger, conditions, events | `spec` |
//! | [`plan`](mod@plan) | pure policy: [`plan::plan`] from a [`plan::Situation`] to a [`plan::Plan`] | `spec`, `model` |
//! | [`environment`] | whether client and cluster run the same software | `spec`, `model` |
//! | [`security`] | one certificate authority per cluster, one leaf per role | `spec`, `model` |
//! | [`engine`] | what runs in a cluster: the contract [`engine::Engine`], and Dask | the above, less `plan` and `environment` |
//! | [`provider`] | where a cluster runs: the contract [`provider::Provider`], and this machine | `spec`, `model`, `security`, `environment`, `engine` |
//! | [`store`] | where wanted state and intents last: [`store::Store`], and a directory | as `provider` |
//! | [`controller`] | the loop of each cluster, and what can be asked of all of them | all above |
//! | [`api`] | what can be asked about clusters: of the controller as a process, over HTTP on a Unix socket, and of an operator, through custom resources | everything but `cli` |
//! | [`operator`] | the controller within Kubernetes: clusters as custom resources, a lease, metrics | everything but `cli` |
//! | [`telemetry`] | what is logged, and where | nothing of ours |
//! | [`cli`] | the command line, a client of `api` | everything |
//!
//! `tests/layering.rs` holds this table and fails on any other edge.
//!
//! # Where to start reading
//!
//! 1. [`model::ClusterRecord`] and [`model::Ledger`]: all that survives a crash.
//! 2. [`provider::Provider`] and [`engine::Engine`]: what the world is asked to do.
//! 3. [`plan::plan`], from top to bottom: what is decided when.
//! 4. [`controller::Reconciler`]: how that becomes calls.
//!
//! A new provider or engine begins with `docs/adding-a-provider.md` or `docs/adding-an-engine.md`.
//!
//! # Features
//!
//! `local`, `kubernetes` and `ec2`, all on by default, choose the providers that are built in.
//! `ec2` brings AWS' SDK, which takes minutes and 5.5 GB of memory to compile. The local provider needs Linux.

pub mod api;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod environment;
pub mod model;
#[cfg(feature = "kubernetes")]
pub mod operator;
pub mod plan;
pub mod provider;
pub mod security;
pub mod spec;
pub mod store;
pub mod telemetry;
