//! The dashboard of a cluster on EC2, here.

use std::time::Duration;

use crate::{
    harness::{kill_9, run, until},
    world::{World, with_world},
};

/// Looks at a dashboard as a browser does: pages, and the web socket of a plot.
const LOOK: &str = "
import asyncio, re, sys, urllib.request
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
base = sys.argv[1].removesuffix('/status')
def page(path):
    with urllib.request.urlopen(base + path, timeout=30) as answer:
        return answer.status, answer.read().decode()
assert page('/health') == (200, 'ok')
status, workers = page('/info/main/workers.html')
assert status == 200 and 'demo-workers-' in workers, workers
status, plots = page('/status')
assert status == 200, plots
token = re.search(r'\"token\":\"([^\"]+)\"', plots)[1]
async def first_message():
    request = HTTPRequest(base.replace('http', 'ws') + '/status/ws', headers={'Origin': base})
    socket = await websocket_connect(request, subprotocols=['bokeh', token])
    return await socket.read_message()
assert 'ACK' in asyncio.run(asyncio.wait_for(first_message(), 30))
print('seen')
";

/// Asks a machine for a page without any certificate, with TLS and without.
const INTRUDE: &str = "
import http.client, ssl, sys
host = sys.argv[1]
context = ssl._create_unverified_context()
for port in (8786, 8787):
    for connect in (
        lambda: http.client.HTTPConnection(host, port, timeout=3),
        lambda: http.client.HTTPSConnection(host, port, timeout=3, context=context),
    ):
        try:
            connection = connect()
            connection.request('GET', '/health')
            print('answered', port, connection.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            print('nothing', port, type(error).__name__)
";

impl World<'_> {
    /// Runs a script with one argument, and returns what it prints.
    fn script(&self, script: &str, argument: &str) -> String {
        let mut program = self.home.program(self.home.interpreter());
        program.args(["-c", script, argument]);
        run(program).ok()
    }
}

/// The processes of a test that are forwarders.
fn forwarders(world: &World<'_>) -> Vec<i32> {
    let all = world.home.processes().into_iter();
    all.filter(|(_, command)| command.contains("__forwarder")).map(|(pid, _)| pid).collect()
}

#[test]
fn the_dashboard_comes_through_the_schedulers_one_port_and_goes_with_the_cluster() {
    with_world(|world| {
        let home = world.home;
        let said = world.create(1);
        let link = home.ok(&["dashboard", "demo", "--print"]).trim().to_owned();
        assert!(link.starts_with("http://127.0.0.1:") && link.ends_with("/status"), "{link}");
        assert!(said.contains(&link), "{said}");
        assert_eq!(world.script(LOOK, &link).trim(), "seen");

        let endpoint = home.view("demo")["endpoint"].as_str().unwrap().to_owned();
        let machine = endpoint.trim_start_matches("tls://").trim_end_matches(":8786");
        let heard = world.script(INTRUDE, machine);
        assert_eq!(heard.lines().filter(|line| line.starts_with("nothing 878")).count(), 4, "{heard}");

        let before = forwarders(world);
        assert_eq!(before.len(), 1, "{before:?}");
        kill_9(home.controller().unwrap());
        assert_eq!(world.script(LOOK, &link).trim(), "seen", "without a controller");
        // The next one finds it.
        assert_eq!(home.ok(&["dashboard", "demo", "--print"]).trim(), link);
        assert_eq!(forwarders(world), before);

        home.ok(&["delete", "demo"]);
        let port: u16 = link.split([':', '/']).nth(4).and_then(|port| port.parse().ok()).unwrap();
        until("the end of the forwarder", || forwarders(world).is_empty().then_some(()));
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        std::net::TcpStream::connect_timeout(&local, Duration::from_secs(5)).unwrap_err();
    });
}
