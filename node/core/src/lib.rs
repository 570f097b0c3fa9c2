//! What follows (being written).
pub mod effect;
pub mod input;
pub mod store;
pub use effect::{Effect, Verdict};
pub use input::{Input, Now};
/// placeholder
#[derive(Debug)]
pub struct Core;
