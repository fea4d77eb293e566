//! Which installation this is: what is in a shared namespace or account is told apart by it.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::{model::ErrorKind, provider::ProviderError};

/// The file below the state directory.
const FILE: &str = "installation";

/// The id of the installation whose state is below `state`: a UUID, made at the first call.
pub fn installation(state: &Path) -> Result<String, ProviderError> {
    let path = state.join(FILE);
    let failed = |error: &io::Error| {
        ProviderError::new(
            ErrorKind::Unknown,
            format!("cannot tell this installation from others: {}: {error}", path.display()),
        )
    };
    match read(&path) {
        Ok(Some(id)) => return Ok(id),
        Ok(None) => {}
        Err(error) => return Err(failed(&error)),
    }
    make(state, &path).map_err(|error| failed(&error))?;
    // Somebody else may have been first.
    match read(&path) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(failed(&io::Error::other("the file holds no id"))),
        Err(error) => Err(failed(&error)),
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let id = text.trim().to_owned();
            Ok(uuid::Uuid::parse_str(&id).is_ok().then_some(id))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new id, unless there is one already.
fn make(state: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(state)?;
    let whole = state.join(format!(".{FILE}-{}", uuid::Uuid::new_v4()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&whole)?;
    writeln!(file, "{}", uuid::Uuid::new_v4())?;
    file.sync_all()?;
    // A link fails where the name is taken; a rename would not.
    let linked = match fs::hard_link(&whole, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&whole)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_keeps_its_id_and_shares_it_with_none() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = installation(one.path()).unwrap();
        assert_eq!(installation(one.path()).unwrap(), id);
        assert_ne!(installation(other.path()).unwrap(), id);
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_damaged_file_is_said_and_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), "x").unwrap();
        assert!(installation(state.path()).unwrap_err().message.contains("holds no id"));
    }
}
