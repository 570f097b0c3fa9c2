//! Proves the stored history.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{LogId, NodeId};

/// Checks every stored entry: encoding, hash, signature, chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Entries that were checked.
    pub ops: u64,
    /// Logs that they are in.
    pub logs: u64,
    /// The first entry, in order of arrival, that is not what was signed.
    pub broken: Option<Broken>,
    /// How long it took.
    pub took_ms: u64,
}

/// An entry that is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broken {
    /// Its position in the order of arrival.
    pub position: u64,
    /// Whose log it is in, as far as it can be told.
    pub author: Option<NodeId>,
    /// The log.
    pub log: Option<LogId>,
    /// Its place in the log.
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub problem: String,
}
