//! A claim as every door shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::claim::{Fence, Mode, Resource};
use crate::name::{Address, NodeName};

/// A lease on a task or on files, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Its id: its number, or `number@node` where two nodes came to the same.
    pub id: String,
    /// Its fencing number: of two claims on overlapping things, the newer has the greater one.
    pub fence: Fence,
    /// What is claimed.
    pub resource: Resource,
    /// The same in words: `task ID`, or the name of the repository, a colon and the patterns.
    pub what: String,
    /// Who claims it.
    pub by: Address,
    /// Whether others may claim the same.
    pub mode: Mode,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How it stands.
    pub state: State,
    /// The claim that won, if it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_to: Option<Winner>,
    /// The nodes that acknowledge it.
    pub acknowledged: Vec<String>,
    /// How many nodes there were when it was confirmed, or are now.
    pub members: u32,
    /// Whether more than half of them had acknowledged it. One that was confirmed without, in a part that was cut off,
    /// can still lose when the parts meet again.
    pub majority: bool,
    /// When it was made, by its node's clock.
    pub since: u64,
    /// When its lease runs out unless it is renewed, as this node has seen time pass, by this node's clock.
    pub until: u64,
    /// After how many seconds without a renewal it runs out.
    pub ttl_s: u32,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for the acknowledgements of others.
    Tentative,
    /// Its agent holds what it claims.
    Confirmed,
    /// It was not renewed in time, and others may take it over.
    Overdue,
    /// Another claim won.
    Lost,
    /// Its agent released it.
    Released,
    /// It ended as its agent gave no sign of life.
    Expired,
    /// Its node made it anew under a greater number.
    Renumbered,
}

impl State {
    /// Whether it keeps others out.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Tentative | Self::Confirmed)
    }

    /// Its name in the wire format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Confirmed => "confirmed",
            Self::Overdue => "overdue",
            Self::Lost => "lost",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Renumbered => "renumbered",
        }
    }
}

/// The claim that won over another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Winner {
    /// Its id.
    pub id: String,
    /// Who made it; absent if it is not known here any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Address>,
    /// The node that it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}
