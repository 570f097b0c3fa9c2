//! Asks people for their approval.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;
use crate::vote::Share;

/// Puts a question to people that they approve or deny, and writes to them. It is refused as soon as one denies it, and
/// granted as soon as enough approve; their answers come to the asker's inbox. The same id again makes a new revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is to be approved, at most 2 KiB.
    pub question: String,
    /// An id of `a-z`, `0-9`, `-`, `_`; made from the question if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The people who may answer; every person but the asker if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// How many must approve: a number, or a share of those who may answer; one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Share>,
    /// In how many seconds it closes without an approval, 1 to 2,592,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
}

/// The question as it stands.
pub type Reply = Box<Proposal>;
