//! What it costs a command to read, where there are many clusters.

use std::time::{Duration, Instant};

use crewcall::{
    api::Clusters as _,
    controller::{ClusterSummary, Listed},
    model::{BootId, MachineId},
};

use super::support::Home;

const CLUSTERS: usize = 1000;
const RUNS: u32 = 20;

/// What a command may take of its own, in a release build.
const GOAL: Duration = Duration::from_millis(20);

async fn crowded(clusters: usize) -> Home {
    let home = Home::new();
    let names = (0..clusters).map(|number| format!("cluster-{number}"));
    // Another machine's are shown and not run, which is all that matters here.
    home.records(names, &MachineId::new("another"), &BootId::new("b")).await;
    home
}

#[tokio::test]
async fn a_summary_is_the_part_of_the_list_that_a_table_shows() {
    let home = crowded(3).await;
    std::fs::write(home.path("state/clusters/cluster-1/record.json"), "{").unwrap();
    let client = home.start().await;
    let shown = client.list().await.unwrap().into_iter().map(|listed| match listed {
        Listed::Cluster(view) => Listed::Cluster(Box::new(ClusterSummary::from(&*view))),
        Listed::Unreadable { name, problem } => Listed::Unreadable { name, problem },
    });
    let summaries = client.summaries().await.unwrap();
    assert_eq!(summaries, shown.collect::<Vec<_>>());
    assert_eq!(summaries.len(), 3);
    assert!(matches!(&summaries[2], Listed::Unreadable { name, .. } if name == "cluster-1"), "{summaries:?}");
}

/// Processor time of the children that were waited for.
fn childrens_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // cutime and cstime of proc_pid_stat(5), in hundredths of a second.
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release --test controller_process reading -- --ignored --nocapture"]
async fn reading_costs_a_command_little_among_a_thousand_clusters() {
    let home = crowded(CLUSTERS).await;
    let _client = home.start().await;
    for words in [&["list"][..], &["list", "-o", "name"], &["get", "cluster-500"], &["list", "-o", "json"]] {
        let (mut walls, before) = (Vec::new(), childrens_time());
        for _ in 0..RUNS {
            let begun = Instant::now();
            let output = home.command(words).output().unwrap();
            walls.push(begun.elapsed());
            assert!(output.status.success(), "{output:?}");
            let lines = String::from_utf8_lossy(&output.stdout).lines().count();
            assert!(lines >= if words[0] == "list" { CLUSTERS } else { 2 }, "{lines} lines");
        }
        walls.sort_unstable();
        let own = childrens_time().saturating_sub(before) / RUNS;
        println!(
            "crewcall {}, {CLUSTERS} clusters: {own:?} of its own, {:?} by the clock (median of {RUNS})",
            words.join(" "),
            walls[walls.len() / 2],
        );
        if cfg!(not(debug_assertions)) && !words.contains(&"json") {
            assert!(own <= GOAL, "{words:?} took {own:?} of its own; the goal is {GOAL:?}");
        }
    }
}
