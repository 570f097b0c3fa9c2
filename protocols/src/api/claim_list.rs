//! Lists claims.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;

/// Asks who holds what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Only this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only those of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Those that have ended too, as far as they are still kept.
    #[serde(default)]
    pub all: bool,
}

/// The claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// By number.
    pub claims: Vec<Claim>,
}
