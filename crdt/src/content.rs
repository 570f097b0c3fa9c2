//! What one document says, as typed records, and the edits that change it.
//!
//! [`Document`](crate::document::Document) keeps a [`Content`] up to date; the writer changes it by [`Edit`]s. A
//! content is a few sections, each a map from keys to records of one type. It holds only what is well formed and
//! within the limits of `fedp2p_protocols::limits`: reading leaves out the rest, always in the same way, and writing
//! refuses it.

use std::collections::BTreeMap;

use fedp2p_protocols::attention::Attention;
use fedp2p_protocols::claim::{Acknowledgement, Claim, Fence, Reserved};
use fedp2p_protocols::name::{AgentName, RoleName, TaskId};
use fedp2p_protocols::pulse::{AgentKind, Attendance, Pulse};
use fedp2p_protocols::task::{Bid, Grant, State, Statement, Task, TaskKey};
use fedp2p_protocols::vote::{AgentId, Ballot, Proposal, ProposalKey, Seen};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::keys::Key;
use crate::value::Value;

pub use crate::check::{Invalid, MAX_COUNTED};

/// An agent of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Who stands behind it.
    pub kind: AgentKind,
    /// Its last pulse, if it ever said anything.
    pub said: Option<Said>,
}

/// What an agent said of itself, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What it said.
    pub pulse: Pulse,
    /// When, in milliseconds since 1970 by its node's clock.
    pub at: u64,
}

/// Where a ballot stands: ordered by proposal, voter and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BallotPlace {
    /// What it answers.
    pub proposal: ProposalKey,
    /// Who cast it.
    pub voter: AgentName,
    /// Which of the voter's ballots, from 1.
    pub number: u32,
}

/// Where an agent's word stands that it has seen a proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenPlace {
    /// What it has seen.
    pub proposal: ProposalKey,
    /// Who has.
    pub agent: AgentName,
}

/// Where an assigner's word stands on who has a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RolePlace {
    /// Which role.
    pub role: RoleName,
    /// Of whom.
    pub agent: AgentId,
}

/// Where a statement on a task stands: ordered by task, agent and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementPlace {
    /// What it is about.
    pub task: TaskKey,
    /// Who made it.
    pub agent: AgentName,
    /// Which of the agent's statements on the task, from 1.
    pub number: u32,
}

/// Where a bid for a task stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BidPlace {
    /// What it is for.
    pub task: TaskKey,
    /// Whose it is.
    pub agent: AgentName,
}

/// What stands in a section.
pub(crate) trait Record: Serialize + DeserializeOwned + Clone + Eq {
    /// Most leaves and maps of one record, as reading it again must stay cheap. One with more is none.
    const MOST: usize = 64;

    /// Checks what does not depend on anything else.
    ///
    /// # Errors
    /// The first thing that is not well formed or over a limit.
    fn check(&self) -> Result<(), Invalid>;

    /// Checks that its writer may put it in the place of `before`.
    ///
    /// # Errors
    /// When what stands there must not change.
    fn check_follows(&self, before: &Self) -> Result<(), Invalid>;
}

/// A part of the content.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// How many keys lead to a record.
    pub(crate) parts: usize,
    /// Most leaves and maps of one record.
    pub(crate) most: usize,
}

macro_rules! sections {
    ($($(#[$doc:meta])* $field:ident $variant:ident $name:literal: $key:ty => $record:ty;)*) => {
        /// What one document says.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Content {
            $($(#[$doc])* pub $field: BTreeMap<$key, $record>,)*
        }

        /// A record with its key.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(clippy::large_enum_variant, reason = "an entry lives as long as it takes to write it")]
        pub enum Entry {
            $($(#[$doc])* $variant($key, $record),)*
        }

        /// Where a record stands.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Place {
            $($(#[$doc])* $variant($key),)*
        }

        /// Every section.
        pub(crate) const SECTIONS: &[Section] = &[
            $(Section { name: $name, parts: <$key as Key>::PARTS, most: <$record as Record>::MOST }),*
        ];

        impl Content {
    /// Returns BLAKE3 over one canonical encoding of everything that the node says.
    pub fn digest(&self) -> [u8; 32] {
        crate::digest::digest(self)
    }

            /// Says what `entry` says.
            pub fn put(&mut self, entry: Entry) {
                match entry {
                    $(Entry::$variant(key, record) => drop(self.$field.insert(key, record)),)*
                }
            }

            /// All records, section by section and in the order of their keys.
            pub fn entries(&self) -> impl Iterator<Item = Entry> {
                std::iter::empty()$(.chain(
                    self.$field.iter().map(|(key, record)| Entry::$variant(key.clone(), record.clone()))
                ))*
            }

            /// Says what stands at `parts` of `section`, if that is well formed.
            pub(crate) fn put_value(&mut self, section: &str, parts: &[&str], value: Value) {
                match section {
                    $($name => put_value(&mut self.$field, parts, value),)*
                    _ => {}
                }
            }

            /// Forgets everything in `section` whose keys begin with `prefix`.
            pub(crate) fn forget(&mut self, section: &str, prefix: &[&str]) {
                match section {
                    $($name => forget(&mut self.$field, prefix),)*
                    _ => {}
                }
            }

            /// What stands in `section` at keys that begin with `prefix`.
            pub(crate) fn below(&self, section: &str, prefix: &[&str]) -> Vec<Entry> {
                match section {
                    $($name => at(&self.$field, prefix)
                        .map(|(key, record)| Entry::$variant(key.clone(), record.clone()))
                        .collect(),)*
                    _ => Vec::new(),
                }
            }

            /// What stands at a place.
            pub(crate) fn get(&self, place: &Place) -> Option<Entry> {
                match place {
                    $(Place::$variant(key) => {
                        self.$field.get(key).map(|record| Entry::$variant(key.clone(), record.clone()))
                    })*
                }
            }

            /// Says what `other` says, as well.
            pub(crate) fn extend(&mut self, other: Self) {
                $(
                    // Not `append`, which walks all that is there.
                    self.$field.extend(other.$field);
                )*
            }

            /// How many records there are.
            pub(crate) fn count(&self) -> usize {
                [$(self.$field.len()),*].into_iter().sum()
            }
        }

        impl Entry {
            /// Where it stands.
            pub fn place(&self) -> Place {
                match self {
                    $(Self::$variant(key, _) => Place::$variant(key.clone()),)*
                }
            }

            /// Checks everything about the record that does not depend on the document.
            ///
            /// # Errors
            /// The first thing that is not well formed or over a limit.
            pub fn check(&self) -> Result<(), Invalid> {
                match self {
                    $(Self::$variant(key, record) => check_key(key).and_then(|()| record.check()),)*
                }
            }

            /// Checks that the record may take the place of what stands there.
            pub(crate) fn check_follows(&self, before: Value) -> Result<(), Invalid> {
                match self {
                    $(Self::$variant(_, record) => match before.read() {
                        Ok(before) => record.check_follows(&before),
                        Err(_) => Ok(()),
                    },)*
                }
            }

            /// The section, and the keys below it.
            pub(crate) fn path(&self) -> (&'static str, Vec<String>) {
                match self {
                    $(Self::$variant(key, _) => ($name, key.parts()),)*
                }
            }

            /// The record as documents spell it.
            pub(crate) fn value(&self) -> Result<Value, Invalid> {
                match self {
                    $(Self::$variant(_, record) => Ok(Value::of(record)?),)*
                }
            }
        }

        impl Place {
            /// The section, and the keys below it.
            pub(crate) fn path(&self) -> (&'static str, Vec<String>) {
                match self {
                    $(Self::$variant(key) => ($name, key.parts()),)*
                }
            }
        }
    };
}

sections! {
    /// The agents of the node.
    agents Agent "agents": AgentName => Agent;
    /// The proposals that agents of the node made, by id.
    proposals Proposal "proposals": String => Proposal;
    /// The ballots that agents of the node cast.
    ballots Ballot "ballots": BallotPlace => Ballot;
    /// Which proposals agents of the node say to have seen.
    seen Seen "seen": SeenPlace => Seen;
    /// Whether clients speak for agents of the node.
    attendance Attendance "attendance": AgentName => Attendance;
    /// What agents of the node want to be handed.
    attention Attention "attention": AgentName => Attention;
    /// Which roles agents of the node gave and took.
    roles Role "roles": RolePlace => Grant;
    /// The claims of agents of the node, by counter.
    claims Claim "claims": u64 => Claim;
    /// Which claims the node has acknowledged.
    acknowledged Acknowledged "acknowledged": Fence => Acknowledgement;
    /// Up to which counter the node may have made claims that are lost.
    reserved Reserved "reserved": u64 => Reserved;
    /// The tasks that agents of the node made, by id.
    tasks Task "tasks": TaskId => Task;
    /// What agents of the node said of tasks.
    statements Statement "statements": StatementPlace => Statement;
    /// The bids of agents of the node.
    bids Bid "bids": BidPlace => Bid;
}

fn put_value<K: Key, R: Record>(section: &mut BTreeMap<K, R>, parts: &[&str], value: Value) {
    if let Some(key) = K::from_parts(parts)
        && let Ok(record) = value.read::<R>()
        && record.check().is_ok()
    {
        section.insert(key, record);
    }
}

fn forget<K: Key, R>(section: &mut BTreeMap<K, R>, prefix: &[&str]) {
    if prefix.is_empty() {
        section.clear();
        return;
    }
    let gone: Vec<K> = at(section, prefix).map(|(key, _)| key.clone()).collect();
    for key in gone {
        section.remove(&key);
    }
}

/// What stands at keys that begin with `prefix`.
fn at<'a, K: Key, R>(section: &'a BTreeMap<K, R>, prefix: &'a [&'a str]) -> impl Iterator<Item = (&'a K, &'a R)> {
    let begins = move |key: &K| key.parts().iter().zip(prefix).all(|(part, wanted)| part == wanted);
    let least = K::least(prefix);
    let from = least.into_iter().flat_map(move |least| section.range(least..));
    from.take_while(move |(key, _)| begins(key))
}

/// Checks that a key can be read back.
fn check_key<K: Key>(key: &K) -> Result<(), Invalid> {
    let parts = key.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if K::from_parts(&parts).is_some() { Ok(()) } else { Err(Invalid::Key) }
}

/// One change of what a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Puts a record in its place. Only what differs from the one that stands there is written.
    Put(Box<Entry>),
    /// Removes a record.
    Remove(Place),
}

impl From<Entry> for Edit {
    fn from(entry: Entry) -> Self {
        Self::Put(Box::new(entry))
    }
}

impl Entry {
    /// Whether it begins something where there is something already or not, rather than to go on with it or to end it.
    pub(crate) fn begins(&self, there: bool) -> bool {
        match self {
            Self::Agent(..) | Self::Attendance(..) | Self::Attention(..) => !there,
            Self::Seen(..) | Self::Bid(..) => true,
            Self::Proposal(_, proposal) => proposal.closed.is_none(),
            Self::Ballot(_, ballot) => !ballot.choices.is_empty(),
            Self::Role(_, grant) => grant.has,
            Self::Claim(_, claim) => claim.renewals == 0 && claim.confirmed.is_none() && claim.ended.is_none(),
            Self::Acknowledged(..) | Self::Reserved(..) => false,
            Self::Task(_, task) => !task.is_closed(),
            Self::Statement(_, said) => !said.state.is_terminal() && said.state != State::Submitted,
        }
    }
}

impl Content {
    /// Which ballots stand on a proposal, by voter and number.
    pub fn ballots_on(&self, proposal: &ProposalKey) -> impl Iterator<Item = (&BallotPlace, &Ballot)> {
        let least = BallotPlace { proposal: proposal.clone(), voter: AgentName::first(), number: 0 };
        self.ballots.range(least..).take_while(move |(place, _)| place.proposal == *proposal)
    }

    /// Who says to have seen a proposal.
    pub fn seen_by(&self, proposal: &ProposalKey) -> impl Iterator<Item = (&SeenPlace, &Seen)> {
        let least = SeenPlace { proposal: proposal.clone(), agent: AgentName::first() };
        self.seen.range(least..).take_while(move |(place, _)| place.proposal == *proposal)
    }

    /// What was said of a task, by agent and number.
    pub fn statements_on(&self, task: &TaskKey) -> impl Iterator<Item = (&StatementPlace, &Statement)> {
        let least = StatementPlace { task: task.clone(), agent: AgentName::first(), number: 0 };
        self.statements.range(least..).take_while(move |(place, _)| place.task == *task)
    }

    /// Who bids for a task.
    pub fn bids_for(&self, task: &TaskKey) -> impl Iterator<Item = (&BidPlace, &Bid)> {
        let least = BidPlace { task: task.clone(), agent: AgentName::first() };
        self.bids.range(least..).take_while(move |(place, _)| place.task == *task)
    }
}
