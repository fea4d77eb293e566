//! The command line and an operator: `--context kube:NAME`, through custom resources and a person's own rights.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    kubectl::Said,
    stage::{Stage, stage, until},
};

/// Counts each run of each task; ends when there is a file `go`.
const HOLD: &str = "
import pathlib, sys, time
from distributed import Client, get_worker, wait
def counted(n):
    get_worker().log_event('runs', n)
    return bytes([n]) * 50_000
client = Client()
results = client.map(counted, range(60))
wait(results)
pathlib.Path('held').touch()
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
print(f\"runs {len(client.get_events('runs'))} workers {len(client.scheduler_info()['workers'])}\")
";

/// A person at a shell, with a home of their own.
struct Person<'a> {
    stage: &'a Stage,
    home: PathBuf,
    kubeconfig: PathBuf,
}

impl<'a> Person<'a> {
    fn new(stage: &'a Stage, name: &str, kubeconfig: &Path) -> Self {
        let home = stage.directory.path().join(name);
        fs::create_dir(&home).unwrap();
        fs::create_dir(home.join("run")).unwrap();
        Self { stage, home, kubeconfig: kubeconfig.to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crewcall"));
        command.args(arguments).current_dir(&self.home).env("HOME", &self.home);
        command.env("XDG_RUNTIME_DIR", self.home.join("run")).env("KUBECONFIG", &self.kubeconfig);
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "CREWCALL_STATE_DIR", "CREWCALL_CONTEXT"] {
            command.env_remove(name);
        }
        command.env("CREWCALL_NAMESPACE", self.stage.namespace()).stdin(Stdio::null());
        command
    }

    fn say(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { status, out: text(stdout), err: text(stderr) }
    }

    /// What a command prints that succeeds.
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.say(arguments);
        assert!(said.ok(), "crewcall {}: {}\n{}", arguments.join(" "), said.err, self.stage.describe());
        said.out
    }

    /// What a command complains of that ends with this code.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let said = self.say(arguments);
        assert_eq!(
            said.status.code(),
            Some(code),
            "crewcall {}: {}{}",
            arguments.join(" "),
            said.out,
            said.err
        );
        said.err
    }

    /// A file of the home.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn view(&self, name: &str) -> Value {
        serde_json::from_str(&self.done(&["get", name, "-o", "json"])).unwrap()
    }

    /// Folders of forwarders that there are.
    fn forwarders(&self) -> Vec<PathBuf> {
        let folder = self.home.join(".local/state/crewcall/remote/forwarders");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

fn admin() -> PathBuf {
    env::var_os("CREWCALL_TEST_KUBECONFIG").unwrap().into()
}

#[test]
fn a_default_context_is_enough_to_create_compute_scale_without_loss_and_delete() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    let person = Person::new(&stage, "ada", &admin());
    person.write(".config/crewcall/config.yaml", "context: 'kube:'\n");
    let file = person.write("demo.yaml", &Stage::document("demo", "replicas: 1"));

    let said = person.done(&["create", "-f", &file]);
    assert!(said.starts_with("Cluster demo is ready: 1 worker\nendpoint   tls://127.0.0.1:"), "{said}");
    assert!(said.contains("dashboard  http://127.0.0.1:"), "{said}");
    assert_eq!(stage.cluster("demo")["status"]["phase"], "Ready");
    let view = person.view("demo");
    let key = fs::metadata(view["client"]["key"].as_str().unwrap()).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let hold = env::var("CREWCALL_TEST_PYTHON").ok().map(|python| {
        let program = person.write("hold.py", HOLD);
        let mut command = person.command(&["run", "demo", "--", &python, "-W", "ignore", &program]);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        until("results in the cluster", || person.home.join("held").exists().then_some(()));
        child
    });
    assert_eq!(person.done(&["scale", "demo", "3"]), "cluster demo: group workers has 3 workers\n");
    assert_eq!(stage.cluster("demo")["spec"]["workers"]["replicas"], 3);
    assert_eq!(person.done(&["scale", "demo", "1"]), "cluster demo: group workers has 1 worker\n");
    if let Some(child) = hold {
        person.write("go", "");
        let said = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "runs 60 workers 1");
    }

    assert!(person.done(&["create", "-f", &file, "--no-wait"]).contains("is as the document says"));
    let adaptive = person.write("other.yaml", &Stage::document("demo", "min: 1, max: 2"));
    assert!(person.done(&["create", "-f", &adaptive]).contains("is ready: 1 worker"));
    let workers = stage.cluster("demo")["spec"]["workers"].clone();
    assert_eq!((&workers["replicas"], &workers["max"]), (&Value::Null, &2.into()));
    let fixed = Stage::document("demo", "replicas: 1").replace("cpu: 50m}\n", "cpu: 60m}\n");
    let fixed = person.write("fixed.yaml", &fixed);
    let refused = person.refused(&["create", "-f", &fixed], 5);
    assert!(refused.contains("spec.scheduler.cpu: from \"50m\" to \"60m\"\nhint: "), "{refused}");

    let list = person.done(&["list"]);
    assert!(list.contains("demo") && list.contains("Ready") && list.contains("1/1"), "{list}");
    let described = person.done(&["describe", "demo"]);
    assert!(described.contains("SchedulerReady") && described.contains("demo-workers-0-0"), "{described}");
    let events = person.done(&["events", "demo"]);
    assert!(events.contains("WorkersReady") && events.contains("Drained"), "{events}");
    assert!(person.done(&["logs", "demo", "scheduler"]).contains("Scheduler at:"));
    assert!(person.done(&["env", "demo"]).contains("DASK_SCHEDULER_ADDRESS='tls://127.0.0.1:"));
    assert_eq!(person.done(&["--context", "local", "list", "-o", "name"]), "");

    assert_eq!(person.done(&["delete", "demo"]), "cluster demo deleted\n");
    assert_eq!(person.forwarders(), Vec::<PathBuf>::new(), "its forwarder ends with it");
    stage.until_empty();
}

#[test]
fn what_cannot_be_is_said_before_anything_is_made() {
    let Some(stage) = stage() else { return };
    let person = Person::new(&stage, "bob", &admin());
    let kube = ["--context", "kube:"];
    let document = Stage::document("demo", "replicas: 0");
    let with = |arguments: &[&'static str]| [&kube[..], arguments].concat();

    let refused = person.refused(&["--context", "kube:nowhere", "list"], 2);
    assert!(refused.contains("has no context named nowhere\nhint: there are: "), "{refused}");
    let refused = person.refused(&with(&["controller", "status"]), 2);
    assert!(refused.contains("about the controller of this machine"), "{refused}");
    assert!(person.refused(&with(&["get", "demo"]), 4).contains(stage.namespace()));
    person.write(
        "local.yaml",
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                                spec: {provider: {local: {}}}\n",
    );
    assert!(person.refused(&with(&["create", "-f", "local.yaml"]), 2).contains("--context local"));
    person.write("typo.yaml", &document.replace("workers:", "wrokers:"));
    assert!(person.refused(&with(&["create", "-f", "typo.yaml"]), 3).contains("did you mean `workers`"));
    person.write("elsewhere.yaml", &document.replace("{name: demo}", "{name: demo, namespace: other}"));
    assert!(person.refused(&with(&["create", "-f", "elsewhere.yaml"]), 2).contains("namespace other"));
    person.write(".config/crewcall/config.yaml", "contexts: 'kube:'\n");
    assert!(person.refused(&["list"], 2).contains("unknown field `contexts`"));
    assert_eq!(stage.left(), Vec::<String>::new());

    // Nobody looks after this namespace.
    person.write("demo.yaml", &document);
    let late = person.refused(&with(&["create", "-f", "demo.yaml", "--timeout", "12s"]), 6);
    assert!(late.contains("no operator has looked at the cluster for 10 s"), "{late}");
    assert_eq!(person.done(&with(&["scale", "demo", "2", "--no-wait"])).lines().count(), 1);
    assert!(person.refused(&with(&["env", "demo"]), 5).contains("has no endpoint"));
    assert_eq!(person.done(&with(&["delete", "demo"])), "cluster demo deleted\n");
    assert_eq!(stage.left(), Vec::<String>::new());
}

/// The chart's roles for people, as Roles of the namespace.
fn roles(stage: &Stage) {
    let helm = env::var_os("CREWCALL_TEST_HELM").unwrap_or_else(|| "helm".into());
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/crewcall");
    let rendered = Command::new(helm)
        .args(["template", "crewcall"])
        .arg(chart)
        .args(["--show-only", "templates/user-roles.yaml", "--set", "image.repository=r.io/x"])
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let text = String::from_utf8(rendered.stdout).unwrap();
    stage.done(&["apply", "-f", "-"], &text.replace("kind: ClusterRole", "kind: Role"));
}

/// A kubeconfig for a service account that has no right yet.
fn guest(stage: &Stage) -> PathBuf {
    let path = stage.directory.path().join("guest.kubeconfig");
    fs::copy(admin(), &path).unwrap();
    stage.done(&["create", "serviceaccount", "guest"], "");
    let token = stage.done(&["create", "token", "guest"], "");
    let config = |arguments: &[&str]| {
        let file = path.display().to_string();
        stage.done(&[&["config", "--kubeconfig", &file][..], arguments].concat(), "")
    };
    config(&["set-credentials", "guest", "--token", token.trim()]);
    let context = config(&["current-context"]);
    config(&["set-context", context.trim(), "--user", "guest"]);
    path
}

fn bind(stage: &Stage, role: &str) {
    let account = format!("{}:guest", stage.namespace());
    let name = format!("guest-{role}");
    let (role, account) = (format!("--role={role}"), format!("--serviceaccount={account}"));
    stage.done(&["create", "rolebinding", &name, &role, &account], "");
}

#[test]
fn the_roles_of_the_chart_and_of_the_cluster_are_all_that_a_person_needs() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    roles(&stage);
    let person = Person::new(&stage, "eve", &guest(&stage));
    let kube = ["--context", "kube:"];
    let with = |arguments: &[&'static str]| [&kube[..], arguments].concat();
    person.write("demo.yaml", &Stage::document("demo", "replicas: 0"));

    let refused = person.refused(&with(&["create", "-f", "demo.yaml"]), 8);
    assert!(refused.contains("no permission to get computeclusters demo"), "{refused}");
    assert!(refused.contains("{apiGroups: [\"crewcall.dev\"], resources: [computeclusters], verbs: [get]}"));

    bind(&stage, "crewcall-edit");
    let said = person.say(&with(&["create", "-f", "demo.yaml"]));
    assert_eq!(said.status.code(), Some(0), "{}{}", said.err, stage.describe());
    assert!(said.err.contains("cannot be connected to from here: no permission to get secrets demo-client"));
    let refused = person.refused(&with(&["env", "demo"]), 8);
    assert!(refused.contains("--role=demo-client"), "{refused}");

    bind(&stage, "demo-client");
    bind(&stage, "crewcall-connect");
    assert!(person.done(&with(&["env", "demo"])).contains("tls://127.0.0.1:"));
    if let Some(python) = env::var_os("CREWCALL_TEST_PYTHON") {
        let program = "from distributed import Client; print(len(Client().scheduler_info()['workers']))";
        let python = python.to_str().unwrap().to_owned();
        let run = ["--context", "kube:", "run", "demo", "--", &python, "-W", "ignore", "-c", program];
        assert_eq!(person.done(&run), "0\n");
    }
    assert!(person.done(&with(&["events", "demo"])).contains("SchedulerReady"));
    assert!(person.done(&with(&["logs", "demo", "scheduler"])).contains("Scheduler at:"));
    let sized = person.done(&with(&["scale", "demo", "--min", "0", "--max", "2"]));
    assert!(sized.contains("as many as the work needs"), "{sized}");
    assert_eq!(person.done(&with(&["delete", "demo"])), "cluster demo deleted\n");
    assert_eq!(person.forwarders(), Vec::<PathBuf>::new());
}
