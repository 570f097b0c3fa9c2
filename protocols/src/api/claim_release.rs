//! Releases claims.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;

/// Releases claims of the calling agent, so that others can have what they are on. A person can release those of all
/// agents of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Ids; all claims of the calling agent that have not ended, if empty.
    pub claims: Vec<String>,
}

/// The claims, which have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// By number.
    pub claims: Vec<Claim>,
}
