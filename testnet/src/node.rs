//! One simulated node: a core, its disk and the clock of its machine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fedp2p_core::input::{Introduction, Now, Start};
use fedp2p_core::store::Commit;
use fedp2p_core::{Core, Effect};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{LogEpochId, NodeId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::NodeKey;

use crate::disk::Disk;

/// The wall clock when a run begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

pub(crate) struct Node {
    pub(crate) key: NodeKey,
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
    pub(crate) skew_ms: i64,
    pub(crate) full_until: Duration,
    pub(crate) tick_at: Option<Duration>,
    /// Gossip messages it has seen.
    pub(crate) gossip: BTreeMap<[u8; 20], Vec<u8>>,
    pub(crate) agents: Vec<AgentName>,
    /// Claims heights that it does not have.
    pub(crate) lies: bool,
    /// Runs on a copy of another node's home, or another runs on a copy of this one's.
    pub(crate) twin: bool,
    /// Has lost commits, so that what it says may be excused.
    pub(crate) lost: bool,
}

impl Node {
    pub(crate) fn new(seed: [u8; 32], agents: Vec<AgentName>) -> Self {
        Self {
            key: NodeKey::from_seed(seed),
            root: None,
            chain: None,
            inviter: None,
            core: None,
            disk: Disk::default(),
            queue: VecDeque::new(),
            incarnation: 0,
            skew_ms: 0,
            full_until: Duration::ZERO,
            tick_at: None,
            gossip: BTreeMap::new(),
            agents,
            lies: false,
            twin: false,
            lost: false,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.key.id()
    }

    pub(crate) fn clock(&self, now: Duration) -> Now {
        let wall_ms = EPOCH_MS + now.as_millis() as u64;
        Now { wall_ms: wall_ms.saturating_add_signed(self.skew_ms), monotonic: now }
    }

    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, now: Duration, seed: [u8; 32], epoch: [u8; 16]) -> Option<Vec<Effect>> {
        let stored = self.disk.own_chain.as_deref().and_then(|chain| Chain::decode(chain).ok());
        let chain = stored.or_else(|| self.chain.clone())?;
        self.incarnation += 1;
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
    }
}
