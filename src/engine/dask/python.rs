//! The Python side, carried in the binary.

/// File names and contents of the scripts; they import each other, so they must lie side by side.
pub const SCRIPTS: [(&str, &str); 2] = [
    (FORK_SERVER, include_str!("python/crewcall_fork_server.py")),
    ("crewcall_preload.py", include_str!("python/crewcall_preload.py")),
];

/// File name of the fork server among [`SCRIPTS`].
pub const FORK_SERVER: &str = "crewcall_fork_server.py";
