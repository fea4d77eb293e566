//! How a client finds the controller, and has one started when there is none.

use std::{cmp::Ordering, path::Path, time::Duration};

use tokio::time::Instant;

use super::{
    ConnectError, Launcher,
    launch::{SHOWN_LINES, START_BOUND, Started},
    version,
};
use crate::{
    api::{
        ApiClient, ApiError, ErrorCode, Hello, PROTOCOL,
        connection::{Ask, Connection},
    },
    controller::process::{Locations, ProcessIdentity, last_lines},
    provider::{boot_id, machine_id},
    store::{ControllerInfo, ControllerLock},
};

/// How long a controller may take to say who it is.
const HELLO_BOUND: Duration = Duration::from_secs(10);

/// How long a controller may take to make its socket anew.
const SOCKET_BOUND: Duration = Duration::from_secs(5);

/// How long a controller may take to end.
const STOP_BOUND: Duration = Duration::from_secs(15);

/// How often something of another process is looked at for which no event can be had: its end,
/// and what it publishes. Portable, and short of what a person notices.
const LOOK: Duration = Duration::from_millis(10);

/// What is known of the controller.
enum Found {
    /// It answers.
    Answering(ApiClient),
    /// There is none that could.
    Nothing,
    /// It is on its way, or on its way out.
    Moving(String),
}

/// The controller of these locations; `None` when there is none. Of whatever version it is: only
/// its status, and its end, can be asked of one whose [`Hello::protocol`] differs from [`PROTOCOL`].
pub async fn connect(locations: &Locations) -> Result<Option<ApiClient>, ConnectError> {
    let begun = Instant::now();
    loop {
        match find(locations).await? {
            Found::Answering(client) => return Ok(Some(client)),
            Found::Nothing => return Ok(None),
            Found::Moving(last_seen) => give_up_after(begun, last_seen, locations)?,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The controller of these locations, as new as the launcher's at least; started when there is none.
pub async fn connect_or_start(locations: &Locations, launcher: &Launcher) -> Result<ApiClient, ConnectError> {
    let begun = Instant::now();
    loop {
        let last_seen = match find(locations).await? {
            Found::Answering(client) => match judge(client.hello(), launcher)? {
                Fit::Usable => return Ok(client),
                Fit::Outdated => {
                    client.stop().await.map_err(ConnectError::NotReplaced)?;
                    continue;
                }
            },
            Found::Moving(last_seen) => last_seen,
            Found::Nothing => match launcher.start(locations).await? {
                Started::Ready => "one that was ready, and is not any more".to_owned(),
                Started::Taken => "another process that has the controller's lock and has not said where it \
                                   can be reached"
                    .to_owned(),
            },
        };
        give_up_after(begun, last_seen, locations)?;
        tokio::time::sleep(LOOK).await;
    }
}

fn give_up_after(begun: Instant, last_seen: String, locations: &Locations) -> Result<(), ConnectError> {
    if begun.elapsed() < START_BOUND {
        return Ok(());
    }
    Err(ConnectError::NotReady {
        seconds: START_BOUND.as_secs(),
        last_seen,
        log: last_lines(&locations.log(), 0, SHOWN_LINES),
    })
}

/// Whether a client can work with a controller.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Usable,
    Outdated,
}

fn judge(hello: &Hello, launcher: &Launcher) -> Result<Fit, ConnectError> {
    match version::compare(&hello.version, &launcher.version) {
        Ordering::Equal | Ordering::Greater if hello.protocol == PROTOCOL => Ok(Fit::Usable),
        // Of one version there are two protocols only while it is being developed.
        Ordering::Less | Ordering::Equal => Ok(Fit::Outdated),
        Ordering::Greater => {
            Err(ConnectError::Newer { controller: hello.version.clone(), program: launcher.version.clone() })
        }
    }
}

async fn find(locations: &Locations) -> Result<Found, ConnectError> {
    let Some(info) = ControllerLock::read_info(locations.state(), &machine_id()) else {
        return Ok(Found::Nothing);
    };
    let failure = match hello(&info.socket).await {
        Ok(hello) => return Ok(Found::Answering(ApiClient::new(info.socket, hello))),
        Err(failure) => failure,
    };
    let process = ProcessIdentity { pid: info.pid, start_time: info.start_time };
    if boot_id().is_ok_and(|boot| boot != info.boot) || !process.is_alive() {
        return Ok(Found::Nothing);
    }
    match failure.code {
        // Its socket may have vanished, with the directory or alone.
        ErrorCode::Unreachable if Connection::open(&info.socket).await.is_err() => {
            reopened(locations, &info, process, failure).await
        }
        ErrorCode::Unreachable => Ok(Found::Moving("one that was ending".to_owned())),
        _ => Err(silent(&info, &failure, locations)),
    }
}

fn silent(info: &ControllerInfo, failure: &ApiError, locations: &Locations) -> ConnectError {
    let log = last_lines(&locations.log(), 0, SHOWN_LINES);
    ConnectError::Silent { pid: info.pid, cause: failure.message.clone(), log }
}

/// Has a controller make its socket anew.
async fn reopened(
    locations: &Locations,
    info: &ControllerInfo,
    process: ProcessIdentity,
    failure: ApiError,
) -> Result<Found, ConnectError> {
    if let Err(error) = process.hang_up() {
        return if process.is_alive() {
            let failure = ApiError { message: format!("{failure}; cannot signal it: {error}"), ..failure };
            Err(silent(info, &failure, locations))
        } else {
            Ok(Found::Nothing)
        };
    }
    let begun = Instant::now();
    while begun.elapsed() < SOCKET_BOUND {
        tokio::time::sleep(LOOK).await;
        if !process.is_alive() {
            return Ok(Found::Nothing);
        }
        let socket = ControllerLock::read_info(locations.state(), &machine_id())
            .map_or_else(|| info.socket.clone(), |info| info.socket);
        if let Ok(hello) = hello(&socket).await {
            return Ok(Found::Answering(ApiClient::new(socket, hello)));
        }
    }
    Err(silent(info, &failure, locations))
}

async fn hello(socket: &Path) -> Result<Hello, ApiError> {
    Connection::open(socket).await?.fetch(&Ask::get("/v1/status"), HELLO_BOUND).await
}

/// Ends the controller that listens at `socket` if it is the expected one, and waits until its
/// process is gone.
pub(in crate::api) async fn stop(socket: &Path, expected: &Hello) -> Result<(), ApiError> {
    let process = ProcessIdentity::of(expected.pid);
    match ask_to_stop(socket, expected).await {
        Ok(()) => {}
        // It may have ended for another reason, or another client may have asked.
        Err(error) if error.code == ErrorCode::Unreachable => {
            tracing::debug!("the controller did not hear that it should end: {error}");
        }
        Err(error) => return Err(error),
    }
    let begun = Instant::now();
    while process.is_some_and(ProcessIdentity::is_alive) {
        if begun.elapsed() > STOP_BOUND {
            let message = format!(
                "the controller (process {}) was asked to end, and is still there after {} s",
                expected.pid,
                STOP_BOUND.as_secs()
            );
            return Err(ApiError::new(ErrorCode::Timeout, message)
                .with_hint(format!("`kill -9 {}` ends it; clusters live on", expected.pid)));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn ask_to_stop(socket: &Path, expected: &Hello) -> Result<(), ApiError> {
    let mut connection = Connection::open(socket).await?;
    // Over one connection it is one process that answers.
    let found: Hello = connection.fetch(&Ask::get("/v1/status"), HELLO_BOUND).await?;
    if found.pid == expected.pid {
        let (): () = connection.fetch(&Ask::post("/v1/stop", &())?, HELLO_BOUND).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: &str, protocol: u32) -> Result<Fit, ConnectError> {
        let launcher = Launcher {
            program: "crewcall".into(),
            arguments: Vec::new(),
            environment: std::collections::BTreeMap::new(),
            version: "1.2.3".to_owned(),
        };
        judge(&Hello { version: version.to_owned(), protocol, pid: 1 }, &launcher)
    }

    #[test]
    fn an_older_controller_is_replaced_whatever_it_speaks() {
        assert_eq!(judged("1.2.2", PROTOCOL).unwrap(), Fit::Outdated);
        assert_eq!(judged("0.9.0", PROTOCOL + 1).unwrap(), Fit::Outdated);
    }

    #[test]
    fn a_newer_controller_is_used_while_it_speaks_the_same() {
        assert_eq!(judged("1.3.0", PROTOCOL).unwrap(), Fit::Usable);
        let error = judged("1.3.0", PROTOCOL + 1).unwrap_err();
        assert!(error.to_string().contains("1.3.0") && error.to_string().contains("1.2.3"), "{error}");
        assert!(error.hint().unwrap().starts_with("use crewcall 1.3.0"));
    }
}
