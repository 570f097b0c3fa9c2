//! Certified members that break the rules: what a key and a certificate are enough for.
//!
//! A hostile node runs an honest core as cover, so that what it signs spreads, and signs and sends what no honest core
//! would. The rest must keep every promise among themselves; its own entries may be left out by rule, everywhere alike.

mod frames;
mod ops;
mod records;

// The forge makes changes by hand, wrong in exactly the way asked for; it is kept with the tests of the gate.
#[expect(dead_code, reason = "the tests of the gate use all of it")]
#[path = "../../../crdt/tests/hostile/forge.rs"]
mod forge;

use std::collections::BTreeSet;
use std::fmt;

use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{LogId, OpId};
use fedp2p_protocols::op::{NodeKey, Verified};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::sim::Sim;

macro_rules! attacks {
    ($($(#[doc = $doc:literal])* $name:ident $words:literal;)*) => {
        /// One thing that a hostile member does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Attack {
            $($(#[doc = $doc])* $name,)*
        }

        impl Attack {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        impl fmt::Display for Attack {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $words),* })
            }
        }
    };
}

attacks! {
    /// An entry in the name of somebody else.
    ForgedAuthor "an entry in the name of somebody else";
    /// An entry of another network.
    WrongNetwork "an entry of another network";
    /// An entry of a conversation that nobody has.
    OtherConversation "an entry of another conversation";
    /// Entries of others, again and again.
    Replay "old entries, again";
    /// Entries of others, as if they belonged to another conversation.
    ReplayElsewhere "old entries, into another conversation";
    /// A known header with another signature or payload.
    DressedUp "a known header under another signature";
    /// An entry from before the one that it follows, or that it depends on.
    Backdated "entries from before what they follow";
    /// Entries from the future: a little, too much, the end of time.
    Future "entries from the future";
    /// A proof of a fork that is none.
    FalseProof "proofs of forks that are none";
    /// Receipts for what was never sent.
    FalseReceipt "receipts for what was never sent";
    /// A start in the middle of a log, a log without a start, a floor where none belongs.
    Misplaced "entries where they do not belong";
    /// Two entries for one place, each told to other nodes.
    TwoChildren "two entries for one place";
    /// Three entries for one place.
    ThreeChildren "three entries for one place";
    /// Two starts of one log.
    ForkedStart "two starts of one log";
    /// An entry that depends on something that never comes.
    MissingDep "an entry that depends on what never comes";
    /// Entries that claim to depend on each other.
    Circle "entries that wait for each other";
    /// Many entries of which the one before is missing.
    Gaps "entries with gaps between them";
    /// More logs than an author may have.
    ManyLogs "more logs than it may have";
    /// Changes that break Automerge.
    HostileChange "changes that break Automerge";
    /// Too large: frames, headers, payloads, texts, lists.
    Oversize "everything too large";
    /// Checkpoints that can never be complete, or claim to be the last.
    FalseCheckpoint "checkpoints that are never complete";
    /// Bytes that are no frames, and frames that break off.
    Malformed "bytes that are no frames";
    /// Many good entries by gossip at once.
    Flood "a flood of good entries by gossip";
    /// Many bytes by gossip that are no entries.
    Garbage "a flood of bytes by gossip";
    /// It claims to hold what it does not.
    HighHeads "a claim to hold more than there is";
    /// It claims to hold nothing, and is sent everything.
    LowHeads "a claim to hold nothing";
    /// Requests for what there is not, and for everything many times.
    UselessWants "requests for what there is not";
    /// Requests that are never acknowledged.
    Deaf "requests that it never acknowledges";
    /// A node of another organisation, or with a certificate that it made itself, says hello and pushes.
    Stranger "a stranger at the door";
    /// A member whose certificate has expired says hello and pushes.
    Expired "an expired member at the door";
    /// The log of a stranger, carried in by a member.
    StrangerLog "the log of a stranger, carried in";
    /// Claims on all files that others claim, confirmed by its own word.
    GrabFiles "claims on everybody's files";
    /// Claims on all tasks, confirmed by its own word.
    GrabTasks "claims on everybody's tasks";
    /// Claims with numbers that leave none above them.
    Leaps "numbers of claims that leap";
    /// Acknowledgements of all claims, also of those that exclude each other.
    TwoPromises "acknowledgements of everything at once";
    /// It takes back all that it has said and promised.
    TakenBack "all that it has said, taken back";
    /// Words under claims of its own on tasks that are over.
    Reopened "words on tasks that are over";
    /// Words under claims of its own on tasks that others do.
    FalseWords "words on tasks that others do";
    /// Tasks that nobody can do, and that were never awarded.
    FalseTasks "tasks that nobody can do";
    /// Bids for what it does not mean to do.
    EmptyBids "bids that cost nothing";
    /// It takes everybody's role.
    FalseRoles "everybody's role, taken";
    /// Ballots twice, in the names of others, and for what is no option.
    StuffedBallots "ballots twice and for others";
    /// Questions that it closes with ballots that nobody cast.
    FalseClosings "closings that count what nobody cast";
}

/// What a hostile member has: its key and certificate, and what it has signed.
#[derive(Debug)]
pub(crate) struct Adversary {
    key: NodeKey,
    chain: Chain,
    /// Whose word makes a member, for certificates that have expired.
    founder: (NodeKey, Chain),
    /// A log in which all is well but what the attack is about.
    log: Option<(LogId, Verified)>,
    /// Everything that it ever signed as an entry.
    signed: BTreeSet<OpId>,
}

impl Adversary {
    pub(crate) fn new(key: NodeKey, chain: Chain, founder: NodeKey, founded: Chain) -> Self {
        Self { key, chain, founder: (founder, founded), log: None, signed: BTreeSet::new() }
    }

    /// Whether this was signed by it: it may be held by some and left out by others.
    pub(crate) fn signed(&self, id: &OpId) -> bool {
        self.signed.contains(id)
    }
}

impl Sim {
    /// A hostile member does something to those that it is connected with.
    pub(crate) fn attack(&mut self, node: usize, attack: Attack, dice: Dice) {
        let Some(adversary) = self.nodes[node].adversary.take() else { return };
        let mut campaign = Campaign { node, adversary, dice };
        campaign.wage(self, attack);
        self.nodes[node].adversary = Some(campaign.adversary);
    }
}

/// An attack under way.
struct Campaign {
    node: usize,
    adversary: Adversary,
    dice: Dice,
}

impl Campaign {
    fn wage(&mut self, sim: &mut Sim, attack: Attack) {
        match attack {
            Attack::ForgedAuthor => self.forged_author(sim),
            Attack::WrongNetwork => self.wrong_network(sim),
            Attack::OtherConversation => self.other_conversation(sim),
            Attack::Replay => self.replay(sim),
            Attack::ReplayElsewhere => self.replay_elsewhere(sim),
            Attack::DressedUp => self.dressed_up(sim),
            Attack::Backdated => self.backdated(sim),
            Attack::Future => self.future(sim),
            Attack::FalseProof => self.false_proofs(sim),
            Attack::FalseReceipt => self.false_receipts(sim),
            Attack::Misplaced => self.misplaced(sim),
            Attack::TwoChildren => self.children(sim, 2),
            Attack::ThreeChildren => self.children(sim, 3),
            Attack::ForkedStart => self.forked_start(sim),
            Attack::MissingDep => self.missing_dep(sim),
            Attack::Circle => self.circle(sim),
            Attack::Gaps => self.gaps(sim),
            Attack::ManyLogs => self.many_logs(sim),
            Attack::HostileChange => self.hostile_change(sim),
            Attack::Oversize => self.oversize(sim),
            Attack::FalseCheckpoint => self.false_checkpoint(sim),
            Attack::Malformed => self.malformed(sim),
            Attack::Flood => self.flood(sim),
            Attack::Garbage => self.garbage(sim),
            Attack::HighHeads => self.high_heads(sim),
            Attack::LowHeads => self.low_heads(sim),
            Attack::UselessWants => self.useless_wants(sim),
            Attack::Deaf => self.deaf(sim),
            Attack::Stranger => self.stranger(sim),
            Attack::Expired => self.expired(sim),
            Attack::StrangerLog => self.stranger_log(sim),
            Attack::GrabFiles => self.grab_files(sim),
            Attack::GrabTasks => self.grab_tasks(sim),
            Attack::Leaps => self.leaps(sim),
            Attack::TwoPromises => self.two_promises(sim),
            Attack::TakenBack => self.taken_back(sim),
            Attack::Reopened => self.reopened(sim),
            Attack::FalseWords => self.false_words(sim),
            Attack::FalseTasks => self.false_tasks(sim),
            Attack::EmptyBids => self.empty_bids(sim),
            Attack::FalseRoles => self.false_roles(sim),
            Attack::StuffedBallots => self.stuffed_ballots(sim),
            Attack::FalseClosings => self.false_closings(sim),
        }
    }
}
