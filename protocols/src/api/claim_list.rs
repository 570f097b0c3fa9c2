//! Lists claims.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;

/// Asks who holds what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only those of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Those that have ended too, as far as they are still kept.
    pub all: bool,
    /// At most this many, 1 to 1,000; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes after this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// By number.
    pub claims: Vec<Claim>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
