//! Shows a proposal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Asks for one proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id, or `id@node`.
    pub id: String,
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
