//! Says that messages of an inbox have been handed over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves the calling agent's cursor. It never moves back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The cursor that came with the messages.
    pub cursor: u64,
    /// The `with_held` that came with the messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// The cursor has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Where it is now.
    pub cursor: u64,
}
