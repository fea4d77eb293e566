//! Arguments of the verbs that show clusters, or connect to one.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{DataFormat, EventFormat, OutputFormat, ShellFormat};
use crate::spec::ClusterName;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// How to print it [default: a table].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// The cluster.
    pub name: ClusterName,
    /// How to print it [default: a table].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// A cluster.
#[derive(Debug, Args)]
pub struct NameArguments {
    /// The cluster.
    pub name: ClusterName,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArguments {
    /// The cluster.
    pub name: ClusterName,
    /// Go on with what happens from now on, until the cluster is gone.
    #[arg(short, long)]
    pub follow: bool,
    /// At most so many of the newest.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub tail: usize,
    /// How to print them: `json` prints one object per line [default: a table].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<EventFormat>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The cluster.
    pub name: ClusterName,
    /// A node, a group or `scheduler`, with or without the cluster's name in front: `workers-0`
    /// is the newest worker in that position [default: all, the scheduler first].
    pub node: Option<String>,
    /// Go on with what is logged from now on, until the nodes have ended.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines of each node.
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The cluster.
    pub name: ClusterName,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND", num_args = 1..)]
    #[arg(value_hint = clap::ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Arguments of `env`.
#[derive(Debug, Args)]
pub struct EnvArguments {
    /// The cluster.
    #[arg(required_unless_present = "unset")]
    pub name: Option<ClusterName>,
    /// For which shell [default: the one that `SHELL` names, else bash].
    #[arg(long, value_name = "SHELL")]
    pub shell: Option<ShellFormat>,
    /// Print what takes the variables back.
    #[arg(long)]
    pub unset: bool,
}

/// Arguments of `dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArguments {
    /// The cluster.
    pub name: ClusterName,
    /// Print the link and open nothing.
    #[arg(long)]
    pub print: bool,
}

/// Providers that `doctor` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExaminedProvider {
    /// This machine.
    Local,
    /// An account of AWS: credentials, permissions, quotas, network, image. Nothing is left there.
    Ec2,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Where clusters are to run [default: as the document says, else local].
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<ExaminedProvider>,
    /// The document of a cluster: what it needs is looked at. `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}
