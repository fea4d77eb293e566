//! Programs that a kubeconfig names for credentials, such as `aws eks get-token`, and what they need of the caller.

use std::collections::{BTreeMap, HashMap};

use kube::{client::AuthError, config::Config};

use crate::model::CallerEnvironment;

/// Longest part of what a program has said that is repeated, in characters.
const LONGEST: usize = 600;

/// The program that a connection's credentials come from; `None` where it needs none.
pub fn program(config: &Config) -> Option<&str> {
    config.auth_info.exec.as_ref()?.command.as_deref()
}

/// Has that program run with these variables too. Those that the kubeconfig sets have the last word.
pub fn lend(config: &mut Config, environment: &CallerEnvironment) {
    let Some(exec) = &mut config.auth_info.exec else { return };
    let entry = |(name, value): (&String, &String)| {
        HashMap::from([("name".to_owned(), name.clone()), ("value".to_owned(), value.clone())])
    };
    let mut all: Vec<_> = environment.0.iter().map(entry).collect();
    all.extend(exec.env.take().unwrap_or_default());
    exec.env = Some(all);
}

/// Why there are no credentials: what program failed, and what it said of that.
pub fn failure(error: &AuthError, program: Option<&str>) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let said = last_words(&String::from_utf8_lossy(&out.stderr));
            let program = program.unwrap_or(cmd);
            if said.is_empty() {
                format!(
                    "the program {program}, which the kubeconfig names, failed with {} and said nothing",
                    out.status
                )
            } else {
                format!(
                    "the program {program}, which the kubeconfig names, failed with {}: {said}",
                    out.status
                )
            }
        }
        AuthError::AuthExecStart(cause) => {
            let program = program.unwrap_or("for credentials");
            format!("the program {program}, which the kubeconfig names, cannot be run: {cause}")
        }
        AuthError::AuthExecParse(cause) => {
            let program = program.unwrap_or("for credentials");
            format!("the program {program}, which the kubeconfig names, printed no credentials: {cause}")
        }
        other => other.to_string(),
    }
}

/// The end of a longer speech.
fn last_words(text: &str) -> String {
    let text = text.trim();
    let surplus = text.chars().count().saturating_sub(LONGEST);
    let end: String = text.chars().skip(surplus).collect();
    if surplus > 0 { format!("…{end}") } else { end }
}

/// Variables of a caller that are worth keeping for such programs.
pub fn kept(environment: &CallerEnvironment) -> CallerEnvironment {
    let own: BTreeMap<String, String> = environment
        .0
        .iter()
        // Of one shell and one moment, or what changes how programs are loaded.
        .filter(|(name, _)| {
            !matches!(name.as_str(), "_" | "PWD" | "OLDPWD" | "SHLVL") && !name.starts_with("LD_")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    CallerEnvironment(own)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{ExitStatus, Output},
    };

    use super::*;

    #[test]
    fn a_program_that_fails_is_named_with_its_last_words() {
        let out = Output {
            status: ExitStatus::from_raw(255 << 8),
            stdout: Vec::new(),
            stderr: b"\nThe config profile (team) could not be found\n".to_vec(),
        };
        let error = AuthError::AuthExecRun { cmd: "aws".to_owned(), out: Box::new(out) };
        assert_eq!(
            failure(&error, None),
            "the program aws, which the kubeconfig names, failed with exit status: 255: \
             The config profile (team) could not be found"
        );
    }

    #[test]
    fn what_a_program_needs_of_the_caller_does_not_include_how_programs_are_loaded() {
        let all =
            ["AWS_PROFILE", "PATH", "LD_PRELOAD", "SHLVL"].map(|name| (name.to_owned(), "x".to_owned()));
        let kept = kept(&CallerEnvironment(all.into()));
        assert_eq!(kept.0.keys().map(String::as_str).collect::<Vec<_>>(), ["AWS_PROFILE", "PATH"]);
    }
}
