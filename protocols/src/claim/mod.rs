//! Claims: leases on tasks and on files.
//!
//! A claim stands in the document of its agent's node. It is tentative until that node confirms it, with how many
//! members' nodes had acknowledged it of how many there are. A node acknowledges a claim only if it knows of nothing
//! that stands against it and has promised nothing else; it never takes that back. So two claims that exclude each
//! other can never both be acknowledged by a majority of all members.
//!
//! The number of a claim is one more than any that its node knows of, whatever they are on: a newer holder always has a
//! higher one, and overlapping patterns can be compared. Nothing here depends on a clock: times are for people, and
//! whether a lease has run out is judged by those who would take it over, each by the time that it saw pass itself.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ClaimHash, NodeId};
use crate::name::{AgentName, RepositoryName};
use crate::task::TaskKey;

pub mod glob;

pub use glob::{Glob, ParseGlobError};

/// What can be claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// The work on a task.
    Task(TaskKey),
    /// Files of a repository.
    Files {
        /// Which repository, by the name that all who work on it give it.
        repository: RepositoryName,
        /// Which files: all that any of these covers.
        globs: Vec<Glob>,
    },
}

impl Resource {
    /// Whether there can be something that is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(ours), Self::Task(theirs)) => ours == theirs,
            (Self::Files { repository, globs }, Self::Files { repository: theirs, globs: others }) => {
                repository == theirs && globs.iter().any(|glob| others.iter().any(|other| glob.overlaps(other)))
            }
            (Self::Task(_), Self::Files { .. }) | (Self::Files { .. }, Self::Task(_)) => false,
        }
    }
}

impl Resource {
    /// Whether it is files, and this one of them.
    pub fn covers(&self, repository: &RepositoryName, path: &str) -> bool {
        match self {
            Self::Files { repository: ours, globs } => ours == repository && globs.iter().any(|glob| glob.covers(path)),
            Self::Task(_) => false,
        }
    }

    /// How many patterns it has, and how many of these have wildcards.
    pub fn count_globs(&self) -> (usize, usize) {
        match self {
            Self::Files { globs, .. } => (globs.len(), globs.iter().filter(|glob| glob.has_wildcards()).count()),
            Self::Task(_) => (0, 0),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "task {}", task.id),
            Self::Files { repository, globs } => {
                let globs: Vec<&str> = globs.iter().map(Glob::as_str).collect();
                write!(f, "{repository}:{}", globs.join(","))
            }
        }
    }
}

/// Whether others may claim the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody else may.
    #[default]
    Exclusive,
    /// Others may, if they share it too.
    Shared,
}

/// The number of a claim, which grows with each holder of anything: whoever is told to do something under a claim
/// refuses it if it has seen a higher one. Of two claims with one counter, which were made without knowledge of each
/// other, the one of the greater node is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// From 1.
    pub counter: u64,
    /// The node of the agent that claims.
    pub node: NodeId,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.node.short())
    }
}

/// A lease on something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// What is claimed.
    pub resource: Resource,
    /// The agent that claims it.
    pub by: AgentName,
    /// Whether others may claim the same.
    pub mode: Mode,
    /// After how many seconds without a renewal others may take it over.
    pub ttl_s: u32,
    /// What for, if the agent said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// A random number: what was acknowledged is this claim, and not another that came to have its counter.
    pub salt: u64,
    /// The claims that it takes over, as their leases have run out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<Replaced>,
    /// When it was made, in milliseconds since 1970 by the node's clock.
    pub taken: u64,
    /// How many times it was renewed.
    pub renewals: u32,
    /// When it was made or renewed last, in milliseconds since 1970 by the node's clock.
    pub renewed: u64,
    /// Present once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmation>,
    /// Present once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// A claim whose lease had run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// Which.
    pub fence: Fence,
    /// How many renewals of it had been seen. If there are more, its holder was only cut off.
    pub renewals: u32,
}

/// On what ground a claim was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmation {
    /// How many nodes had acknowledged it, its own included.
    pub acknowledged: u32,
    /// How many members there were, as its node knew.
    pub members: u32,
    /// When, in milliseconds since 1970 by the node's clock.
    pub at: u64,
}

impl Confirmation {
    /// Whether more than half of all members had acknowledged it. Otherwise it was confirmed in a part that was cut off
    /// from most of them, and may lose to another when they meet again.
    pub fn is_majority(&self) -> bool {
        u64::from(self.acknowledged) * 2 > u64::from(self.members)
    }
}

/// Why a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Its agent released it.
    Released,
    /// Another claim won.
    Lost,
    /// Its agent gave no sign of life for too long.
    Expired,
    /// Its node made it anew under a higher number, to take over something in its way.
    Renumbered,
}

/// The end of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// Why.
    pub cause: End,
    /// The claim that won or came instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Fence>,
    /// When, in milliseconds since 1970 by the node's clock.
    pub at: u64,
}

/// A node's promise: it has seen the claim, and will acknowledge nothing that stands against it while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// What it has seen, as [`Claim::hash`] gives it.
    pub claim: ClaimHash,
    /// When, in milliseconds since 1970 by the node's clock.
    pub at: u64,
}

/// A node's word that it may have given away all numbers up to one, in a log that is lost: everybody goes on above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {
    /// When it said so, in milliseconds since 1970 by the node's clock.
    pub at: u64,
}

impl Claim {
    /// Whether it and `other` cannot both be held.
    pub fn excludes(&self, other: &Self) -> bool {
        let shared = self.mode == Mode::Shared && other.mode == Mode::Shared;
        !shared && self.resource.overlaps(&other.resource)
    }

    /// Names everything of it that never changes.
    pub fn hash(&self) -> ClaimHash {
        let said = (&self.resource, &self.by, self.mode, self.ttl_s, self.salt, &self.replaces);
        ClaimHash::of(&serde_json::to_vec(&said).expect("a claim can be written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(repository: &str, globs: &[&str]) -> Resource {
        let globs = globs.iter().map(|glob| glob.parse().unwrap()).collect();
        Resource::Files { repository: repository.parse().unwrap(), globs }
    }

    #[test]
    fn only_the_same_things_overlap() {
        let task = |id: &str| Resource::Task(TaskKey { node: NodeId::from_bytes([1; 32]), id: id.parse().unwrap() });
        assert!(task("a").overlaps(&task("a")) && !task("a").overlaps(&task("b")));
        assert!(files("x", &["docs", "src"]).overlaps(&files("x", &["src/a.rs"])));
        assert!(!files("x", &["src"]).overlaps(&files("y", &["src"])));
        assert!(!files("x", &["src"]).overlaps(&task("src")));
    }

    #[test]
    fn a_majority_is_more_than_half_of_all_members() {
        let of = |acknowledged, members| Confirmation { acknowledged, members, at: 0 }.is_majority();
        assert!(of(1, 1) && of(2, 3) && of(3, 5));
        assert!(!of(1, 2) && !of(2, 4) && !of(0, 0));
    }
}
