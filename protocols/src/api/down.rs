//! Stops the daemon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks the daemon to finish what it does and stop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// The daemon is stopping; the socket closes when it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Its process.
    pub pid: u32,
}
