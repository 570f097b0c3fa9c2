//! One simulated node: a core, its disk and the clock of its machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fedp2p_core::input::{Introduction, Now, Start};
use fedp2p_core::store::Commit;
use fedp2p_core::{Core, Effect, Input};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{LogEpochId, NodeId, OpId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::sync::LogKey;

use crate::adversary::Adversary;
use crate::disk::Disk;

/// The wall clock when a run begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

/// What a node was seen to do since it was started, for the checks.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Messages that it told those who watch.
    pub(crate) told: BTreeSet<OpId>,
    /// The last entry of each log that it told.
    pub(crate) last_told: BTreeMap<LogKey, u64>,
    /// Ops that came over sync and were not acknowledged yet: from whom, bytes, which.
    pub(crate) unacknowledged: BTreeMap<usize, VecDeque<(u32, Vec<OpId>)>>,
    /// When each op came for the first time.
    pub(crate) came: BTreeMap<OpId, Duration>,
    /// Reads that were not answered yet.
    pub(crate) reads: usize,
    /// Commits of which it has not heard yet.
    pub(crate) commits: usize,
    /// Inputs since the queues were looked at.
    pub(crate) inputs: u32,
}

pub(crate) struct Node {
    pub(crate) key: NodeKey,
    id: NodeId,
    pub(crate) root: Option<NodeKey>,
    /// Its certificate; absent until it has joined.
    pub(crate) chain: Option<Chain>,
    pub(crate) inviter: Option<Chain>,
    pub(crate) core: Option<Core>,
    pub(crate) disk: Disk,
    /// Commits that wait for the disk.
    pub(crate) queue: VecDeque<Commit>,
    /// Counts up with each start, so that what was meant for an earlier process is dropped.
    pub(crate) incarnation: u32,
    /// When its process started.
    pub(crate) started: Duration,
    pub(crate) skew_ms: i64,
    pub(crate) full_until: Duration,
    pub(crate) tick_at: Option<Duration>,
    /// Gossip messages it has seen.
    pub(crate) gossip: BTreeMap<[u8; 20], std::sync::Arc<[u8]>>,
    pub(crate) agents: Vec<AgentName>,
    /// Claims heights that it does not have.
    pub(crate) lies: bool,
    /// What it breaks the rules with.
    pub(crate) adversary: Option<Adversary>,
    /// Runs on a copy of another node's home, or another runs on a copy of this one's.
    pub(crate) twin: bool,
    /// Has lost commits, so that what it says may be excused.
    pub(crate) lost: bool,
    /// Has lost promises too: its home was put back.
    pub(crate) forgot: bool,
    /// Did not notice that, and so wrote its old log once more.
    pub(crate) repeats: bool,
    /// Has gone for good, or never was to start.
    pub(crate) gone: bool,
    /// Stands still until then.
    pub(crate) frozen_until: Duration,
    /// Whether its machine sleeps meanwhile.
    asleep: bool,
    /// How long its own clock has stood still while its machine slept.
    pub(crate) slept: Duration,
    /// Needs this long for each input until then.
    pub(crate) slow: (Duration, Duration),
    /// When it is through with what it was told last.
    pub(crate) busy_until: Duration,
    /// What it was told and has not got to.
    pub(crate) backlog: VecDeque<Input>,
    pub(crate) seen: Seen,
}

impl Node {
    pub(crate) fn new(seed: [u8; 32], agents: Vec<AgentName>) -> Self {
        let key = NodeKey::from_seed(seed);
        Self {
            id: key.id(),
            key,
            root: None,
            chain: None,
            inviter: None,
            core: None,
            disk: Disk::default(),
            queue: VecDeque::new(),
            incarnation: 0,
            started: Duration::ZERO,
            skew_ms: 0,
            full_until: Duration::ZERO,
            tick_at: None,
            gossip: BTreeMap::new(),
            agents,
            lies: false,
            adversary: None,
            twin: false,
            lost: false,
            forgot: false,
            repeats: false,
            gone: false,
            frozen_until: Duration::ZERO,
            asleep: false,
            slept: Duration::ZERO,
            slow: (Duration::ZERO, Duration::ZERO),
            busy_until: Duration::ZERO,
            backlog: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Whether it keeps the rules and is there to the end, so that it must agree with all others of its kind.
    pub(crate) fn counts(&self) -> bool {
        self.adversary.is_none() && !self.gone
    }

    /// Until when it takes nothing in.
    pub(crate) fn held_until(&self) -> Duration {
        self.frozen_until.max(self.busy_until)
    }

    pub(crate) fn clock(&self, now: Duration) -> Now {
        let wall_ms = EPOCH_MS + now.as_millis() as u64;
        Now { wall_ms: wall_ms.saturating_add_signed(self.skew_ms), monotonic: now.saturating_sub(self.slept) }
    }

    /// Lets it stand still; if its machine sleeps, so does its clock.
    pub(crate) fn freeze(&mut self, now: Duration, span: Duration, asleep: bool) {
        self.frozen_until = now + span;
        self.asleep = asleep;
        if asleep {
            self.slept += span;
        }
    }

    /// Ends a standstill before its time.
    pub(crate) fn wake(&mut self, now: Duration) {
        if self.frozen_until > now {
            if self.asleep {
                self.slept -= self.frozen_until - now;
            }
            self.frozen_until = now;
        }
    }

    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, now: Duration, seed: [u8; 32], epoch: [u8; 16]) -> Option<Vec<Effect>> {
        let stored = self.disk.own_chain.as_deref().and_then(|chain| Chain::decode(chain).ok());
        let chain = stored.or_else(|| self.chain.clone())?;
        self.incarnation += 1;
        self.started = now;
        self.disk.reopen();
        self.queue.clear();
        self.tick_at = None;
        let epoch = *self.disk.epoch.get_or_insert(LogEpochId::from_bytes(epoch));
        let introduce = |chain| Introduction { chain, addresses: vec!["/memory/0".to_owned()] };
        let start = Start {
            key: self.key.clone(),
            root: self.root.clone(),
            chain,
            epoch,
            seed,
            home: "/home".to_owned(),
            pid: self.incarnation,
            warnings: Vec::new(),
            person: self.agents.first().cloned(),
            inviter: self.inviter.take().map(introduce),
            stored: self.disk.load(),
        };
        let (core, effects) = Core::new(self.clock(now), start);
        self.core = Some(core);
        Some(effects)
    }

    /// Ends the process; what was not committed is gone.
    pub(crate) fn kill(&mut self) {
        self.core = None;
        self.queue.clear();
        self.tick_at = None;
        self.gossip.clear();
        self.backlog.clear();
        self.busy_until = Duration::ZERO;
        self.frozen_until = Duration::ZERO;
        self.seen = Seen::default();
    }
}
