//! What a run is like: how many nodes, who is connected with whom, what the links are like and what goes wrong.

use super::Nanos;
use super::gossip::Manner;
use super::settings::{MS, Tuning};
use crate::dice::Dice;

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    /// How it is called on the command line and in the results.
    pub(super) name: &'static str,
    /// How it is explained.
    pub(super) words: &'static str,
    /// How many gossip messages of a hundred are lost on each hop.
    pub(super) lost_percent: f64,
    /// How many nodes of a hundred leave, and how many join, in a second.
    pub(super) churn_percent: f64,
    /// How many connections of a hundred break in a second.
    pub(super) drops_percent: f64,
    /// How many nodes of a hundred do not pass anything on, and how.
    pub(super) hostile: (f64, Manner),
}

const CALM: Condition = Condition {
    name: "calm",
    words: "calm",
    lost_percent: 0.0,
    churn_percent: 0.0,
    drops_percent: 0.0,
    hostile: (0.0, Manner::Silent),
};

/// All conditions, the calm one first.
pub(super) const CONDITIONS: [Condition; 7] = [
    CALM,
    Condition { name: "loss-1", words: "1 % lost per hop", lost_percent: 1.0, ..CALM },
    Condition { name: "loss-10", words: "10 % lost per hop", lost_percent: 10.0, ..CALM },
    Condition { name: "churn", words: "5 % of nodes leave and join per second", churn_percent: 5.0, ..CALM },
    Condition { name: "drops", words: "5 % of connections break per second", drops_percent: 5.0, ..CALM },
    Condition { name: "silent", words: "20 % pass nothing on", hostile: (20.0, Manner::Silent), ..CALM },
    Condition { name: "liars", words: "20 % announce and hand nothing out", hostile: (20.0, Manner::Liar), ..CALM },
];

/// What the links are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Network {
    /// One site: 0.1 to 0.5 ms one way, 1 Gbit/s up
    Lan,
    /// Many sites: 4 ms to over 100 ms one way, 18 ms in the middle, 20 Mbit/s up
    Wan,
}

impl Network {
    /// How long something takes from a node to the middle of the network.
    ///
    /// A link takes as long as its two ends together, so every pair has its latency without being remembered.
    pub(super) fn access(self, dice: &mut Dice) -> Nanos {
        let unit = dice.fraction();
        match self {
            Self::Lan => 50_000 + (unit * 200_000.0) as Nanos,
            // A few nodes are far away: exponential above the least.
            Self::Wan => 2 * MS + (-unit.ln() * 8.0 * MS as f64) as Nanos,
        }
    }

    /// How long a byte takes to leave a node.
    pub(super) fn nanos_per_byte(self) -> Nanos {
        match self {
            Self::Lan => 8,
            Self::Wan => 400,
        }
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) nodes: u32,
    /// How many connections a node seeks; `None` for one with every other, as the dialler makes them.
    pub(super) degree: Option<u32>,
    pub(super) condition: Condition,
    pub(super) network: Network,
    pub(super) tuning: Tuning,
    /// How many messages are published.
    pub(super) messages: u32,
    /// How large each is.
    pub(super) message_bytes: u32,
    /// How many of them in a second.
    pub(super) per_second: u32,
    pub(super) seed: u64,
}
