//! Any text is either refused with a message, or reads back as it is written.
//!
//! How to run it: CONTRIBUTING.md.

#![no_main]

use crewcall::spec::{ColorChoice, load, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match load("fuzz.yaml", text) {
        Err(error) => assert!(!error.render(ColorChoice::Never, 80).is_empty()),
        Ok(document) => {
            let yaml = to_yaml(&document.cluster).expect("an accepted document can be written");
            let again = load("again.yaml", &yaml).expect("what is written is accepted");
            assert_eq!(again.cluster, document.cluster);
        }
    }
});
