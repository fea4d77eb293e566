//! AWS' program for sessions of Systems Manager, which people install themselves.

use std::{env::split_paths, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::{
    model::{CallerEnvironment, ErrorKind},
    provider::ProviderError,
};

/// Its name.
pub const PLUGIN: &str = "session-manager-plugin";

/// Where to get it.
const HINT: &str = "install it, version 1.2.536 or newer: \
                    https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html";

/// The program on a caller's path.
///
/// # Errors
/// It is not there; with where to get it.
pub fn plugin(environment: &CallerEnvironment) -> Result<PathBuf, ProviderError> {
    let path = environment.0.get("PATH").map(String::as_str).unwrap_or_default();
    let mut all = split_paths(path).filter(|directory| directory.is_absolute());
    let found = all.find_map(|directory| Some(directory.join(PLUGIN)).filter(|path| is_program(path)));
    found.ok_or_else(|| {
        let message = format!("AWS' program {PLUGIN}, through which clients come, is not on the PATH");
        ProviderError::new(ErrorKind::Invalid, message).with_hint(HINT)
    })
}

fn is_program(path: &std::path::Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What of a caller's environment the calls to AWS and the program need. Held in memory only.
pub fn kept(environment: &CallerEnvironment) -> CallerEnvironment {
    let needed = |name: &str| {
        name.starts_with("AWS_")
            || ["HOME", "PATH"].contains(&name)
            || ["http_proxy", "https_proxy", "no_proxy"].contains(&name.to_ascii_lowercase().as_str())
    };
    let all = environment.0.iter().filter(|(name, _)| needed(name));
    CallerEnvironment(all.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_on_the_callers_path_or_it_is_said_where_to_get_it() {
        let directory = tempfile::tempdir().unwrap();
        let with = |path: &str| CallerEnvironment([("PATH".to_owned(), path.to_owned())].into());
        let caller = with(&format!("/nowhere:{}", directory.path().display()));
        let error = plugin(&caller).unwrap_err();
        assert!(error.message.contains(PLUGIN) && error.hint.unwrap().contains("install"));
        let file = directory.path().join(PLUGIN);
        std::fs::write(&file, "").unwrap();
        assert!(plugin(&caller).is_err(), "a file that cannot be run");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(plugin(&caller).unwrap(), file);
        assert!(plugin(&with("")).is_err());
    }

    #[test]
    fn of_the_callers_environment_only_what_aws_needs_is_kept() {
        let all = ["AWS_PROFILE", "PATH", "HTTPS_PROXY", "SECRET", "LD_PRELOAD"];
        let all = CallerEnvironment(all.map(|name| (name.to_owned(), "x".to_owned())).into());
        assert_eq!(kept(&all).0.into_keys().collect::<Vec<_>>(), ["AWS_PROFILE", "HTTPS_PROXY", "PATH"]);
    }
}
