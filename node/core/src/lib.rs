#![cfg_attr(test, allow(clippy::unwrap_used))]
//! What follows: the whole brain of a node as a state machine. It has no sockets, no files, no clock and no
//! randomness of its own: everything comes in as [`Input`], everything it wants done goes out as [`Effect`].
//!
//! The driver calls [`Core::handle`] with each input, carries out the effects in order, and calls again with
//! [`Input::Tick`] when [`Core::deadline`] has come. Same start and same inputs give the same effects, byte for byte.
//!
//! | module | holds |
//! |---|---|
//! | [`input`], [`effect`], [`store`] | what goes in, what comes out, what is asked of the store |
//! | `logs`, `members`, `documents`, `pending` | the state: how far each log goes, who belongs, what they say, what waits |
//! | `author` | writing own entries |
//! | `ingest`, `recent`, `forks` | taking others' entries, at a bounded cost, and what is done about a contradiction |
//! | `commit` | what follows once something is durable |
//! | `lost` | what a node does that has lost entries of its own |
//! | `session`, `sync` | connected nodes: presence, anti-entropy, catching up |
//! | [`pin`] | what proves that a person answers |
//! | `membership` | hellos, tickets, certificates that renew themselves |
//! | `leases` | claims: what is promised, confirmed, renewed and ended |
//! | `receipts` | how far messages were handed out |
//! | `doors` | the operations of the API |
//! | `tidy` | clearing away what is over |
//! | `bounds` | how full every bounded queue is |

mod author;
mod bounds;
mod commit;
mod documents;
mod doors;
pub mod effect;
mod forks;
mod ingest;
pub mod input;
mod leases;
mod logs;
mod lost;
mod members;
pub mod membership;
mod pending;
pub mod pin;
mod proofs;
mod receipts;
mod recent;
mod session;
pub mod store;
mod sync;
#[cfg(test)]
mod tests;
mod tidy;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_protocols::api::{Caller, Request};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{ConversationId, LogEpochId, LogId, NetworkId, NodeId, OpId, TicketId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{NodeKey, Verified};
use fedp2p_protocols::sync::LogKey;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

pub use bounds::Bound;
pub use effect::{Effect, Verdict};
pub use input::{Input, Now, Start};

use crate::commit::{Again, InFlight};
use crate::documents::Documents;
use crate::doors::notes::Notes;
use crate::doors::picture::Recovery;
use crate::doors::tasks::Waiting;
use crate::doors::{Then, Watches};
use crate::ingest::Batch;
use crate::input::{CallId, StoredTicket, VerifyToken};
use crate::leases::Leases;
use crate::logs::{Logs, Tip};
use crate::lost::Lost;
use crate::members::Members;
use crate::pending::Pending;
use crate::proofs::Proofs;
use crate::recent::{Notices, Quotas, Recent};
use crate::session::{Seen, Session};
use crate::store::{Commit, CommitToken, Read, ReadToken, Write};
use crate::tidy::Tidy;

/// What the gossip topics of all conversations begin with.
pub const TOPICS: &str = "fedp2p/1/";
/// The name of the conversation that all nodes of an organisation belong to.
pub const LOBBY: &str = "lobby";

/// A node's state machine.
pub struct Core {
    key: NodeKey,
    root: Option<NodeKey>,
    chain: Chain,
    network: NetworkId,
    lobby: ConversationId,
    epoch: LogEpochId,
    rng: ChaCha20Rng,
    now: Now,
    started: Now,
    home: String,
    pid: u32,
    warnings: Vec<String>,
    listening: Vec<String>,

    logs: Logs,
    members: Members,
    documents: Documents,
    notes: Notes,
    pending: Pending,
    recent: Recent,
    quotas: Quotas,
    position: u64,
    ops: BTreeMap<ConversationId, u64>,
    forks: BTreeMap<LogKey, u64>,
    proofs: Proofs,
    tickets: BTreeMap<TicketId, StoredTicket>,
    /// What people of this node prove themselves with.
    pin: Option<pin::Pin>,
    reaches: BTreeMap<(NodeId, LogKey), u64>,
    surfaced: receipts::Surfaced,
    /// The agents of this node for whom what is held was judged since they last said what they want to be handed.
    judged: BTreeSet<AgentName>,
    /// What the AI agents of this node said lately.
    budgets: doors::budget::Budgets,
    /// What agents of this node were shown of questions.
    shown: doors::shown::Shown,

    sessions: BTreeMap<NodeId, Session>,
    seen: BTreeMap<NodeId, Seen>,
    fetching: BTreeMap<ConversationId, sync::Fetch>,
    renewal_due: Duration,
    /// When the next proposal of this node reaches its deadline, in milliseconds since 1970.
    next_closing: Option<u64>,
    /// When the next task of this node goes to the best bid, or is free again if its winner has not begun, in
    /// milliseconds since 1970.
    next_award: Option<u64>,
    /// Before then it is not looked at again who holds the tasks that were awarded, in milliseconds since 1970.
    winners_due: u64,
    /// Calls that claim a task, by the number of the claim.
    task_waits: BTreeMap<u64, Waiting>,
    /// When a log was left last because this machine's clock had been ahead.
    left_future_log: Option<Duration>,

    generation: u32,
    commits: u64,
    in_flight: VecDeque<InFlight>,
    reads: BTreeMap<ReadToken, Then>,
    next_read: u64,
    verifying: BTreeMap<VerifyToken, Batch>,
    in_verification: BTreeSet<OpId>,
    next_verify: u64,
    watches: Watches,
    leases: Leases,
    tidy: Tidy,
    notices: Notices,
    /// Documents that are being made again, and the changes that came meanwhile; those of this node must not be
    /// edited until that is done.
    remaking: BTreeMap<(ConversationId, NodeId), Vec<Arc<Verified>>>,
    /// Calls that came while the own document was being made again.
    deferred: Vec<(CallId, Caller, Request)>,
    /// Conversations in which an earlier log of this node is coming back.
    recovering: BTreeMap<ConversationId, Recovery>,
    /// Own entries that others may have and this node has not; until they are here it says nothing of itself.
    lost: Option<Lost>,
    /// Entries for positions whose own entry is still on its way to the store.
    contested: Vec<(Verified, NodeId)>,
    /// The own log was found to go further elsewhere, so a new one is to be started.
    epoch_due: bool,
    /// What a failure of the store left undone.
    undone: Vec<Again>,
    undone_at: Option<Duration>,
    effects: Vec<Effect>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("node", &self.key.id()).finish_non_exhaustive()
    }
}

impl Core {
    /// Starts a node from what it stored, and returns what it wants done first.
    pub fn new(now: Now, start: Start) -> (Self, Vec<Effect>) {
        let own = start.chain.certificate();
        let network = start.chain.network();
        let mut members = Members::new(own.organisation);
        let me = start.key.id();
        // Checked when the chain was stored; a chain that no longer fits shows as a node without members.
        drop(members.learn(me, start.chain.clone()));
        let mut core = Self {
            key: start.key,
            root: start.root,
            network,
            lobby: ConversationId::lobby(&network),
            chain: start.chain,
            epoch: start.epoch,
            rng: ChaCha20Rng::from_seed(start.seed),
            now,
            started: now,
            home: start.home,
            pid: start.pid,
            warnings: start.warnings,
            listening: Vec::new(),
            logs: Logs::default(),
            members,
            documents: Documents::default(),
            notes: Notes::default(),
            pending: Pending::default(),
            recent: Recent::default(),
            quotas: Quotas::default(),
            position: start.stored.position,
            ops: BTreeMap::new(),
            forks: BTreeMap::new(),
            proofs: Proofs::default(),
            tickets: BTreeMap::new(),
            pin: None,
            reaches: BTreeMap::new(),
            surfaced: receipts::Surfaced::default(),
            judged: BTreeSet::new(),
            budgets: doors::budget::Budgets::default(),
            shown: doors::shown::Shown::default(),
            sessions: BTreeMap::new(),
            seen: BTreeMap::new(),
            fetching: BTreeMap::new(),
            renewal_due: now.monotonic,
            next_closing: None,
            next_award: None,
            winners_due: 0,
            task_waits: BTreeMap::new(),
            left_future_log: None,
            generation: 0,
            commits: 0,
            in_flight: VecDeque::new(),
            reads: BTreeMap::new(),
            next_read: 0,
            verifying: BTreeMap::new(),
            in_verification: BTreeSet::new(),
            next_verify: 0,
            watches: Watches::default(),
            leases: Leases::default(),
            tidy: Tidy::default(),
            notices: Notices::default(),
            remaking: BTreeMap::new(),
            deferred: Vec::new(),
            recovering: BTreeMap::new(),
            lost: None,
            contested: Vec::new(),
            epoch_due: false,
            undone: Vec::new(),
            undone_at: None,
            effects: Vec::new(),
        };
        core.restore(start.stored);
        core.check_closings();
        core.restore_claims();
        core.note_awards();
        core.may_be_over(1);
        core.begin(start.person, start.inviter);
        for (key, seq) in core.forks.clone() {
            core.find_void_edits(key, seq, 0);
        }
        let effects = std::mem::take(&mut core.effects);
        (core, effects)
    }

    fn restore(&mut self, stored: input::Stored) {
        self.pin = stored.pin;
        for chain in &stored.members {
            let Ok(chain) = Chain::decode(chain) else { continue };
            // Members of an organisation that this node has left stay unknown.
            drop(self.members.learn(chain.subject(), chain));
        }
        for log in &stored.logs {
            let tip = Tip { height: log.height, head: log.head, hlc: fedp2p_protocols::hlc::Hlc::from_u64(log.hlc) };
            self.logs.restore(log.key, log.conversation, tip);
            // What is written next will most likely depend on these.
            self.recent.insert(tip.head, tip.hlc);
            *self.ops.entry(log.conversation).or_default() += log.height;
        }
        for fork in &stored.forks {
            self.logs.freeze(fork.key, fork.conversation, fork.seq, fork.common);
            self.forks.insert(fork.key, fork.seq);
        }
        for change in &stored.changes {
            if self.logs.get(&key_of(change)).is_none_or(|log| log.counts(change.header().seq)) {
                self.documents.apply(change.header(), change.payload());
            }
        }
        for ticket in stored.tickets {
            self.tickets.insert(TicketId::of(&ticket.secret), ticket);
        }
        for (peer, key, height) in stored.reaches {
            self.reaches.insert((peer, key), height);
        }
        for (agent, key, seq) in stored.surfaced {
            self.note_surfaced(agent, key, seq);
        }
        for (node, wall_ms) in stored.last_seen {
            self.seen.insert(node, Seen::long_ago(wall_ms));
        }
    }

    /// Takes one input and returns what is to be done, in order.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.now = now;
        self.leave_future_log();
        match input {
            Input::Tick => self.tick(),
            Input::Call { id, caller, request } => self.call(id, caller, request),
            Input::CallEnded(id) => self.call_ended(id),
            Input::Committed(token) => self.committed(token),
            Input::CommitFailed(token, error) => self.commit_failed(token, &error),
            Input::Read(token, outcome) => self.read_back(token, outcome),
            Input::Verified(token, ops) => self.verified(token, ops),
            Input::Listening(addresses) => self.listening = addresses,
            Input::Hello { exchange, peer, welcome } => self.hello(exchange, peer, *welcome),
            Input::Connected { peer, address } => self.connected(peer, address),
            Input::Disconnected { peer } => self.disconnected(peer),
            Input::Gossip { id, data } => self.gossip(id, data),
            Input::Frame { peer, frame } => self.frame(peer, &frame),
            Input::TicketShown { exchange, ticket } => self.ticket_shown(exchange, ticket),
            Input::JoinRequested { exchange, peer, ticket, request } => {
                self.join_requested(exchange, peer, ticket, &request);
            }
        }
        self.tend();
        self.tidy();
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is due next, on the monotonic clock.
    pub fn deadline(&self) -> Duration {
        let sessions = self.sessions.values().map(Session::deadline);
        let fetches = self.fetching.values().map(|fetch| fetch.deadline.min(fetch.turn.0));
        let presence = self.seen.values().filter_map(|seen| seen.deadline());
        sessions
            .chain(fetches)
            .chain(presence)
            .chain(self.pending.deadline())
            .chain(self.undone_at)
            .chain(self.recovering.values().filter_map(Recovery::deadline))
            .chain(self.lost.as_ref().and_then(Lost::deadline))
            .chain([self.renewal_due])
            .chain(self.closing_due())
            .chain(self.claims_due())
            .chain(self.award_due())
            .chain(self.task_answer_due())
            .chain(self.tidy_due())
            .chain(self.proofs.deadline())
            .min()
            .unwrap_or(Duration::MAX)
    }

    fn tick(&mut self) {
        self.pending_due();
        self.undone_due();
        self.recoveries_due();
        self.lost_due();
        self.sessions_due();
        self.presence_due();
        self.renew_if_due();
        self.close_due();
        self.awards_due();
        self.proofs_due();
    }

    fn me(&self) -> NodeId {
        self.key.id()
    }

    fn own_log(&self, conversation: &ConversationId) -> LogKey {
        LogKey { author: self.me(), log: LogId::of(&self.epoch, conversation) }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Asks the store for something; `then` says what for.
    fn read(&mut self, read: Read, then: Then) -> ReadToken {
        let token = ReadToken(self.next_read);
        self.next_read += 1;
        self.reads.insert(token, then);
        self.effect(Effect::Read(token, read));
        token
    }

    /// Writes; `then` follows once it is durable.
    fn commit(&mut self, writes: Vec<Write>, then: InFlight) {
        self.commits += 1;
        let token = CommitToken { generation: self.generation, number: self.commits };
        let me = self.me();
        let state = writes.iter().filter(|write| commit::is_state(write, &me)).cloned().collect();
        self.in_flight.push_back(InFlight { number: token.number, state, ..then });
        self.effect(Effect::Commit(Commit { token, writes }));
    }

    fn next_position(&mut self) -> u64 {
        self.position += 1;
        self.position
    }
}

fn key_of(op: &fedp2p_protocols::op::Op) -> LogKey {
    LogKey { author: op.header().author, log: op.header().log }
}
