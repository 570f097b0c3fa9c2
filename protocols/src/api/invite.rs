//! Makes a ticket for one more node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TicketId;

/// Asks for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// How long it can be used, in seconds: 1 minute to 30 days.
    #[serde(default = "one_hour")]
    pub valid_s: u64,
}

fn one_hour() -> u64 {
    3600
}

impl Default for Request {
    fn default() -> Self {
        Self { valid_s: one_hour() }
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The text to hand over, as secret as a password.
    pub ticket: String,
    /// Its public name.
    pub id: TicketId,
    /// When it expires.
    pub expires: u64,
}
