//! The verbs, and what holds for all of them.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    CompletionsArguments, ControllerArguments, CreateArguments, DashboardArguments, DeleteArguments,
    DoctorArguments, EnvArguments, EventsArguments, GcArguments, GenerateArguments, GetArguments,
    ListArguments, LogsArguments, ManArguments, NameArguments, RunArguments, ScaleArguments, SchemaArguments,
};
use crate::spec::Namespace;

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
    /// Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its
    /// operator, `kube:` alone to that of the current context; `local` is this machine's controller.
    #[arg(long, global = true, env = "CREWCALL_CONTEXT", value_name = "CONTEXT", hide_env_values = true)]
    pub context: Option<String>,
    /// Kubernetes: the namespace [default: the document's, then the context's].
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
    /// Check what clusters need: Python, directories, the controller, leftovers; on EC2 also the account.
    Doctor(DoctorArguments),
    /// Remove what belongs to no cluster any more.
    Gc(GcArguments),
    /// Print the JSON Schema of documents.
    Schema(SchemaArguments),
    /// Print the script that completes commands in a shell.
    Completions(CompletionsArguments),
    /// Print a manual page.
    Man(ManArguments),
    /// Look at, or end, the controller on this machine.
    Controller(ControllerArguments),
    /// Run the controller within Kubernetes, for clusters that are custom resources.
    ///
    /// What its Helm chart runs. Of several one leads: the one that holds the Lease.
    #[cfg(feature = "kubernetes")]
    Operator(crate::operator::OperatorArguments),
    /// What the controller starts for each cluster.
    #[cfg(all(feature = "local", target_os = "linux"))]
    #[command(name = "__host", hide = true)]
    Host(crate::provider::local::host::HostArguments),
    /// What the controller starts for each cluster on Kubernetes or EC2.
    #[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
    #[command(name = "__forwarder", hide = true)]
    Forwarder(crate::provider::forwarder::ForwarderArguments),
    /// What a Python program starts to speak with an operator.
    #[cfg(feature = "kubernetes")]
    #[command(name = "__gateway", hide = true)]
    Gateway(super::GatewayArguments),
    /// What a command starts when there is no controller.
    #[command(name = "__controller", hide = true)]
    ControllerProcess(crate::api::process::ControllerArguments),
    /// Writes reference, completions and manual pages into a directory.
    #[command(name = "__generate", hide = true)]
    Generate(GenerateArguments),
}
