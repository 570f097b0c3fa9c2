//! Sets the PIN with which people answer approvals on this node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets the node's PIN, or another one in its place. Once there is one, nobody new can speak as a person of this node.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The PIN, 6 to 128 bytes.
    pub pin: String,
    /// The one that it replaces, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// The PIN is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Whether it replaced another.
    pub replaced: bool,
}
