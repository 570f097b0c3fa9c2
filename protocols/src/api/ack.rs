//! Acknowledges messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::OpId;

/// Acknowledges messages that the calling agent has received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Ids, or starts of them that are unique; 1 to 256.
    pub ids: Vec<String>,
}

/// The senders will see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The messages that are acknowledged now.
    pub acknowledged: Vec<OpId>,
}
