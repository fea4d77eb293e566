//! What the store promises.

mod contract;
mod crash;
mod fixture;
mod medium;
mod round_trip;
mod unreadable;
