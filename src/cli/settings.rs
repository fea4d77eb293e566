//! The file with a person's own defaults.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::CliError;

/// What the file may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who looks after clusters where neither `--context` nor `CREWCALL_CONTEXT` says so: `local`, or `kube:NAME`.
    #[serde(default)]
    pub context: Option<String>,
}

impl Settings {
    /// Those of this person: `$XDG_CONFIG_HOME/crewcall/config.yaml`, else `~/.config/crewcall/config.yaml`. A file
    /// that is not there says nothing.
    pub fn of_this_person() -> Result<Self, CliError> {
        path(|name| std::env::var_os(name)).map_or_else(|| Ok(Self::default()), |path| Self::read(&path))
    }

    fn read(path: &Path) -> Result<Self, CliError> {
        let unusable = |cause: String| CliError::Usage {
            message: format!("cannot use {}: {cause}", path.display()),
            hint: Some("it may say `context: local` or `context: kube:NAME`, and nothing else".to_owned()),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(unusable(error.to_string())),
        };
        let read: Option<Self> = serde_yaml::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        let settings = read.unwrap_or_default();
        match settings.context.as_deref() {
            // Documents for this machine and for Kubernetes both go to the controller here: a default for the
            // one would be in the way of the other.
            Some(other) if other != "local" && !other.starts_with("kube:") => {
                Err(unusable(format!("the context {other} is neither `local` nor `kube:NAME`")))
            }
            _ => Ok(settings),
        }
    }
}

/// Where the file is.
fn path(lookup: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let base = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = base("XDG_CONFIG_HOME").or_else(|| Some(base("HOME")?.join(".config")))?;
    Some(folder.join("crewcall/config.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        Settings::read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
    }

    #[test]
    fn the_file_names_a_context_or_nothing() {
        let context = |name: &str| Settings { context: Some(name.to_owned()) };
        assert_eq!(read("context: kube:prod\n"), Ok(context("kube:prod")));
        assert_eq!(read("context: local\n"), Ok(context("local")));
        assert_eq!(read("# nothing yet\n"), Ok(Settings::default()));
        assert_eq!(Settings::read(Path::new("/nowhere/config.yaml")).unwrap(), Settings::default());
    }

    #[test]
    fn what_it_may_not_say_is_refused() {
        assert!(read("contexts: kube:prod\n").unwrap_err().contains("contexts"));
        let error = read("context: prod\n").unwrap_err();
        assert_eq!(error, "cannot use FILE: the context prod is neither `local` nor `kube:NAME`");
    }

    #[test]
    fn it_is_where_such_files_are() {
        let variables = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let found = path(variables(&[("HOME", "/home/ada")])).unwrap();
        assert_eq!(found, Path::new("/home/ada/.config/crewcall/config.yaml"));
        let found = path(variables(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "/etc/ada")])).unwrap();
        assert_eq!(found, Path::new("/etc/ada/crewcall/config.yaml"));
    }
}
