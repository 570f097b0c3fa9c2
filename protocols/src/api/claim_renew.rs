//! Renews claims.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;

/// Renews claims of the calling agent. Its node does so by itself as long as the agent calls or watches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Ids; all claims of the calling agent that have not ended, if empty.
    pub claims: Vec<String>,
}

/// The claims as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// By number.
    pub claims: Vec<Claim>,
}
