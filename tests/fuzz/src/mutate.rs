//! Mutations that are always the same for the same seed: the bounded run of the targets in CI.
//!
//! They do what libFuzzer does first: change, insert, remove, repeat and splice, with numbers at which things break.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

/// Longest input that is made.
const MOST_BYTES: usize = 8 * 1024;
/// Bytes at which lengths, signs and run lengths change their meaning.
const EDGES: [u8; 12] = [0, 1, 2, 0x10, 0x3f, 0x40, 0x41, 0x7e, 0x7f, 0x80, 0xfe, 0xff];

/// Makes inputs out of inputs.
#[derive(Debug)]
pub struct Mutator {
    rng: ChaCha20Rng,
}

impl Mutator {
    /// Returns a mutator whose inputs depend on the name only.
    pub fn new(name: &str) -> Self {
        Self { rng: ChaCha20Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes()) }
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.next_u32() as usize % end.max(1)
    }

    /// Returns a mutation of one of these inputs.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(inputs.len());
        let mut bytes = inputs.get(at).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.once(&mut bytes, inputs);
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }

    fn once(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let edge = EDGES[self.below(EDGES.len())];
        let random = self.rng.next_u32() as u8;
        match (self.below(8), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << (random % 8),
            (1, Some(byte)) => *byte = edge,
            (2, Some(byte)) => *byte = byte.wrapping_add(random % 9).wrapping_sub(4),
            (3, Some(_)) => {
                let end = (at + 1 + self.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            (4, Some(_)) => {
                let end = (at + 1 + self.below(16)).min(bytes.len());
                let block = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, block);
            }
            (5, _) => {
                let other = self.below(inputs.len());
                let other = inputs.get(other).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            (6, _) => bytes.insert(at, edge),
            _ => bytes.insert(at, random),
        }
    }
}
