//! Programs that are told what to do by one line, and answer by one when they are up.

use std::{io, process::Stdio, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

/// How long the exit status of a program that has closed its output may take.
const STATUS: Duration = Duration::from_secs(5);

/// Why a program did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended; how.
    #[error("it ended before it listened ({0})")]
    Ended(String),
    /// It may yet come up.
    #[error("it did not listen within {} s of its start", .0.as_secs())]
    Silent(Duration),
}

/// Starts a program, tells it `start`, and returns the line that it answers within `bound`. It goes on then by itself,
/// without pipes to here.
pub async fn start(
    command: &mut Command,
    start: &impl Serialize,
    bound: Duration,
) -> Result<String, StartError> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // Whenever it ends, it must not stay as a zombie.
    let ended = tokio::spawn(async move { child.wait().await });
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::Error::other("it has no pipes").into());
    };
    let exchange = async {
        let mut line = serde_json::to_vec(start).map_err(io::Error::other)?;
        line.push(b'\n');
        // One that ended before it read says why on the other pipe, or by its exit status.
        if let Err(error) = stdin.write_all(&line).await
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        io::Result::Ok(line)
    };
    let line = timeout(bound, exchange).await.map_err(|_| StartError::Silent(bound))??;
    if line.is_empty() {
        let how = match timeout(STATUS, ended).await {
            Ok(Ok(Ok(status))) => status.to_string(),
            _ => "no exit status".to_owned(),
        };
        return Err(StartError::Ended(how));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str, bound: Duration) -> Result<String, String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        start(&mut command, &"begin", bound).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_program_is_told_a_line_and_answers_one() {
        let answer = told("read line; echo \"told $line\"; exec sleep 1", Duration::from_secs(20)).await;
        assert_eq!(answer, Ok("told \"begin\"\n".to_owned()));
    }

    #[tokio::test]
    async fn why_a_program_did_not_come_up_is_said() {
        let ended = told("exit 3", Duration::from_secs(20)).await;
        assert_eq!(ended, Err("it ended before it listened (exit status: 3)".to_owned()));
        let silent = told("exec sleep 2", Duration::from_secs(1)).await;
        assert_eq!(silent, Err("it did not listen within 1 s of its start".to_owned()));
        let missing = start(&mut Command::new("/nowhere/program"), &"begin", STATUS).await.unwrap_err();
        assert!(missing.to_string().starts_with("No such file"), "{missing}");
    }
}
