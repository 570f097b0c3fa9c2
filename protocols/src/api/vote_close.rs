//! Closes a proposal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Closes a proposal of the calling agent. The ballots that count now are named in the closing entry and count for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id, or `id@node`.
    pub id: String,
    /// Take the question back: it then has no result.
    #[serde(default)]
    pub withdraw: bool,
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
