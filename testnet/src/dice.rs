//! Everything random in a run, from one seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// What a source of chance is for. Each has its own, so that a plan that was cut meets the same nodes and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Keys and certificates.
    Setup = 0,
    /// What happens when.
    Plan = 1,
    /// How long everything takes.
    Run = 2,
    /// Who may connect to whom.
    Shape = 3,
    /// The details of one step.
    Step = 4,
    /// All of a run of the model of gossip.
    Fanout = 5,
}

/// A seeded source of chance.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// A number below `limit`, or 0 if there is none.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.0.next_u64() % limit }
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True this often in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    /// A duration from `least` to `most` microseconds.
    pub(crate) fn micros(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(least + self.below(most.saturating_sub(least) + 1))
    }

    /// A number from 0 to 1, without either.
    pub(crate) fn fraction(&mut self) -> f64 {
        ((self.0.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Some of these, in their order: each of them as often as not, at least one, and not all of two or more.
    pub(crate) fn part(&mut self, count: usize) -> Vec<usize> {
        let mut part: Vec<usize> = (0..count).filter(|_| self.percent(50)).collect();
        if part.is_empty() || (part.len() == count && count > 1) {
            part = vec![self.index(count)];
        }
        part
    }
}
