//! `ec2-double`: an EC2 endpoint for tests. Without `--image` its instances are imagined.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use clap::Parser;
use ec2_double::{
    hosts::{Keeper, Lab, Network, serve_metadata},
    server::{Double, HostKeeper},
    state::{Cloud, Hosts, Settings},
};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// An EC2 endpoint for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to answer; port 0 for any, which is printed.
    #[arg(long, default_value = "127.0.0.1:5055")]
    listen: SocketAddr,
    /// The root directory of a machine image: instances really boot it. Needs root.
    #[arg(long, requires = "state")]
    image: Option<PathBuf>,
    /// A directory for disks and consoles of hosts.
    #[arg(long)]
    state: Option<PathBuf>,
    /// The same seed and the same calls give the same ids.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut ended = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let lab = arguments.image.clone().zip(arguments.state.clone()).map(|(image, state)| Lab {
        state,
        image,
        network: Network::default(),
    });
    if let Some(lab) = &lab {
        lab.network.create().await?;
    }
    let network = lab.as_ref().map(|lab| lab.network.clone());
    let keeper = lab.map(Keeper::new);
    let hosts = if keeper.is_some() { Hosts::Real } else { Hosts::Imagined };
    let listener = TcpListener::bind(arguments.listen).await?;
    let channels = format!("ws://{}", listener.local_addr()?);
    let settings = Settings { hosts, channels, ..Settings::default() };
    let now = present();
    let cloud = Cloud::new(settings, arguments.seed, now);
    let double = Double::new(cloud, now, keeper.clone().map(|keeper| keeper as Arc<dyn HostKeeper>));
    println!("http://{}", listener.local_addr()?);
    let mut tasks = vec![tokio::spawn(Arc::clone(&double).serve(listener))];
    if let Some(network) = &network {
        let metadata = TcpListener::bind((Ipv4Addr::new(169, 254, 169, 254), 80)).await?;
        tasks.push(tokio::spawn(serve_metadata(Arc::clone(&double), metadata)));
        // The same double for hosts, whatever address the others have.
        let inside = SocketAddr::from((network.gateway, arguments.listen.port()));
        if inside != arguments.listen && !arguments.listen.ip().is_unspecified() {
            let listener = TcpListener::bind(inside).await?;
            println!("http://{}", listener.local_addr()?);
            tasks.push(tokio::spawn(Arc::clone(&double).serve(listener)));
        }
    }
    tokio::select! {
        _ = ended.recv() => {}
        _ = interrupted.recv() => {}
    }
    if let Some(keeper) = keeper {
        keeper.end().await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    if let Some(network) = network {
        network.remove().await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
fn present() -> Timestamp {
    Timestamp::now()
}
