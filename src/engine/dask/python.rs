//! The Python side, carried in the binary.

/// File names and contents of the scripts; they import each other, so they must lie side by side.
pub const SCRIPTS: [(&str, &str); 2] =
    [(FORK_SERVER, include_str!("python/crewcall_fork_server.py")), (PRELOAD, PRELOAD_TEXT)];

/// File name of the fork server among [`SCRIPTS`].
pub const FORK_SERVER: &str = "crewcall_fork_server.py";

/// File name of the preload of schedulers and workers.
pub const PRELOAD: &str = "crewcall_preload.py";

/// The environment variable with the address of a scheduler that the preload is to wait for.
pub const AWAIT: &str = "CREWCALL_AWAIT";

/// The preload itself.
pub const PRELOAD_TEXT: &str = include_str!("python/crewcall_preload.py");
