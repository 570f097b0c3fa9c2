//! Puts a question to the members.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;
use crate::vote::Mechanism;

/// Opens a proposal, or makes a new revision of an open one of the caller's with the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The question, at most 2 KiB.
    pub question: String,
    /// What can be answered: 2 to 32 different options of at most 256 bytes.
    pub options: Vec<String>,
    /// An id of `a-z`, `0-9`, `-`, `_`; made from the question if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How ballots are counted.
    #[serde(default)]
    pub mechanism: Mechanism,
}

/// The proposal as it stands.
pub type Reply = Proposal;
