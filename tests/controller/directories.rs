//! Directories that cannot be used, and who may not connect.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
};

use super::support::{Home, controllers, eventually};

const NOBODY: u32 = 65_534;

async fn refused(home: &Home) -> (String, String) {
    let error = home.try_start().await.unwrap_err();
    let directory = home.path("");
    eventually("its end", || async { controllers(&directory).is_empty() }).await;
    (error.to_string(), error.hint().unwrap_or_default())
}

#[tokio::test]
async fn a_state_directory_of_somebody_else_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path("state")).unwrap();
    if chown(home.path("state"), Some(NOBODY), None).is_err() {
        eprintln!("SKIPPED: only root can make a directory of somebody else");
        return;
    }
    let (message, hint) = refused(&home).await;
    assert!(message.starts_with("the controller cannot run: cannot "), "{message}");
    assert!(message.contains(home.path("state").to_str().unwrap()), "{message}");
    assert!(hint.contains("CREWCALL_STATE_DIR"), "{hint}");
    assert_eq!(fs::read_dir(home.path("state")).unwrap().count(), 0, "nothing was made there");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_refused() {
    let home = Home::new();
    fs::write(home.path("file"), "").unwrap();
    let home = Home::with(home, "CREWCALL_STATE_DIR", "/dev/null/state");
    let (message, hint) = refused(&home).await;
    assert!(message.contains("/dev/null/state"), "{message}");
    assert!(hint.contains("CREWCALL_STATE_DIR"), "{hint}");
}

#[tokio::test]
async fn a_runtime_directory_that_others_may_enter_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path("run")).unwrap();
    fs::set_permissions(home.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let (message, hint) = refused(&home).await;
    assert!(message.contains("others may enter it (mode 755; it must be 700)"), "{message}");
    assert!(hint.contains("CREWCALL_RUNTIME_DIR"), "{hint}");
}

#[tokio::test]
async fn a_runtime_directory_with_a_path_too_long_for_sockets_works_all_the_same() {
    let home = Home::new();
    let long = home.path(&"x".repeat(120));
    let temporary = home.path("t");
    fs::create_dir(&temporary).unwrap();
    let home = home.with("CREWCALL_RUNTIME_DIR", &long).with("TMPDIR", &temporary);
    let status = home.start().await.status().await.unwrap();
    assert!(status.socket.starts_with(&temporary), "{}", status.socket.display());
    assert!(status.socket.as_os_str().len() < 108);
}

#[tokio::test]
async fn another_user_who_reaches_the_socket_is_not_answered() {
    let home = Home::new();
    let client = home.start().await;
    let status = client.status().await.unwrap();
    // What protects the socket in the file system is taken away.
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&home.path(""), 0o755);
    open(&status.runtime_directory, 0o755);
    open(&status.socket, 0o666);
    let ask = format!(
        "import os, socket, sys\nif int(sys.argv[1]): os.setuid({NOBODY})\n\
         s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect({:?})\n\
         try:\n    s.sendall(b'GET /v1/status HTTP/1.1\\r\\nhost: c\\r\\n\\r\\n')\n    print(s.recv(12))\n\
         except (ConnectionError, BrokenPipeError):\n    print(b'')",
        status.socket
    );
    let asked_as = |other: &str| {
        let output = Command::new("python3").args(["-c", &ask, other]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(asked_as("0"), "b'HTTP/1.1 200'");
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can ask as somebody else");
        return;
    }
    assert_eq!(asked_as("1"), "b''");
}
