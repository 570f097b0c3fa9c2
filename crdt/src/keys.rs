//! What records are found by: keys, and keys made of keys.

use std::str::FromStr;

use fedp2p_protocols::claim::Fence;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::{AgentName, RoleName, TaskId};
use fedp2p_protocols::task::TaskKey;
use fedp2p_protocols::vote::{AgentId, ProposalKey};

use crate::check::check_id;
use crate::content::{BallotPlace, BidPlace, RolePlace, SeenPlace, StatementPlace};

/// What a record is found by: the same number of keys below its section for each record of a type.
pub(crate) trait Key: Ord + Clone {
    /// How many keys.
    const PARTS: usize;

    /// The keys, from the outermost.
    fn parts(&self) -> Vec<String>;

    /// The key with these parts, if each is spelled the one way its value prints.
    fn from_parts(parts: &[&str]) -> Option<Self>;

    /// The least key whose parts begin so; nothing if there can be none.
    fn least(prefix: &[&str]) -> Option<Self>;

    /// The least key of all.
    fn first() -> Self {
        Self::least(&[]).expect("a key without a prefix has a least value")
    }
}

/// Parses a key that must be spelled the one way its value prints.
fn exact<T: FromStr + ToString>(key: &str) -> Option<T> {
    key.parse().ok().filter(|value: &T| value.to_string() == key)
}

/// Keys that are parsed and printed as they are, each with its least value.
macro_rules! plain {
    ($($key:ty: $least:expr;)*) => {$(
        impl Key for $key {
            const PARTS: usize = 1;

            fn parts(&self) -> Vec<String> {
                vec![self.to_string()]
            }

            fn from_parts(parts: &[&str]) -> Option<Self> {
                exact(parts.first()?)
            }

            fn least(prefix: &[&str]) -> Option<Self> {
                prefix.first().map_or($least, |key| exact(key))
            }
        }
    )*};
}

plain! {
    NodeId: Some(Self::from_bytes([0; 32]));
    // The shortest name of the first character that names begin with.
    AgentName: exact("0");
    RoleName: exact("0");
    TaskId: exact("0");
}

impl Key for String {
    const PARTS: usize = 1;

    fn parts(&self) -> Vec<String> {
        vec![self.clone()]
    }

    fn from_parts(parts: &[&str]) -> Option<Self> {
        parts.first().filter(|id| check_id(id).is_ok()).map(|id| (*id).to_owned())
    }

    fn least(prefix: &[&str]) -> Option<Self> {
        Some(prefix.first().copied().unwrap_or_default().to_owned())
    }
}

/// Numbers count from 1.
macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Key for $number {
            const PARTS: usize = 1;

            fn parts(&self) -> Vec<String> {
                vec![self.to_string()]
            }

            fn from_parts(parts: &[&str]) -> Option<Self> {
                exact(parts.first()?).filter(|&number| number > 0)
            }

            fn least(prefix: &[&str]) -> Option<Self> {
                prefix.first().map_or(Some(0), |number| exact(number))
            }
        }
    )*};
}

numbers! { u32 u64 }

/// Takes as many parts as `K` has, or as many as there are.
fn take<'a, 'b, K: Key>(parts: &mut &'a [&'b str]) -> &'a [&'b str] {
    let (own, rest) = parts.split_at(K::PARTS.min(parts.len()));
    *parts = rest;
    own
}

/// Keys that are made of other keys, in this order.
macro_rules! made_of {
    ($($key:ty { $($part:ident: $type:ty),* })*) => {$(
        impl Key for $key {
            const PARTS: usize = 0 $(+ <$type as Key>::PARTS)*;

            fn parts(&self) -> Vec<String> {
                [$(Key::parts(&self.$part)),*].concat()
            }

            fn from_parts(mut parts: &[&str]) -> Option<Self> {
                Some(Self { $($part: Key::from_parts(take::<$type>(&mut parts))?),* })
            }

            fn least(mut prefix: &[&str]) -> Option<Self> {
                Some(Self { $($part: Key::least(take::<$type>(&mut prefix))?),* })
            }
        }
    )*};
}

made_of! {
    AgentId { node: NodeId, name: AgentName }
    ProposalKey { node: NodeId, id: String }
    SeenPlace { proposal: ProposalKey, agent: AgentName }
    BallotPlace { proposal: ProposalKey, voter: AgentName, number: u32 }
    RolePlace { role: RoleName, agent: AgentId }
    Fence { counter: u64, node: NodeId }
    TaskKey { node: NodeId, id: TaskId }
    StatementPlace { task: TaskKey, agent: AgentName, number: u32 }
    BidPlace { task: TaskKey, agent: AgentName }
}
