//! Lists proposals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Asks for proposals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Closed ones too.
    pub all: bool,
}

/// The proposals, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// As they stand.
    pub proposals: Vec<Proposal>,
}
