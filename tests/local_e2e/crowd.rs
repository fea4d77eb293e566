//! Many at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use crate::{
    clients::computes,
    harness::{is_long, start, with_home},
};

/// Commands at once: each waits for its cluster.
const AT_ONCE: usize = 10;

#[test]
fn many_clusters_at_once_come_and_go() {
    with_home(|home| {
        let count = if is_long() { 50 } else { 12 };
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return;
                        }
                        home.create(&format!("c{index}"), "workers: {replicas: 1, memory: 512MiB}");
                    }
                });
            }
        });
        let created = begun.elapsed();
        let listed = home.ok(&["list", "-o", "name"]);
        assert_eq!(listed.lines().count(), count, "{listed}");
        computes(home, "c0", 1);
        computes(home, &format!("c{}", count - 1), 1);
        let begun = Instant::now();
        home.ok(&["delete", "--all"]);
        eprintln!(
            "{count} clusters: created in {:.1} s, deleted in {:.1} s",
            created.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
    });
}

#[test]
fn twenty_commands_that_race_for_one_name_make_one_cluster() {
    with_home(|home| {
        let document = home.document("demo", "workers: {replicas: 1, memory: 512MiB}");
        let racing: Vec<_> =
            (0..20).map(|_| start(home.crewcall(&["create", "-f", document.to_str().unwrap()]))).collect();
        for racer in racing {
            let printed = racer.end().ok();
            assert!(printed.contains("Cluster demo is ready: 1 worker"), "{printed}");
        }
        let events = home.ok(&["events", "demo"]);
        assert_eq!(events.matches("  Created  ").count(), 1, "{events}");
        home.host_of("demo");
        assert_eq!(home.view("demo")["generation"], 1);
        computes(home, "demo", 1);
    });
}
