//! Lists proposals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;
use crate::vote::Mechanism;

/// Asks for proposals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Closed ones too.
    pub all: bool,
    /// Only those that are decided so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// At most this many, 1 to 1,000; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes after this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The proposals, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// As they stand.
    pub proposals: Vec<Proposal>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
