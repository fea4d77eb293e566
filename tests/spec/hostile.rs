//! Text that means harm is refused soon, and nothing panics.

use std::time::Duration;

use crewcall::spec::{
    ClusterName, ColorChoice, ComputeCluster, GroupName, LoadError, WorkerGroupSpec, load, to_yaml,
};
use proptest::prelude::*;

use crate::corpus::files;

const HEAD: &str = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n";

/// What this thread has spent on a processor. Loading never waits, so this is all of its cost,
/// and unlike a clock on the wall it does not count what else the machine is doing.
fn spent() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).unwrap()
}

/// The text is refused with at most two seconds of work, its messages rendered and all.
fn refused_soon(text: &str) -> (LoadError, String) {
    let start = spent();
    let error = load("hostile.yaml", text).unwrap_err();
    let shown = error.render(ColorChoice::Never, 100);
    let work = spent().checked_sub(start).unwrap();
    assert!(work < Duration::from_secs(2), "took {work:?}");
    assert!(shown.len() < 64 << 10, "{} bytes of messages", shown.len());
    (error, shown)
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|index| line(index) + "\n").collect()
}

#[test]
fn a_billion_laughs_are_refused() {
    let text = lines(30, |level| match level.checked_sub(1) {
        None => "a0: &a0 [lol, lol]".to_owned(),
        Some(above) => format!("a{level}: &a{level} [*a{above}, *a{above}, *a{above}, *a{above}]"),
    });
    let (_, shown) = refused_soon(&text);
    assert!(shown.contains("aliases are not supported: `*a0`"), "{shown}");
}

#[test]
fn a_text_of_ten_megabytes_is_not_even_parsed() {
    let (_, shown) = refused_soon(&"a: b\n".repeat(2 << 20));
    assert!(shown.contains("the document has 10485760 bytes; the most is 1048576"), "{shown}");
}

#[test]
fn nesting_has_an_end() {
    for open in ["[", "{a: ", "- ", "? "] {
        let (_, shown) = refused_soon(&open.repeat(10_000));
        assert!(
            shown.contains("nested more than 32 deep") || shown.contains("valid YAML"),
            "{open}: {shown}"
        );
    }
    let deep = lines(1_000, |level| format!("{}a:", " ".repeat(level)));
    let (_, shown) = refused_soon(&deep);
    assert!(shown.contains("nested more than 32 deep"), "{shown}");
}

#[test]
fn wide_maps_are_refused_wherever_they_stand() {
    let wide = |indent: &str, key: &str, value: &str, count: usize| {
        lines(count, |index| format!("{indent}{key}{index}: {value}"))
    };
    let (_, shown) = refused_soon(&wide("", "k", "v", 100_000));
    assert!(shown.contains("more than 50000 values"), "{shown}");
    let spec = format!("{HEAD}spec:\n  provider: {{local: {{}}}}\n");
    for (place, indent, value) in [
        ("", "  ", "v"),
        ("  env:\n", "    ", "v"),
        ("  env:\n", "    ", "1"),
        ("  workerGroups:\n", "    ", "{}"),
        ("  secretEnv:\n", "    ", "\"?\""),
        ("  workers:\n    resources:\n", "      ", "-1"),
        ("  engine:\n    dask:\n      config:\n", "        ", "yes"),
    ] {
        refused_soon(&format!("{spec}{place}{}", wide(indent, "key-", value, 24_000)));
    }
    let pods = format!("{HEAD}spec:\n  provider:\n    kubernetes:\n      pods:\n");
    let list = |key: &str, item: &str| format!("        {key}: [{}]\n", format!("{item}, ").repeat(8_000));
    let named = |key: &str| {
        let items = lines(4_500, |index| format!("          - {{name: n{index}, x: {{}}}}"));
        format!("        {key}:\n{items}")
    };
    for lists in [
        list("tolerations", "{key: a}"),
        list("imagePullSecrets", "{name: A}"),
        named("volumes"),
        named("volumeMounts"),
        format!("        podSpec:\n{}", named("  containers").replace('\n', "\n  ")),
    ] {
        let own = format!("  workers:\n    kubernetes:\n{lists}");
        let (_, shown) = refused_soon(&format!("{pods}{lists}{own}"));
        assert!(shown.contains("too many"), "{shown}");
    }
    refused_soon(&format!("{pods}        affinity:\n{}", wide("          ", "key-", "1", 24_000)));
    refused_soon(&format!("{spec}  environment: {{packages: [{}]}}\n", "\"\", ".repeat(24_000)));
    refused_soon(&format!("{spec}  env: {{{}}}\n", "A: 1, ".repeat(24_000)));
}

#[test]
fn one_endless_line_is_shown_in_part() {
    let long = "x".repeat(900_000);
    refused_soon(&long);
    refused_soon(&format!("{{\"{long}\": 1}}"));
    refused_soon(&format!("{HEAD}spec: {{provider: {{local: {{}}}}, env: {{A: {}}}}}", "1".repeat(900_000)));
    let (_, shown) = refused_soon(&format!("{HEAD}spec: {{{} provider: nowhere}}", " ".repeat(900_000)));
    assert!(shown.contains("provider: nowhere"), "{shown}");
}

#[test]
fn findings_are_many_but_not_endless() {
    let spec = format!("{HEAD}spec:\n  provider: {{local: {{}}}}\n  env:\n");
    let lines = lines(1_000, |index| format!("    K{index}: 1"));
    let (error, shown) = refused_soon(&format!("{spec}{lines}"));
    assert_eq!(error.diagnostics().len(), 50);
    assert!(shown.contains("50 errors or more"), "{shown}");
}

#[test]
fn what_ends_the_text_for_the_parser_hides_nothing() {
    let good = &files("good")["smallest"];
    for hidden in ["\0", "\u{feff}\0", "\u{1}", "\u{7f}", "\u{ffff}"] {
        let (error, _) = refused_soon(&format!("{good}{hidden}banana: 1\n"));
        assert!(error.diagnostics().iter().any(|diagnostic| diagnostic.message.contains("cannot stand")));
    }
}

/// Changes a text at a place: removes, doubles, or puts a piece in.
fn mutate(text: &str, edits: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, cut, piece) in edits {
        let start = at % (chars.len() + 1);
        let end = (start + cut).min(chars.len());
        chars.splice(start..end, piece.chars());
    }
    chars.into_iter().collect()
}

fn survives(text: &str) {
    match load("any.yaml", text) {
        Ok(document) => {
            let yaml = to_yaml(&document.cluster).unwrap();
            assert_eq!(
                load("again.yaml", &yaml).unwrap().cluster,
                document.cluster,
                "{text:?} became {yaml}"
            );
        }
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            assert!(!error.render(ColorChoice::Always, 80).is_empty());
        }
    }
}

/// Texts that a careless writer would get wrong.
fn odd_text() -> impl Strategy<Value = String> {
    let words = [
        "yes",
        "no",
        "on",
        "~",
        "null",
        "",
        "1",
        "1e3",
        "0x1f",
        "-",
        "- a",
        "a: b",
        "#",
        " x ",
        "true",
        "é\u{1f600}",
        "'",
        "\"",
        "\\",
        "a\nb\n",
        "%x",
        "{{x}}",
        "<<",
        "*a",
        "&a",
        "!t",
        ".inf",
        "012",
        "1_0",
        "a\tb",
        "\u{a0}x",
        "---",
        "...",
    ];
    prop_oneof![prop::sample::select(words.to_vec()).prop_map(str::to_owned), "[ -~\u{e9}]{0,20}"]
}

prop_compose! {
    fn document()(
        name in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?",
        env in prop::collection::btree_map("[A-Z_]{1,6}", odd_text(), 0..4),
        config in prop::collection::btree_map("[a-z]{1,4}\\.[a-z-]{1,4}", odd_text(), 0..3),
        number in any::<i64>(),
        float in prop::num::f64::NORMAL,
        replicas in prop::option::of(0u32..10_000),
        threads in prop::option::of(1u32..1024),
        millis in prop::option::of(1u32..u32::MAX),
        bytes in prop::option::of(128u64 << 20..1 << 60),
        resource in 0.0..1e12,
        seconds in prop::option::of(1u64..300_000_000),
        group in "[a-z]{1,6}",
        tls: bool,
    ) -> ComputeCluster {
        let mut cluster = load("base", &format!("{HEAD}spec: {{provider: {{kubernetes: {{}}}}}}")).unwrap().cluster;
        cluster.metadata.name = name.parse::<ClusterName>().unwrap();
        let spec = &mut cluster.spec;
        spec.env = env;
        spec.tls = tls;
        let crewcall::spec::EngineSpec::Dask(dask) = &mut spec.engine;
        dask.config = config.into_iter().map(|(key, text)| (key, text.into())).collect();
        dask.config.insert("a.int".to_owned(), number.into());
        dask.config.insert("a.float".to_owned(), float.into());
        spec.drain_grace = seconds.and_then(crewcall::spec::Span::from_seconds);
        let template = WorkerGroupSpec {
            replicas,
            threads,
            cpu: millis.and_then(crewcall::spec::Cpu::from_millis),
            memory: bytes.and_then(crewcall::spec::Memory::from_bytes),
            resources: [("R".to_owned(), resource)].into(),
            ..WorkerGroupSpec::default()
        };
        spec.worker_groups.insert(format!("g-{group}").parse::<GroupName>().unwrap(), template.clone());
        spec.workers = template;
        cluster
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_good_document_with_damage_never_panics(
        choice in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<usize>(), 0usize..12, "[ \\n\\t:{}\\[\\],&*!|>'\"%@#a-c0-9-]{0,4}"), 1..6),
    ) {
        let good = files("good");
        let texts: Vec<&String> = good.values().collect();
        survives(&mutate(texts[choice.index(texts.len())], &edits));
    }

    #[test]
    fn any_document_reads_back_as_it_was_written(cluster in document()) {
        let yaml = to_yaml(&cluster).unwrap();
        match load("written.yaml", &yaml) {
            Ok(document) => prop_assert_eq!(document.cluster, cluster, "{}", yaml),
            Err(error) => prop_assert!(false, "{}", error.render(ColorChoice::Never, 100)),
        }
    }
}
