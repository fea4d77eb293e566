//! Arguments of the verbs that change clusters.

use std::path::PathBuf;

use clap::Args;

use super::{DataFormat, ExaminedProvider, ReportFormat};
use crate::spec::{ClusterName, GroupName, Span};

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// The document; `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Return as soon as the document is accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// Change nothing; say what would be changed.
    #[arg(long, conflicts_with_all = ["no_wait", "replace"])]
    pub dry_run: bool,
    /// Where the cluster cannot be changed while it lives, delete it and create it anew. Its
    /// results are lost.
    #[arg(long)]
    pub replace: bool,
    /// How long to wait (`90s`, `10m`, `1h30m`) [default: the document's waitFor.timeout, else 10m].
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// How to report: `json` prints one object per line while it goes on.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ReportFormat>,
    /// For programs: a JSON object in this file, whose fields go over those of the document (a merge
    /// patch: `null` takes a field away); `-` reads it from standard input.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub merge: Option<PathBuf>,
    /// For programs: stay, and delete the cluster when the process of this id ends, or when this one
    /// gets SIGINT. On SIGTERM the cluster is left as it is, as is one that was there before.
    #[arg(long, value_name = "PID", conflicts_with_all = ["no_wait", "dry_run"])]
    pub owner: Option<u32>,
    /// Who asks, where that is not plain from the surroundings.
    #[command(flatten)]
    pub caller: CallerArguments,
}

/// Who asks, as a program says it for its user.
#[derive(Debug, Clone, Default, Args)]
pub struct CallerArguments {
    /// The caller's Python [default: the active one].
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::ExecutablePath)]
    pub python: Option<PathBuf>,
    /// A directory that the caller imports modules from; may be repeated [default: this directory and
    /// those of `PYTHONPATH`].
    #[arg(long, value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    pub import_path: Vec<PathBuf>,
}

/// Arguments of `scale`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("size").args(["workers", "max"]).required(true))]
#[command(override_usage = "crewcall scale [OPTIONS] <NAME> <N>\n       \
                            crewcall scale [OPTIONS] <NAME> --max <N> [--min <N>]")]
pub struct ScaleArguments {
    /// The cluster.
    pub name: ClusterName,
    /// How many workers.
    #[arg(value_name = "N", conflicts_with_all = ["min", "max"])]
    pub workers: Option<u32>,
    /// The group.
    #[arg(short, long, value_name = "GROUP", default_value = "workers")]
    pub group: GroupName,
    /// Adaptive: at least so many [default: 0].
    #[arg(long, value_name = "N", requires = "max")]
    pub min: Option<u32>,
    /// Adaptive: at most so many.
    #[arg(long, value_name = "N")]
    pub max: Option<u32>,
    /// Remove workers also when nobody can take their results. Those are lost, and counted.
    #[arg(long)]
    pub force: bool,
    /// Return as soon as the new size is accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait [default: what the document gives workers to start and to hand over].
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait")]
    pub timeout: Option<Span>,
    /// How to report: `json` prints one object per line while it goes on.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ReportFormat>,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").args(["names", "file", "all"]).required(true))]
#[command(override_usage = "crewcall delete [OPTIONS] <NAME>...\n       \
                            crewcall delete [OPTIONS] --file <FILE>\n       \
                            crewcall delete [OPTIONS] --all")]
pub struct DeleteArguments {
    /// The clusters.
    #[arg(value_name = "NAME")]
    pub names: Vec<ClusterName>,
    /// The document of the cluster; `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Every cluster.
    #[arg(long)]
    pub all: bool,
    /// Return as soon as the deletion is on record.
    #[arg(long)]
    pub no_wait: bool,
    /// A cluster that is not there is deleted already.
    #[arg(long)]
    pub ignore_not_found: bool,
    /// How long to wait, in all.
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "no_wait")]
    pub timeout: Span,
    /// How to report: `json` prints one object per line while it goes on.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ReportFormat>,
}

/// Arguments of `gc`.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Remove nothing; say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Look there, too [default: where this machine's clusters are].
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<ExaminedProvider>,
    /// Look also where the cluster of this document would be. `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "provider")]
    pub file: Option<PathBuf>,
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}
