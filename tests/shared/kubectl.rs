//! `kubectl` in one namespace of the Kubernetes that tests may use.

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, ExitStatus, Output, Stdio},
};

/// `kubectl`, that of `CREWCALL_TEST_KUBECTL` if it is set.
pub struct Kubectl {
    pub kubeconfig: PathBuf,
    pub namespace: String,
}

/// What it said.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Kubectl {
    /// Runs it with this text on its standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Said {
        let program = env::var_os("CREWCALL_TEST_KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut child = Command::new(program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { status, out: text(stdout), err: text(stderr) }
    }

    /// What it printed; it has to succeed.
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        let said = self.run(arguments, input);
        assert!(said.ok(), "kubectl {}: {}", arguments.join(" "), said.err);
        said.out
    }
}

impl Said {
    /// Whether it did what it was asked.
    pub fn ok(&self) -> bool {
        self.status.success()
    }
}
