//! Updates the calling agent's pulse.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pulse::Pulse;

/// Says what the calling agent is about. Fields that are not given stay as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The fields to set.
    pub pulse: Pulse,
    /// The names of fields to empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<String>,
}

/// The pulse as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// All fields.
    pub pulse: Pulse,
    /// When it was updated.
    pub at: u64,
}
