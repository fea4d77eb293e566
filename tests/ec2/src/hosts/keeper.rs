//! Who boots and ends hosts: one task for each, which does one thing after the other.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    net::TcpStream,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    process::Child,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use super::{command::feed, firewall, machine::Machine, network, network::Network};
use crate::{
    server::{Double, HostKeeper},
    state::Effect,
};

/// What systemd-nspawn ends with when its host wants to boot again.
const REBOOT: i32 = 133;

/// Where hosts live.
#[derive(Debug, Clone)]
pub struct Lab {
    /// What is only there while the double runs.
    pub state: PathBuf,
    /// The root directory of the machine image.
    pub image: PathBuf,
    /// The bridge.
    pub network: Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Boot,
    Reboot,
    End,
    Kill,
    Forget,
}

/// Keeps the hosts of a lab.
pub struct Keeper {
    lab: Lab,
    hosts: Mutex<BTreeMap<String, Host>>,
    /// How many of the next boots come to nothing.
    broken: Mutex<u32>,
    /// The rules that are in force.
    rules: Arc<tokio::sync::Mutex<BTreeMap<String, String>>>,
}

struct Host {
    orders: UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// A keeper of no host.
    pub fn new(lab: Lab) -> Arc<Self> {
        let rules = Arc::new(tokio::sync::Mutex::new(BTreeMap::new()));
        Arc::new(Self { lab, hosts: Mutex::new(BTreeMap::new()), broken: Mutex::new(0), rules })
    }

    fn order(&self, double: &Arc<Double>, id: &str, order: Order) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(id.to_owned()).or_insert_with(|| {
            let (orders, received) = unbounded_channel();
            let machine = Machine::new(&self.lab, id);
            let life = Life {
                id: id.to_owned(),
                machine,
                double: Arc::downgrade(double),
                rules: Arc::clone(&self.rules),
            };
            Host { orders, task: tokio::spawn(life.live(received)) }
        });
        // The task of a host that is forgotten has ended, and has nothing more to do.
        let _ = host.orders.send(order);
    }

    /// Ends every host, and returns when nothing is left of them.
    pub async fn end(&self) {
        let hosts = std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner));
        for host in hosts.values() {
            let _ = host.orders.send(Order::End);
            let _ = host.orders.send(Order::Forget);
        }
        for host in hosts.into_values() {
            // A task that panicked has said so.
            let _ = host.task.await;
        }
    }
}

impl HostKeeper for Keeper {
    fn bring_about(&self, double: &Arc<Double>, effect: Effect) {
        match effect {
            Effect::Boot(id) => {
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                if *broken > 0 {
                    *broken -= 1;
                    let console = Machine::new(&self.lab, &id).console();
                    let _ = console.parent().map(fs::create_dir_all);
                    let _ = fs::write(console, "Kernel panic - not syncing: VFS: Unable to mount root fs\n");
                    // Running, as far as EC2 can tell.
                    let double = Arc::clone(double);
                    tokio::spawn(async move { double.with(|cloud, _| cloud.host_runs(&id)) });
                    return;
                }
                self.order(double, &id, Order::Boot);
            }
            Effect::Reboot(id) => self.order(double, &id, Order::Reboot),
            Effect::End(id) => self.order(double, &id, Order::End),
            Effect::Forget(id) => self.order(double, &id, Order::Forget),
            Effect::Rules => {
                let (double, rules) = (Arc::clone(double), Arc::clone(&self.rules));
                tokio::spawn(async move { enforce(&double, &rules).await });
            }
        }
    }

    fn console(&self, instance: &str) -> Option<Vec<u8>> {
        fs::read(Machine::new(&self.lab, instance).console()).ok()
    }

    fn kill(&self, double: &Arc<Double>, instance: &str) {
        self.order(double, instance, Order::Kill);
    }

    fn connect(&self, instance: &str, port: u16) -> io::Result<TcpStream> {
        network::connect(instance, port)
    }

    fn break_boots(&self, times: u32) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }
}

/// Puts the security groups into force on every host that has a namespace.
async fn enforce(double: &Arc<Double>, in_force: &tokio::sync::Mutex<BTreeMap<String, String>>) {
    let mut in_force = in_force.lock().await;
    let wanted: Vec<_> = double.with(|cloud, _| {
        let known = cloud.instances().filter(|instance| in_force.contains_key(&instance.id));
        known.map(|instance| (instance.id.clone(), firewall::rules(cloud, instance))).collect()
    });
    for (id, text) in wanted {
        if in_force.get(&id) == Some(&text) {
            continue;
        }
        match feed(&["ip", "netns", "exec", &id, "iptables-restore", "--wait"], &text).await {
            Ok(()) => drop(in_force.insert(id, text)),
            Err(error) => eprintln!("{id}: security groups: {error}"),
        }
    }
}

/// The task of one host.
struct Life {
    id: String,
    machine: Machine,
    double: Weak<Double>,
    rules: Arc<tokio::sync::Mutex<BTreeMap<String, String>>>,
}

impl Life {
    async fn live(self, mut orders: UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Boot => self.run(&mut orders).await,
                // Not booted: there is nothing to be done but to say so.
                Order::End | Order::Kill => self.tell_ended(),
                Order::Reboot => {}
                Order::Forget => {
                    self.machine.forget();
                    return;
                }
            }
        }
    }

    /// From boot to power-off, as often as it boots again.
    async fn run(&self, orders: &mut UnboundedReceiver<Order>) {
        loop {
            let again = match self.boot().await {
                Ok(child) => self.attend(child, orders).await,
                Err(problem) => {
                    self.say(&format!("the host was not booted: {problem}\n"));
                    self.unplug().await;
                    if let Some(double) = self.double.upgrade() {
                        double.with(|cloud, _| cloud.host_failed(&self.id));
                    }
                    return;
                }
            };
            self.unplug().await;
            if !again {
                self.tell_ended();
                return;
            }
        }
    }

    async fn boot(&self) -> Result<Child, String> {
        let double = self.double.upgrade().ok_or("the double has ended")?;
        let instance =
            double.with(|cloud, _| cloud.instance(&self.id).cloned()).ok_or("there is no such instance")?;
        let child = self.machine.boot(&instance).await.map_err(|error| error.to_string())?;
        self.rules.lock().await.insert(self.id.clone(), String::new());
        enforce(&double, &self.rules).await;
        double.with(|cloud, _| cloud.host_runs(&self.id));
        Ok(child)
    }

    /// Until it ends; whether it wants to boot again.
    async fn attend(&self, mut child: Child, orders: &mut UnboundedReceiver<Order>) -> bool {
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return ended.is_ok_and(|status| status.code() == Some(REBOOT));
                }
                order = orders.recv() => match order {
                    Some(Order::Kill) => {
                        self.machine.kill(&child);
                        // Reaped, whatever it ended with.
                        let _ = child.wait().await;
                        return false;
                    }
                    Some(Order::Reboot) => {
                        let _ = self.machine.power_off(&mut child).await;
                        return true;
                    }
                    Some(Order::Boot) => {}
                    Some(Order::End | Order::Forget) | None => {
                        let _ = self.machine.power_off(&mut child).await;
                        return false;
                    }
                },
            }
        }
    }

    async fn unplug(&self) {
        self.rules.lock().await.remove(&self.id);
        self.machine.unplug().await;
    }

    fn tell_ended(&self) {
        if let Some(double) = self.double.upgrade() {
            double.with(|cloud, _| cloud.host_ended(&self.id));
        }
    }

    fn say(&self, text: &str) {
        eprint!("{}: {text}", self.id);
        let console = self.machine.console();
        let _ = console.parent().map(fs::create_dir_all);
        if let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(console) {
            // The message above has it too.
            let _ = file.write_all(text.as_bytes());
        }
    }
}
