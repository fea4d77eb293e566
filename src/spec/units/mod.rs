//! Quantities: memory, processor shares and spans of time, in their canonical text form.

mod cpu;
mod memory;
mod quantity;
mod resource;
mod span;
#[cfg(test)]
mod tests;

pub use cpu::Cpu;
pub use memory::Memory;
pub use quantity::UnitError;
pub use resource::Quantity;
pub(super) use span::SPAN_PATTERN;
pub use span::Span;
