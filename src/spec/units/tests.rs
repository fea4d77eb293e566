//! What all quantities promise.

use proptest::prelude::*;

use super::{
    Cpu, Memory, Quantity, Span, UnitError,
    cpu::CPU_PATTERN,
    memory::MEMORY_PATTERN,
    quantity::{Flaw, MAX_TEXT},
    resource::QUANTITY_PATTERN,
    span::SPAN_PATTERN,
};

/// Text that matches the pattern, which says `\s` where it means blanks.
fn matching(pattern: &str) -> impl Strategy<Value = String> + use<> {
    let pattern = pattern.trim_matches(['^', '$']).replace(r"\s*", " {0,2}").replace("]+", "]{1,5}");
    proptest::string::string_regex(&pattern).unwrap()
}

/// Whether the pattern's text may only be refused for its size.
fn read_or_size<T>(read: Result<T, UnitError>) -> bool {
    read.map_or_else(|error| error.flaw != Flaw::Malformed, |_| true)
}

proptest! {
    #[test]
    fn what_the_schema_admits_is_read(
        memory in matching(MEMORY_PATTERN),
        cpu in matching(CPU_PATTERN),
        span in matching(SPAN_PATTERN),
        quantity in matching(QUANTITY_PATTERN),
    ) {
        prop_assert!(memory.len() > MAX_TEXT || read_or_size(memory.parse::<Memory>()), "{memory:?}");
        prop_assert!(cpu.len() > MAX_TEXT || read_or_size(cpu.parse::<Cpu>()), "{cpu:?}");
        prop_assert!(span.len() > MAX_TEXT || read_or_size(span.parse::<Span>()), "{span:?}");
        prop_assert!(quantity.len() > MAX_TEXT || quantity.parse::<Quantity>().is_ok(), "{quantity:?}");
    }

    #[test]
    fn no_text_makes_a_quantity_panic(text in ".{0,40}") {
        let _ = (text.parse::<Memory>().is_ok(), text.parse::<Cpu>().is_ok(), text.parse::<Span>().is_ok());
        let _ = text.parse::<Quantity>().is_ok();
    }
}
