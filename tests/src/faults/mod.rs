//! Faults played to real daemons: each a function that returns what became of it.
//!
//! Used by the tests, which look at what must hold, and by the bench, which prints the times. What must hold is looked
//! at in each function itself, through the command line: it panics if anything that was acknowledged is lost, if nodes
//! do not come to hold the same, if an author's messages change their order or if a tally differs.
//!
//! | module | holds |
//! |---|---|
//! | `group` | nodes that talk and vote, the record of what they were told, and the comparison with what they hold |
//! | `links`, `processes`, `disks`, `clocks` | the faults |
//! | [`heal`] | how soon a partition is over |

mod clocks;
mod disks;
mod group;
pub mod heal;
mod links;
mod processes;

use std::time::Duration;

/// What became of a fault.
#[derive(Debug)]
pub struct Outcome {
    /// What the node or the nodes did.
    pub did: String,
    /// What was lost, and out of how much.
    pub lost: String,
    /// How long after the fault everything was well, where there is a moment from which to count.
    pub recovered: Option<Duration>,
}

/// A fault that can be played.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Names it on the command line.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Plays it; nothing if that is not possible on this machine, which it says.
    pub play: fn() -> Option<Outcome>,
}

/// Every fault there is.
pub const ALL: [Fault; 22] = [
    Fault { name: "loss-5", what: "5 % of frames lost, each way", play: || links::lossy(0.05) },
    Fault { name: "loss-20", what: "20 % of frames lost, each way", play: || links::lossy(0.2) },
    Fault { name: "delay", what: "100 ms delay and 50 ms jitter, each way", play: links::slow },
    Fault { name: "doubled", what: "10 % of frames doubled", play: links::doubled },
    Fault { name: "narrow", what: "1 Mbit/s, full", play: links::narrow },
    Fault { name: "bad", what: "300 ms there and back and 20 % of frames lost", play: links::bad },
    Fault { name: "partition-5", what: "partition of 5 s", play: || links::partition(Duration::from_secs(5)) },
    Fault { name: "partition-30", what: "partition of 30 s", play: || links::partition(Duration::from_secs(30)) },
    Fault { name: "one-way", what: "one direction cut for 10 s", play: links::one_way },
    Fault { name: "flapping", what: "link up 700 ms, down 300 ms, for 10 s", play: links::flapping },
    Fault { name: "kill", what: "SIGKILL in the middle of 1,000 sends", play: processes::kill },
    Fault { name: "suspend", what: "suspended for 20 s (SIGSTOP, SIGCONT)", play: processes::suspend },
    Fault { name: "twenty", what: "20 daemons, one killed at random every second, 20 times", play: processes::twenty },
    Fault { name: "two-daemons", what: "a second daemon on one home", play: processes::two_daemons },
    Fault { name: "copied-home", what: "a copied home, both running", play: processes::copied_home },
    Fault { name: "away", what: "away for 10,000 entries", play: processes::away },
    Fault { name: "full-disk", what: "full disk, then space again", play: disks::full },
    Fault { name: "read-only", what: "remounted read-only, then writable again", play: disks::read_only },
    Fault { name: "page", what: "damaged database page", play: disks::damaged_page },
    Fault { name: "ahead", what: "clock a day ahead", play: clocks::ahead },
    Fault { name: "behind", what: "clock a day behind", play: clocks::behind },
    Fault { name: "jump", what: "clock jumps a day ahead and back while running", play: clocks::jumping },
];
