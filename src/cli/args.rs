//! The command line as types; their comments are the manual.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::spec::{ClusterName, GroupName, Namespace, Span};

/// Compute clusters (Dask first), created, scaled and torn down from one YAML file.
#[derive(Debug, Parser)]
#[command(name = "crewcall", version, arg_required_else_help = true, max_term_width = 100)]
#[command(disable_help_subcommand = true, propagate_version = false)]
#[command(after_help = "`crewcall VERB --help` says more about a verb.")]
pub struct Arguments {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArguments {
    /// Whose clusters: `local`, those of this machine.
    #[arg(long, global = true, env = "CREWCALL_CONTEXT", value_name = "CONTEXT", hide_env_values = true)]
    pub context: Option<String>,
    /// Kubernetes: the namespace.
    #[arg(short, long, global = true, env = "CREWCALL_NAMESPACE", value_name = "NAMESPACE")]
    #[arg(hide_env_values = true)]
    pub namespace: Option<Namespace>,
    /// Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a
    /// terminal reads it.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub color: ColorWhen,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say what is done; twice: every decision and call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// As environment and terminal say.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create the cluster that a document describes, or bring it up to date.
    ///
    /// Does nothing when the cluster is as the document says. Waits until the cluster can be used:
    /// for what the document's `waitFor` names, else for the scheduler and all fixed workers.
    /// Prints the endpoint, the link to the dashboard, and the line that connects a client.
    ///
    /// Ctrl-C ends the wait, not the cluster.
    Create(CreateArguments),
    /// List the clusters.
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// Show one cluster, in a line or, with `-o yaml`, with everything that is known of it.
    Get(GetArguments),
    /// Show one cluster for people: conditions, groups, nodes, software, the last events.
    Describe(NameArguments),
    /// Show what happened to a cluster, oldest first.
    Events(EventsArguments),
    /// Show what scheduler and workers have logged, also of nodes that have ended.
    Logs(LogsArguments),
    /// Change the number of workers of a group, and wait until it is so.
    ///
    /// A number makes the group fixed, `--min` and `--max` make it adaptive. A worker that goes
    /// hands its results over first; where nobody can take them it is kept, and the command says so.
    Scale(ScaleArguments),
    /// Run a program that connects to a cluster by itself: a bare `Client()` in it is enough.
    ///
    /// The program replaces this process, in the same directory, with the variables that
    /// `crewcall env` prints.
    Run(RunArguments),
    /// Print the variables with which a bare `Client()` connects to a cluster.
    ///
    /// Use it as `eval "$(crewcall env NAME)"`. Certificate and key are named by their path; no key
    /// is printed.
    Env(EnvArguments),
    /// Open a cluster's dashboard in the browser.
    Dashboard(DashboardArguments),
    /// Delete clusters with all that belongs to them, and wait until they are gone.
    ///
    /// Nothing is handed over: results end with their cluster.
    Delete(DeleteArguments),
    /// Check what local clusters need: Python, directories, the controller, leftovers.
    Doctor(DoctorArguments),
    /// Remove what belongs to no cluster any more.
    Gc(GcArguments),
    /// Print the JSON Schema of documents.
    Schema,
    /// Print the script that completes commands in a shell.
    Completions(CompletionsArguments),
    /// Print a manual page.
    Man(ManArguments),
    /// Look at, or end, the controller on this machine.
    Controller(ControllerArguments),
    /// What the controller starts for each cluster.
    #[cfg(all(feature = "local", target_os = "linux"))]
    #[command(name = "__host", hide = true)]
    Host(crate::provider::local::host::HostArguments),
    /// What a command starts when there is no controller.
    #[command(name = "__controller", hide = true)]
    ControllerProcess(crate::api::process::ControllerArguments),
    /// Writes reference, completions and manual pages into a directory.
    #[command(name = "__generate", hide = true)]
    Generate(GenerateArguments),
}

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

/// How a verb that changes something reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One JSON object per line, the last with the result.
    Json,
    /// The cluster's name alone.
    Name,
}

/// How a verb that reads prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// JSON, complete.
    Json,
    /// YAML, complete.
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names alone, one a line.
    Name,
}

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

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// One JSON object per line.
    Json,
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

/// What a list of variables is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellFormat {
    /// bash, and other shells of its kind.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// A JSON object; `null` takes a variable back.
    Json,
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

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}

/// How data without names is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DataFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Arguments of `gc`.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Remove nothing; say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// The verb it is about [default: crewcall itself].
    pub verb: Option<String>,
}

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub struct ControllerArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: ControllerVerb,
}

/// What to do with the controller.
#[derive(Debug, Subcommand)]
pub enum ControllerVerb {
    /// Say whether it runs, since when, and where its files are.
    Status(ControllerStatusArguments),
    /// Start it if none runs, and say the same as `status`.
    Start(ControllerStatusArguments),
    /// End it. Clusters live on; the next command starts another.
    Stop,
    /// Print its log.
    Logs(ControllerLogsArguments),
}

/// Arguments of `controller status`.
#[derive(Debug, Args)]
pub struct ControllerStatusArguments {
    /// How to print it [default: for people].
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<DataFormat>,
}

/// Arguments of `controller logs`.
#[derive(Debug, Args)]
pub struct ControllerLogsArguments {
    /// Only the last so many lines.
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
}

/// Arguments of `__generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// The directory that holds `docs`, `completions` and `man`.
    pub directory: PathBuf,
}
