//! Real Dask clusters on this machine, through the local provider.
#![cfg(all(feature = "local", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "conformance/observing.rs"]
mod observing;
#[path = "local/support.rs"]
mod support;

use crewcall::{
    model::{AnchorState, ClusterKey, NodeState, Observed},
    provider::{ErrorKind, Follow, LogRequest, Provider, Removal, Stop, local::LocalProvider},
    spec::EnvironmentSpec,
};
use futures_util::StreamExt as _;
use support::*;

#[tokio::test]
async fn a_cluster_is_made_computes_and_leaves_nothing() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(1));
    let provider = world.provider();
    let interpreter = world.prepare(&provider, None).await.unwrap();
    assert!(interpreter.versions.get("distributed").is_some(), "{interpreter:?}");

    let address = world.scheduler(&provider, &cluster).await;
    assert!(address.starts_with("tls://127.0.0.1:"), "{address}");
    let workers = (0..2).map(|slot| worker(&cluster, slot, &address, world.identity(&cluster))).collect();
    let request = nodes(&cluster, workers);
    assert!(provider.ensure_nodes(&request).await.unwrap().is_empty());
    world.client(
        &address,
        "client.wait_for_workers(2, timeout=30)\n\
         assert sum(client.gather(client.map(lambda x: x * x, range(100)))) == 328350\n\
         import os\n\
         seen = client.run(lambda: [os.environ.get(name) for name in ('MINE', 'OURS', 'OMP_NUM_THREADS')])\n\
         assert list(seen.values()) == [['caller', 'document', '1']] * 2, seen",
    );
    // Again, as after a crash of the controller: nothing more is started.
    assert!(provider.ensure_nodes(&request).await.unwrap().is_empty());
    let seen = provider.observe(&cluster).await.unwrap();
    assert_eq!(seen.anchor, AnchorState::Present);
    assert_eq!(seen.nodes.len(), 3);
    assert!(seen.nodes.iter().all(|node| node.state == NodeState::Running), "{seen:#?}");

    remove(&provider, &cluster).await;
    assert_eq!(provider.observe(&cluster).await.unwrap(), Observed::default());
    world.assert_nothing_left().await;
}

/// A cluster with its scheduler and so many workers, all registered.
async fn running(world: &World, provider: &LocalProvider, cluster: &ClusterKey, workers: u32) -> String {
    let address = world.scheduler(provider, cluster).await;
    let requests =
        (0..workers).map(|slot| worker(cluster, slot, &address, world.identity(cluster))).collect();
    assert!(provider.ensure_nodes(&nodes(cluster, requests)).await.unwrap().is_empty());
    world.client(&address, &format!("client.wait_for_workers({workers}, timeout=30)"));
    address
}

#[tokio::test]
async fn a_killed_worker_is_seen_with_its_signal_and_takes_the_processes_of_its_tasks_along() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(2));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 1).await;
    let pid_file = world.root.path().join("pid");
    world.client(
        &address,
        &format!(
            "import os, subprocess\n\
             def task(path=r'{0}'):\n\
             \x20   open(path, 'w').write(f'{{os.getpid()}} {{subprocess.Popen([\"sleep\", \"600\"]).pid}}')\n\
             client.submit(task).result()",
            pid_file.display()
        ),
    );
    let pids: Vec<i32> = read(&pid_file).split(' ').map(|pid| pid.parse().unwrap()).collect();
    let mut hints = provider.watch(&cluster);
    kill(pids[0], "KILL");
    hints.next().await.unwrap();
    let id = node(&cluster, "workers", 0);
    let seen = until(&provider, &cluster, "the worker has ended", |seen| {
        matches!(state_of(seen, &id), Some(NodeState::Ended(_)))
    })
    .await;
    let Some(NodeState::Ended(exit)) = state_of(&seen, &id) else { panic!("{seen:?}") };
    assert_eq!((exit.signal, exit.code), (Some(9), None));
    let ended = seen.nodes.iter().find(|node| node.id == id).unwrap();
    assert!(!ended.last_log.is_empty(), "{ended:?}");
    eventually("the task's process is gone", || !is_running(pids[1])).await;

    // Its name is never used again; it is shown until it is removed.
    let again = nodes(&cluster, vec![worker(&cluster, 0, &address, world.identity(&cluster))]);
    assert!(provider.ensure_nodes(&again).await.unwrap().is_empty());
    assert!(matches!(state_of(&provider.observe(&cluster).await.unwrap(), &id), Some(NodeState::Ended(_))));
    provider.remove_nodes(&cluster, &[id.name()], Stop::Now).await.unwrap();
    assert_eq!(state_of(&provider.observe(&cluster).await.unwrap(), &id), None);
    provider.ensure_nodes(&again).await.unwrap();
    assert_eq!(state_of(&provider.observe(&cluster).await.unwrap(), &id), None);
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_new_controller_adopts_a_cluster_even_without_its_socket() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(3));
    let before = world.provider();
    let address = running(&world, &before, &cluster, 1).await;
    let seen_before = until(&before, &cluster, "the dashboard is known", |seen| {
        seen.nodes.iter().any(|node| node.dashboard.is_some())
    })
    .await;
    drop(before);
    for entry in std::fs::read_dir(world.directories().runtime).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }

    let provider = world.provider();
    assert_eq!(provider.observe(&cluster).await.unwrap(), seen_before);
    provider.ensure_anchor(&world.anchor(&cluster)).await.unwrap();
    let more = with_launch(worker(&cluster, 1, &address, world.identity(&cluster)), |launch| {
        launch.secret_environment.insert("SECRET".to_owned(), "MINE".to_owned());
    });
    assert!(provider.ensure_nodes(&nodes(&cluster, vec![more])).await.unwrap().is_empty());
    world.client(
        &address,
        "client.wait_for_workers(2, timeout=30)\n\
         import os\n\
         assert 'caller' in client.run(lambda: os.environ.get('SECRET')).values()",
    );
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn nothing_outlives_a_killed_host_but_what_a_task_has_detached_and_that_is_swept() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(4));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 2).await;
    world.client(
        &address,
        "import subprocess\n\
         client.submit(lambda: subprocess.Popen(['sleep', '600'], start_new_session=True).pid).result()",
    );
    let listed = provider.list_managed().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0].cluster, listed[0].name.as_ref()), (&cluster.uid, Some(&cluster.name)));

    for host in world.hosts() {
        kill(host, "KILL");
    }
    eventually("only the detached process is left", || world.marked().len() == 1).await;
    assert_eq!(provider.observe(&cluster).await.unwrap(), Observed::default());

    let leftovers = provider.list_managed().await.unwrap();
    assert_eq!(leftovers.len(), 1, "{leftovers:?}");
    assert!(leftovers[0].description.starts_with("remains of"), "{leftovers:?}");
    provider.sweep(&leftovers[0]).await.unwrap();
    assert_eq!(provider.list_managed().await.unwrap(), []);
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn what_a_dead_host_left_is_gone_when_another_takes_its_place() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(14));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 1).await;
    let pid_file = world.root.path().join("pid");
    world.client(
        &address,
        &format!(
            "import subprocess\n\
             def task(path=r'{0}'):\n\
             \x20   open(path, 'w').write(str(subprocess.Popen(['sleep', '600'], start_new_session=True).pid))\n\
             client.submit(task).result()",
            pid_file.display()
        ),
    );
    let detached: i32 = read(&pid_file).parse().unwrap();
    let scratch = || {
        let entries = std::fs::read_dir(world.root.path().join("tmp")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("crewcall-")).count()
    };
    assert_eq!(scratch(), 1);
    let claimed = |path: &std::path::PathBuf| read(&path.join("host.json")).contains(cluster.uid.as_str());
    let before = world.host_directories().into_iter().find(claimed).unwrap();
    let record: serde_json::Value = serde_json::from_str(&read(&before.join("host.json"))).unwrap();
    kill(i32::try_from(record["process"]["pid"].as_i64().unwrap()).unwrap(), "KILL");
    until(&provider, &cluster, "the host is gone", |seen| *seen == Observed::default()).await;
    assert!(is_running(detached) && before.exists(), "there is something to remove");

    provider.ensure_anchor(&world.anchor(&cluster)).await.unwrap();
    assert!(!is_running(detached));
    assert_eq!(scratch(), 0);
    assert!(!before.exists());
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn two_controllers_that_make_one_cluster_at_once_make_one_host() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(5));
    let (one, other) = (world.provider(), world.provider());
    let request = world.anchor(&cluster);
    let (first, second) = tokio::join!(one.ensure_anchor(&request), other.ensure_anchor(&request));
    first.unwrap();
    second.unwrap();
    assert_eq!(one.list_managed().await.unwrap().len(), 1);
    remove(&one, &cluster).await;
    remove(&other, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_gently_hands_its_data_over_and_is_forgotten() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(6));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 2).await;
    world.client(
        &address,
        "data = client.scatter(list(range(20)))\n\
         client.publish_dataset(data=data)",
    );
    let id = node(&cluster, "workers", 0);
    provider
        .remove_nodes(&cluster, &[id.name()], Stop::Gently(std::time::Duration::from_secs(25)))
        .await
        .unwrap();
    until(&provider, &cluster, "the worker is gone", |seen| state_of(seen, &id).is_none()).await;
    world.client(&address, "assert client.gather(client.get_dataset('data')) == list(range(20))");
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn nodes_outlive_their_fork_server_and_more_can_be_started() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(7));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 1).await;
    let nodes_before = provider.observe(&cluster).await.unwrap();
    let fork_servers = world.fork_servers();
    // The cluster's and the next spare's.
    assert!((1..=2).contains(&fork_servers.len()), "{fork_servers:?}");
    for pid in &fork_servers {
        kill(*pid, "KILL");
    }
    // What a host hands to a fork server before it knows of its end, ends with it; here it knows.
    let reaped = |pid: &i32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
    eventually("the hosts have seen the end", || fork_servers.iter().all(reaped)).await;
    let more = worker(&cluster, 1, &address, world.identity(&cluster));
    assert!(provider.ensure_nodes(&nodes(&cluster, vec![more])).await.unwrap().is_empty());
    world.client(&address, "client.wait_for_workers(2, timeout=30)");
    let seen = provider.observe(&cluster).await.unwrap();
    assert!(
        nodes_before
            .nodes
            .iter()
            .all(|node| seen.nodes.iter().any(|now| now.id == node.id && now.is_alive()))
    );
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn an_interpreter_without_dask_is_refused_with_what_to_do() {
    let Some(python) = python() else { return };
    let world = World::new(python);
    let provider = world.provider();
    let bare = world.root.path().join("bare");
    let made =
        std::process::Command::new(&world.python).args(["-m", "venv", "--without-pip"]).arg(&bare).output();
    assert!(made.unwrap().status.success());
    // Relative paths are the document's folder's.
    let environment = Some(EnvironmentSpec::Interpreter("bare/bin/python".into()));
    let error = world.prepare(&provider, environment).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("bare/bin/python cannot run Dask"), "{error}");
    assert!(error.hint.unwrap().contains("dask[distributed]"));

    let environment = Some(EnvironmentSpec::Interpreter("nowhere/python".into()));
    let error = world.prepare(&provider, environment).await.unwrap_err();
    assert!(error.message.contains("nowhere/python does not exist"), "{error}");
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_secret_that_the_caller_lacks_is_named_before_anything_is_made() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(8));
    let provider = world.provider();
    let mut asked = document("demo");
    asked.spec.secret_env.insert("API_KEY".to_owned(), "MY_KEY".to_owned());
    let error = provider.prepare(&asked, &world.caller(), &|_| ()).await.unwrap_err();
    assert!(error.message.contains("MY_KEY"), "{error}");

    // Also when it comes with a later change of the document.
    let address = running(&world, &provider, &cluster, 1).await;
    let more = with_launch(worker(&cluster, 1, &address, world.identity(&cluster)), |launch| {
        launch.secret_environment.insert("API_KEY".to_owned(), "MY_KEY".to_owned());
    });
    let failures = provider.ensure_nodes(&nodes(&cluster, vec![more])).await.unwrap();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].error.message.contains("MY_KEY"), "{failures:?}");
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_node_and_readable_after_it() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(9));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 1).await;
    let name = node(&cluster, "workers", 0).name();
    let follow = LogRequest { tail: Some(0), follow: Follow::Yes };
    let mut log = provider.logs(&cluster, &name, follow).await.unwrap();
    world.client(&address, "client.submit(lambda: print('from a task', flush=True)).result()");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("from a task") {
        seen.extend(log.next().await.unwrap().unwrap());
    }
    provider.remove_nodes(&cluster, std::slice::from_ref(&name), Stop::Now).await.unwrap();
    while let Some(chunk) = log.next().await {
        chunk.unwrap();
    }
    let last = LogRequest { tail: Some(1), follow: Follow::No };
    let chunks: Vec<_> = provider.logs(&cluster, &name, last).await.unwrap().collect().await;
    let text: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(String::from_utf8_lossy(&text).lines().count(), 1);
    let logged = provider.logged_nodes(&cluster).await.unwrap();
    assert_eq!(logged, [node(&cluster, "scheduler", 0).name(), name]);
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn keys_are_in_no_file_no_argument_and_no_environment() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(10));
    let provider = world.provider();
    running(&world, &provider, &cluster, 1).await;
    let key = world.identity(&cluster).key.expose().lines().nth(1).unwrap().to_owned();
    let directories = world.directories();
    for directory in
        [directories.state, directories.cache, directories.runtime, world.root.path().join("tmp")]
    {
        let found =
            std::process::Command::new("grep").args(["-r", "-e", &key]).arg(&directory).output().unwrap();
        assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    }
    for pid in world.marked().into_iter().chain(world.hosts()) {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains(&key), "{file} of {pid}");
        }
    }
    assert_eq!(provider.remove_anchor(&cluster).await.unwrap(), Removal::Gone);
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_long_log_is_moved_aside_and_read_as_one() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(11));
    let provider = world.provider();
    let address = running(&world, &provider, &cluster, 1).await;
    let name = node(&cluster, "workers", 0).name();
    let line = "x".repeat(99);
    let lines = 120_000;
    world.client(
        &address,
        &format!("def chat():\n    for _ in range({lines}): print('{line}')\nclient.submit(chat).result()"),
    );
    let log = world.directories().state.join(format!("clusters/demo/logs/{name}.log"));
    let moved = world.directories().state.join(format!("clusters/demo/logs/{name}.log.1"));
    eventually("the log is moved aside", || moved.exists() && read(&log).len() < 1 << 20).await;
    world.client(&address, "client.submit(lambda: print('afterwards', flush=True)).result()");
    eventually("the worker goes on writing", || read(&log).contains("afterwards")).await;

    let all = LogRequest { tail: None, follow: Follow::No };
    let chunks: Vec<_> = provider.logs(&cluster, &name, all).await.unwrap().collect().await;
    let text: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.lines().filter(|found| *found == line).count(), lines);
    assert!(text.contains("afterwards"));
    let tail = LogRequest { tail: Some(1000), follow: Follow::No };
    let chunks: Vec<_> = provider.logs(&cluster, &name, tail).await.unwrap().collect().await;
    let text: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(String::from_utf8_lossy(&text).lines().count(), 1000);
    remove(&provider, &cluster).await;
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn an_environment_is_built_once_and_one_that_cannot_be_built_leaves_nothing() {
    let Some(python) = python() else { return };
    let mut world = World::new(python);
    let wheels = world.root.path().join("wheels");
    // The smallest thing that pip installs; nothing is downloaded.
    let script = format!(
        "import os, zipfile\n\
         os.makedirs({wheels:?})\n\
         info = 'tiny-1.0.dist-info/'\n\
         with zipfile.ZipFile({wheels:?} + '/tiny-1.0-py3-none-any.whl', 'w') as wheel:\n\
         \x20   wheel.writestr('tiny.py', '')\n\
         \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n\
         \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n\
         \x20   wheel.writestr(info + 'RECORD', '')"
    );
    let made = std::process::Command::new(&world.python).args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    world.variables.insert("PIP_NO_INDEX".to_owned(), "1".to_owned());
    world.variables.insert("PIP_FIND_LINKS".to_owned(), wheels.display().to_string());
    let (one, other) = (world.provider(), world.provider());
    let environments = world.directories().cache.join("environments");
    let built = || -> Vec<String> {
        let names = std::fs::read_dir(&environments).unwrap().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.into_string().ok()).filter(|name| !name.contains(".lock")).collect()
    };

    let missing = Some(EnvironmentSpec::Packages(vec!["nosuch==1.0".to_owned()]));
    let error = world.prepare(&one, missing).await.unwrap_err();
    assert!(error.message.contains("No matching distribution found for nosuch"), "{error}");
    assert_eq!(built(), Vec::<String>::new());

    let tiny = Some(EnvironmentSpec::Packages(vec!["tiny".to_owned()]));
    let (first, second) = tokio::join!(world.prepare(&one, tiny.clone()), world.prepare(&other, tiny));
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(error.message.contains("cannot run Dask"), "{error}");
    }
    let built = built();
    assert_eq!(built.len(), 1);
    assert!(environments.join(&built[0]).join(".complete").exists());
    world.assert_nothing_left().await;
}
