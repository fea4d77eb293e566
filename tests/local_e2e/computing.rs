//! Computations, from the clients that people use.

use crate::harness::{Home, run, with_home};

const WORKERS: &str = "workers: {replicas: 2, memory: 1GiB}";

/// One of each of Dask's interfaces.
const EVERYTHING: &str = "
import dask, dask.array as da, dask.bag as db
from dask.distributed import Client
client = Client()
x = da.ones((400, 400), chunks=(100, 100))
assert (x + x.T).sum().compute() == 320000.0
bag = db.from_sequence(range(100), npartitions=7).filter(lambda n: n % 2).map(lambda n: n * n)
assert bag.sum().compute() == 166650
@dask.delayed
def add(a, b): return a + b
assert add(add(1, 2), add(3, 4)).compute() == 10
assert client.submit(sum, client.map(lambda n: n * n, range(50))).result() == 40425
assert len(client.scheduler_info()['workers']) == 2
print('computed', client.scheduler.address)
";

#[test]
fn arrays_bags_delayed_and_futures_compute_through_every_way_to_connect() {
    with_home(|home| {
        let printed = home.create("demo", WORKERS);
        let endpoint = printed.lines().find_map(|line| line.strip_prefix("endpoint")).unwrap().trim();
        assert!(endpoint.starts_with("tls://127.0.0.1:"), "{printed}");
        assert!(printed.contains("dashboard  http://127.0.0.1:"), "{printed}");

        assert_eq!(home.python("demo", EVERYTHING).trim(), format!("computed {endpoint}"));
        assert_eq!(with_variables_of_env(home).trim(), format!("computed {endpoint}"));
        assert_eq!(with_the_printed_endpoint(home, endpoint).trim(), format!("computed {endpoint}"));
        assert!(home.python("demo", &dashboard(&printed)).starts_with("200"), "the dashboard answers");
    });
}

/// A shell that does as the documentation says, and nothing else of ours on its path.
fn with_variables_of_env(home: &Home) -> String {
    let script = home.write("everything.py", EVERYTHING);
    let mut shell = home.program("/bin/bash");
    let line = format!(
        "eval \"$({} env demo --shell bash)\" && {} {}",
        env!("CARGO_BIN_EXE_crewcall"),
        home.interpreter().display(),
        script.display()
    );
    shell.args(["-ec", &line]);
    run(shell).ok()
}

fn with_the_printed_endpoint(home: &Home, endpoint: &str) -> String {
    let files = &home.view("demo")["client"];
    let client = format!(
        "Client({endpoint:?}, security=Security(tls_ca_file={}, tls_client_cert={}, tls_client_key={}, \
         require_encryption=True))",
        files["ca"], files["cert"], files["key"]
    );
    let script = EVERYTHING
        .replace("Client()", &client)
        .replace("import Client", "import Client; from distributed import Security");
    let mut python = home.program(home.interpreter());
    python.args(["-c", &script]);
    run(python).ok()
}

fn dashboard(printed: &str) -> String {
    let line = printed.lines().find_map(|line| line.strip_prefix("dashboard")).unwrap();
    // What follows the address says when it does not answer yet.
    let address = line.split_whitespace().next().unwrap();
    format!(
        "
import time, urllib.request, urllib.error
for attempt in range(300):
    try:
        print(urllib.request.urlopen({address:?}).status)
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
"
    )
}

#[test]
fn a_function_of_a_module_beside_the_script_and_a_relative_path_work_and_files_get_the_callers_modes() {
    with_home(|home| {
        home.write("helper.py", "def doubled(n):\n    return 2 * n\n");
        home.write("data/numbers.txt", "1 2 3\n");
        home.create("demo", WORKERS);
        let script = "
import os
from dask.distributed import Client
import helper
client = Client()
read = lambda path: [int(n) for n in open(path).read().split()]
assert client.gather(client.map(helper.doubled, range(4))) == [0, 2, 4, 6]
print(client.submit(read, 'data/numbers.txt').result())

def write(path):
    with open(path, 'w') as file:
        file.write('done')
    return oct(os.stat(path).st_mode)

assert client.submit(write, 'data/theirs').result() == write('data/mine')
";
        let path = home.write("analysis.py", script);
        let mut command = home.crewcall(&["run", "demo", "--"]);
        command.arg(home.interpreter()).arg(path.file_name().unwrap());
        assert_eq!(run(command).ok().trim(), "[1, 2, 3]");
    });
}

#[test]
fn the_memory_limit_and_the_threads_of_the_document_are_those_of_the_workers() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 1, threads: 3, memory: 512MiB, resources: {GPU: 2}}");
        let script = "
from dask.distributed import Client
workers = Client().scheduler_info()['workers'].values()
print([(w['nthreads'], w['memory_limit'], w['resources']) for w in workers])
";
        assert_eq!(home.python("demo", script).trim(), "[(3, 536870912, {'GPU': 2.0})]");
    });
}
