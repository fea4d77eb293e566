//! Programs that are run for what they do.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt as _, process::Command};

/// A program failed.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {problem}")]
pub struct CommandError {
    /// What was run.
    pub command: String,
    /// What it said.
    pub problem: String,
}

/// Runs a program to its end.
pub(super) async fn run(command: &[&str]) -> Result<(), CommandError> {
    feed(command, "").await
}

/// Runs a program that reads this.
pub(super) async fn feed(command: &[&str], input: &str) -> Result<(), CommandError> {
    let failed = |problem: String| CommandError { command: command.join(" "), problem };
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why itself.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let done = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if done.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}
