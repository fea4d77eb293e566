//! Where the controller of a person keeps its files on this machine.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::runtime::{self, Candidate};
use crate::provider::Directories;

/// Where durable state is, unless the XDG directories say so.
pub(super) const STATE: &str = "CREWCALL_STATE_DIR";
/// Where sockets are.
pub(super) const RUNTIME: &str = "CREWCALL_RUNTIME_DIR";
/// Where things are that can be made again.
pub(super) const CACHE: &str = "CREWCALL_CACHE_DIR";

/// The directories of one controller, each absolute. Nothing of it needs to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    state: PathBuf,
    cache: PathBuf,
    /// Whether the runtime directory was asked for by its own variable.
    asked: Option<PathBuf>,
    /// Where the runtime directory may be, best first.
    candidates: Vec<Candidate>,
}

impl Locations {
    /// From environment variables: `CREWCALL_STATE_DIR`, `CREWCALL_RUNTIME_DIR` and
    /// `CREWCALL_CACHE_DIR`, else the XDG base directories with `crewcall` below them, else
    /// `~/.local/state/crewcall`, a private directory below `TMPDIR`, and `~/.cache/crewcall`.
    ///
    /// Our own variables may be relative to the working directory; the XDG variables are ignored
    /// when they are relative, as their specification demands.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, LocationError> {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let own = |name: &'static str| {
            let absolute = |path: PathBuf| {
                std::path::absolute(&path).map_err(|error| LocationError::NotAbsolute {
                    variable: name,
                    path,
                    cause: error.to_string(),
                })
            };
            variable(name).map(absolute).transpose()
        };
        let base = |name: &str| variable(name).filter(|path| path.is_absolute());
        let home = base("HOME");
        let below = |name: &'static str, xdg: &str, fallback: &str| {
            let standard = || base(xdg).or_else(|| home.as_ref().map(|home| home.join(fallback)));
            own(name)?
                .or_else(|| standard().map(|base| base.join("crewcall")))
                .ok_or(LocationError::NoHome { variable: name })
        };
        let state = below(STATE, "XDG_STATE_HOME", ".local/state")?;
        let cache = below(CACHE, "XDG_CACHE_HOME", ".cache")?;
        let asked = own(RUNTIME)?;
        let temporary = base("TMPDIR").into_iter().chain([PathBuf::from("/tmp")]);
        let candidates =
            runtime::candidates(asked.clone(), base("XDG_RUNTIME_DIR"), temporary, &fingerprint(&state));
        Ok(Self { state, cache, asked, candidates })
    }

    /// From the environment variables of this process.
    pub fn of_this_process() -> Result<Self, LocationError> {
        Self::from_environment(|name| std::env::var_os(name))
    }

    /// Where durable state is.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where things are that can be made again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The controller's log.
    pub fn log(&self) -> PathBuf {
        self.state.join("controller.log")
    }

    /// Makes the runtime directory if need be: ours alone, and short enough for sockets.
    ///
    /// It may be another one than last time, when that is gone for good: a logout removes
    /// `XDG_RUNTIME_DIR`.
    pub fn make_runtime(&self) -> Result<PathBuf, LocationError> {
        runtime::first_usable(&self.candidates)
    }

    /// Where a runtime directory would be, without making it; for people.
    pub fn likely_runtime(&self) -> Option<&Path> {
        runtime::likely(&self.candidates)
    }

    /// The controller's socket in a runtime directory. Controllers of several state directories
    /// may share one.
    pub fn socket(&self, runtime: &Path) -> PathBuf {
        runtime.join(format!("c-{}.sock", fingerprint(&self.state)))
    }

    /// What a provider needs to know.
    pub fn directories(&self, runtime: PathBuf) -> Directories {
        Directories { state: self.state.clone(), runtime, cache: self.cache.clone() }
    }

    /// The environment variables that make another process, wherever it runs, come to the same
    /// locations.
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let fixed = [(STATE, self.state.clone()), (CACHE, self.cache.clone())];
        fixed.into_iter().chain(self.asked.clone().map(|path| (RUNTIME, path))).collect()
    }
}

/// Eight hexadecimal digits that tell state directories apart.
fn fingerprint(state: &Path) -> String {
    let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
    let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{number:08x}")
}

/// A directory that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing says where it should be.
    #[error("neither {variable} nor HOME says where crewcall may keep its files")]
    NoHome {
        /// The variable that would say so.
        variable: &'static str,
    },
    /// A relative path in a working directory that is not there.
    #[error("cannot make {} absolute, which {variable} names: {cause}", path.display())]
    NotAbsolute {
        /// Which variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What the operating system said.
        cause: String,
    },
    /// No place for sockets.
    #[error("there is no usable directory for sockets: {}", .tried.join("; "))]
    NoRuntime {
        /// What was tried, and what was wrong with it.
        tried: Vec<String>,
    },
    /// A file that says something about this machine or person.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried: `read`, `write`, …
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        cause: String,
    },
}

impl LocationError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome { variable } => Some(format!("set {variable} to a directory of your own")),
            Self::NotAbsolute { variable, .. } => Some(format!("set {variable} to an absolute path")),
            Self::NoRuntime { .. } => {
                Some(format!("set {RUNTIME} to a short path that only you can write to"))
            }
            Self::Io { .. } => None,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { doing, path, cause: error.to_string() }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Locations, LocationError> {
        let variables: BTreeMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        Locations::from_environment(|name| variables.get(name).cloned())
    }

    #[test]
    fn without_any_variable_but_home_the_usual_places_are_taken() {
        let locations = of(&[("HOME", "/home/ada")]).unwrap();
        assert_eq!(locations.state(), Path::new("/home/ada/.local/state/crewcall"));
        assert_eq!(locations.cache(), Path::new("/home/ada/.cache/crewcall"));
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(locations.likely_runtime(), Some(Path::new(&format!("/tmp/crewcall-{uid}"))));
    }

    #[test]
    fn own_variables_go_before_those_of_xdg_and_both_before_home() {
        let xdg = [
            ("HOME", "/home/ada"),
            ("XDG_STATE_HOME", "/x/state"),
            ("XDG_CACHE_HOME", "/x/cache"),
            ("XDG_RUNTIME_DIR", "/x/run"),
        ];
        let locations = of(&xdg).unwrap();
        assert_eq!(locations.state(), Path::new("/x/state/crewcall"));
        assert_eq!(locations.cache(), Path::new("/x/cache/crewcall"));
        let own = [(STATE, "/o/state"), (CACHE, "/o/cache"), (RUNTIME, "/o/run")];
        let locations = of(&[&xdg[..], &own[..]].concat()).unwrap();
        assert_eq!(locations.state(), Path::new("/o/state"));
        assert_eq!(locations.cache(), Path::new("/o/cache"));
        assert_eq!(locations.likely_runtime(), Some(Path::new("/o/run")));
        let told: Vec<_> = locations.variables();
        assert_eq!(
            told,
            [(STATE, "/o/state".into()), (CACHE, "/o/cache".into()), (RUNTIME, "/o/run".into())]
        );
    }

    #[test]
    fn a_relative_path_is_refused_from_xdg_and_made_absolute_from_our_own_variable() {
        let locations = of(&[("HOME", "/h"), ("XDG_STATE_HOME", "state"), (CACHE, "cache")]).unwrap();
        assert_eq!(locations.state(), Path::new("/h/.local/state/crewcall"));
        assert_eq!(locations.cache(), std::env::current_dir().unwrap().join("cache"));
    }

    #[test]
    fn without_a_home_the_error_names_the_variable_to_set() {
        let error = of(&[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "neither CREWCALL_STATE_DIR nor HOME says where crewcall may keep its files"
        );
        assert_eq!(error.hint().unwrap(), "set CREWCALL_STATE_DIR to a directory of your own");
    }

    #[test]
    fn another_process_comes_to_the_same_locations() {
        let caller = of(&[("HOME", "/home/ada"), (STATE, "somewhere"), ("TMPDIR", "/var/tmp")]).unwrap();
        let mut told: Vec<(&str, String)> = vec![("HOME", "/home/ada".into()), ("TMPDIR", "/var/tmp".into())];
        told.extend(caller.variables().into_iter().map(|(name, path)| (name, path.display().to_string())));
        let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let child = of(&told).unwrap();
        assert_eq!((child.state(), child.cache()), (caller.state(), caller.cache()));
        assert_eq!(child.likely_runtime(), caller.likely_runtime());
    }
}
