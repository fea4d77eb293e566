//! The dashboard's connections: plain HTTP from the browser, TLS to the scheduler.

use std::{fs, io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    request::{DashboardAccess, TlsFiles},
    request_head::{LONGEST_HEAD, Verdict, judge},
};
use crate::{
    model::ClusterUid,
    security::{CertificateRole, Identity, PrivateKeyPem, client_config, server_name},
};

/// Reads the first request of a browser; `None`: it went away, or was refused.
pub async fn read_head(browser: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        match judge(&head) {
            Verdict::Pass => return Some(head),
            Verdict::Incomplete => {}
            Verdict::Foreign => {
                tracing::warn!("refused the dashboard to a page of another site");
                refuse(browser, "403 Forbidden", "this page may not look at the dashboard\n").await;
                return None;
            }
            Verdict::Malformed => {
                refuse(browser, "400 Bad Request", "this is no request that a dashboard could answer\n")
                    .await;
                return None;
            }
        }
        let room = u64::try_from(LONGEST_HEAD.saturating_sub(head.len())).unwrap_or(0);
        match (&mut *browser).take(room).read_buf(&mut head).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Tells a browser what is wrong, and ends the connection.
pub async fn refuse(browser: &mut TcpStream, status: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // Who has gone needs no answer.
    let _gone = browser.write_all(answer.as_bytes()).await;
    let _gone = browser.shutdown().await;
}

/// Carries a browser's connection, the beginning of which was read already, over `tunnel`, which ends where the
/// dashboard listens.
///
/// # Errors
/// When the dashboard cannot be spoken to; the browser was told nothing.
pub async fn carry(
    browser: &mut TcpStream,
    head: &[u8],
    mut tunnel: impl AsyncRead + AsyncWrite + Unpin,
    access: &DashboardAccess,
    cluster: &ClusterUid,
) -> Result<(), String> {
    match access {
        DashboardAccess::Plain => join(browser, head, &mut tunnel).await,
        DashboardAccess::Tls(files) => {
            let (settings, name) = settings(files, cluster)?;
            let connected = TlsConnector::from(settings).connect(name, tunnel).await;
            let mut connected = connected.map_err(|error| {
                format!("the dashboard of the scheduler does not speak TLS with us: {error}")
            })?;
            join(browser, head, &mut connected).await;
        }
    }
    Ok(())
}

async fn join(browser: &mut TcpStream, head: &[u8], dashboard: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let carried = async {
        dashboard.write_all(head).await?;
        copy_bidirectional(browser, dashboard).await
    };
    // How a page's connection ends is no matter: browsers make another.
    if let Err(error) = carried.await {
        tracing::debug!(%error, "a connection to the dashboard ended");
    }
}

/// What is shown to the cluster's scheduler, and which name it must prove.
pub fn settings(
    files: &TlsFiles,
    cluster: &ClusterUid,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let read = |path: &std::path::Path| {
        fs::read_to_string(path)
            .map_err(|error: io::Error| format!("cannot read {}: {error}", path.display()))
    };
    let identity = Identity {
        ca: read(&files.ca)?,
        cert: read(&files.cert)?,
        key: PrivateKeyPem::new(read(&files.key)?),
    };
    let config = client_config(&identity).map_err(|error| error.to_string())?;
    let name = server_name(CertificateRole::Scheduler, cluster).map_err(|error| error.to_string())?;
    Ok((config, name))
}
