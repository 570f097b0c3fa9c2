//! Saying again what proves a fork, for those who cannot know it otherwise.
//!
//! A proof spreads as an entry. Whoever comes later does not get it if that entry stands where its own log does not count
//! any more, or was never taken. Such a node counts more of the forked log than others do, and says so; the peer that
//! hears it says the proof itself, unless an entry that counts has brought it after a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload::ForkProof;
use fedp2p_protocols::sync::{Head, LogKey};

use crate::Core;
use crate::author::{Entries, log_key};
use crate::doors::Then;
use crate::store::Read;

/// How long at least, and how much longer at most, it is waited for somebody else to say it.
const WAIT: Duration = Duration::from_secs(1);
const WITHIN_MS: u64 = 5_000;
/// How many proofs a node says at once, and when it says more.
const MOST_AT_ONCE: usize = 8;
const NEXT: Duration = Duration::from_secs(1);
/// How many entries with the proof of one fork are remembered.
const MOST_CARRIERS: usize = 16;

/// A forked log, and the first position that has two entries.
type Fork = (LogKey, u64);

/// The proofs of forks: which entries hold them, and which are to be said.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// The entries that hold the proof of a fork and count, as far as is known since the start.
    carried: BTreeMap<Fork, BTreeSet<(LogKey, u64)>>,
    /// When a proof is to be said.
    owed: BTreeMap<LogKey, Duration>,
}

impl Proofs {
    /// A log counts only up to there: what stands behind that place brings nothing to anybody any more.
    pub(crate) fn void(&mut self, key: LogKey, seq: u64) {
        self.carried.retain(|(forked, at), _| *forked != key || *at <= seq);
        for carriers in self.carried.values_mut() {
            carriers.retain(|(log, at)| *log != key || *at < seq);
        }
    }

    /// Entries that held proofs were not stored.
    pub(crate) fn lose(&mut self) {
        self.carried.clear();
    }

    fn is_carried(&self, fork: &Fork) -> bool {
        self.carried.get(fork).is_some_and(|carriers| !carriers.is_empty())
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.owed.values().min().copied()
    }
}

impl Core {
    /// An entry with a proof is held now: everybody will come to have the proof, as long as the entry counts.
    pub(crate) fn proof_held(&mut self, op: &Verified) {
        let (key, seq) = (log_key(op), op.header().seq);
        let counts = self.logs.get(&key).is_none_or(|log| log.counts(seq));
        let Some(fork) = ForkProof::decode(op.payload()).ok().and_then(|proof| proof.check().ok()) else { return };
        let carriers = self.proofs.carried.entry(fork).or_default();
        if counts && carriers.len() < MOST_CARRIERS {
            carriers.insert((key, seq));
        }
    }

    /// A peer has told what it holds. If it counts more of a log than there is up to its fork, it does not know of that.
    pub(crate) fn find_unaware(&mut self, heads: &[Head]) {
        let unaware = |head: &&Head| self.forks.get(&head.key).is_some_and(|seq| head.height >= *seq);
        let forked: Vec<LogKey> = heads.iter().filter(unaware).map(|head| head.key).collect();
        for key in forked {
            let within = Duration::from_millis(u64::from_le_bytes(self.random()) % WITHIN_MS);
            let due = self.now.monotonic + WAIT + within;
            self.proofs.owed.entry(key).or_insert(due);
        }
    }

    /// Looks up the proofs that are due and that nobody else has said.
    pub(crate) fn proofs_due(&mut self) {
        let now = self.now.monotonic;
        let due: Vec<LogKey> = self.proofs.owed.iter().filter(|(_, due)| **due <= now).map(|(key, _)| *key).collect();
        let mut read = 0;
        for key in due {
            let fork = self.forks.get(&key).map(|seq| (key, *seq)).filter(|fork| !self.proofs.is_carried(fork));
            if fork.is_some() && (read == MOST_AT_ONCE || self.is_silent()) {
                self.proofs.owed.insert(key, now + NEXT);
                continue;
            }
            self.proofs.owed.remove(&key);
            if let Some((key, seq)) = fork {
                read += 1;
                self.read(Read::Proof { key, seq }, Then::Proof { key, seq });
            }
        }
    }

    /// Says a proof that is needed, if it still is.
    pub(crate) fn proof_read(&mut self, key: LogKey, seq: u64, proof: &[u8]) {
        if self.forks.get(&key) != Some(&seq) || self.proofs.is_carried(&(key, seq)) {
            return;
        }
        let (mut entries, lobby) = (Entries::default(), self.lobby);
        match self.append(&mut entries, lobby, Kind::ForkProof, None, proof) {
            Ok(said) => {
                self.commit_entries(entries);
                self.proof_held(&said);
            }
            Err(error) => self.notice(format!("the proof of a fork cannot be said again: {error}")),
        }
    }
}
