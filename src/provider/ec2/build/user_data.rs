//! What a machine is started with: a script for cloud-init, without any secret.

use serde_json::json;

use super::{
    BuildError, Market,
    contents::{FILES, compressed},
};
use crate::{
    engine::{
        Launch,
        dask::{DaskRole, Surface, Transport, command, python},
    },
    provider::{
        LaunchRequest,
        ec2::names::{self, COMM_PORT, DASHBOARD_PORT},
    },
    spec::{ComputeCluster, EnvironmentSpec, GroupName, TaskCredentials},
};

/// Most bytes that EC2 takes.
pub const MAX_USER_DATA: usize = 16_384;

/// The program that looks after a node.
const AGENT: &str = include_str!("agent/crewcall_agent.py");

/// Its unit. Whatever way it ends, the machine is powered off, and a machine of ours that is powered off is gone.
const UNIT: &str = include_str!("agent/crewcall.service");

/// Ends the texts within the script; no line of them is this.
const END: &str = "END-OF-CREWCALL-FILE";

/// How long before the tagged time a machine ends by itself: the tag is an hour after the cluster's lifetime.
const EXPIRY_MARGIN: u64 = 3_600;

/// How long a scheduler may take to close its connections, in seconds.
const SCHEDULER_STOP: u64 = 10;

/// How much longer than its drain a worker may take, in seconds.
const BEYOND_DRAIN: u64 = 5;

/// Where a machine finds what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources<'a> {
    /// The region.
    pub region: &'a str,
    /// The address of AWS Systems Manager, as machines reach it.
    pub ssm: &'a str,
    /// The parameter with the secrets.
    pub secrets: &'a str,
    /// How many parameters hold the files.
    pub files: usize,
}

/// What the machines of a launch are started with: a compressed shell script. The same request gives the same bytes.
pub fn user_data(
    request: &LaunchRequest,
    market: Market,
    sources: Sources<'_>,
) -> Result<Vec<u8>, BuildError> {
    let node = node(request, market, sources);
    let stop = stop_seconds(request) + 15;
    let unit = UNIT.replace("{stop}", &stop.to_string());
    let mut script = String::from("#!/bin/sh\n# Made by Crewcall.\nmkdir -p /opt/crewcall\n");
    for (path, text) in [
        ("/opt/crewcall/agent.py", AGENT),
        ("/opt/crewcall/node.json", &node),
        ("/etc/systemd/system/crewcall.service", &unit),
    ] {
        script.extend(["cat > ", path, " <<'", END, "'\n", text.trim_end(), "\n", END, "\n"]);
    }
    // Amazon's image for containers would look for a cluster of its own.
    script.push_str(
        "systemctl disable --now --no-block ecs 2> /dev/null\nsystemctl daemon-reload\n\
         systemctl enable --now --no-block crewcall\n",
    );
    let bytes = compressed(script.as_bytes());
    if bytes.len() > MAX_USER_DATA {
        return Err(BuildError::UserData(bytes.len()));
    }
    Ok(bytes)
}

fn stop_seconds(request: &LaunchRequest) -> u64 {
    if request.group.is_scheduler() {
        SCHEDULER_STOP
    } else {
        request.document.spec.drain_grace().as_secs() + BEYOND_DRAIN
    }
}

/// What the agent reads.
fn node(request: &LaunchRequest, market: Market, sources: Sources<'_>) -> String {
    let document = &request.document;
    let Launch::Dask(launch) = &*request.program;
    let started = command(launch, &surface());
    let mut environment = started.environment;
    // Images have no account for a user of that number; Python wants a name and a home for it.
    for (name, value) in [("HOME", "/tmp"), ("USER", "dask")] {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    // All machines boot side by side; what Python loads first takes as long as a scheduler takes to listen.
    if let DaskRole::Worker(worker) = &launch.role {
        environment.insert(python::AWAIT.to_owned(), worker.scheduler.clone());
    }
    let guard = document.spec.ec2().is_none_or(|ec2| ec2.task_credentials == TaskCredentials::None);
    json!({
        "region": sources.region,
        "ssm": sources.ssm,
        "secrets": sources.secrets,
        "files": names::files(sources.secrets, sources.files),
        "image": image(document),
        "argv": started.argv,
        "environment": environment,
        "spot": market == Market::Spot,
        "guard": guard,
        "stopSeconds": stop_seconds(request),
        "options": options(document, &request.group),
        "expiresAt": request.expires_at.map(names::moment),
        "expiryMargin": EXPIRY_MARGIN,
    })
    .to_string()
}

/// Where the container has what it needs. Its network is the machine's.
fn surface() -> Surface {
    Surface {
        python: "python".to_owned(),
        preload: format!("{FILES}/{}", python::PRELOAD),
        configuration: format!("{FILES}/dask.yaml"),
        port: COMM_PORT,
        dashboard: format!("0.0.0.0:{DASHBOARD_PORT}"),
        transport: Transport::Tls,
    }
}

/// The image; empty where there is none, which `prepare` does not let happen.
fn image(document: &ComputeCluster) -> &str {
    match &document.spec.environment {
        Some(EnvironmentSpec::Image(image)) => image,
        _ => "",
    }
}

/// More options for `docker run`.
fn options(document: &ComputeCluster, group: &GroupName) -> Vec<&'static str> {
    if document.spec.machine_template(group).gpus.is_some() { vec!["--gpus", "all"] } else { Vec::new() }
}
