#![expect(clippy::unwrap_used, reason = "a target that cannot go on has found something")]
//! Fuzz targets for everything that a stranger, a hostile member or a program on this machine can send.
//!
//! A target takes any bytes, asserts what must hold, and says how deep the bytes came. `cargo test -p fedp2p-fuzz` runs
//! each on its seeds, on the committed corpus and on a few thousand mutations of them that are always the same, and
//! checks that all depths were reached. `tests/fuzz/run TARGET` runs one with libFuzzer, guided by coverage.
//!
//! | module | holds |
//! |---|---|
//! | [`targets`] | the targets |
//! | [`mutate`] | the mutations that are always the same |
//! | `forge`, `disk` | a change by hand, a store in memory, shared with other tests |

#[expect(dead_code, reason = "shared with the simulator")]
#[path = "../../../testnet/src/disk.rs"]
mod disk;
#[expect(dead_code, reason = "shared with the tests of the gate")]
#[path = "../../../crdt/tests/hostile/forge.rs"]
mod forge;
pub mod mutate;
pub mod targets;

use std::path::PathBuf;

/// One thing to fuzz.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any bytes and says how deep they came.
    pub run: fn(&[u8]) -> String,
    /// Inputs to begin with, made from what honest programs send.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many mutations the bounded run makes.
    pub rounds: u32,
    /// How deep the bounded run must come.
    pub depths: &'static [&'static str],
}

impl Target {
    /// The folder of the committed inputs, which coverage has found.
    pub fn corpus(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }

    /// Reads the committed inputs, in the order of their names.
    pub fn committed(&self) -> Vec<Vec<u8>> {
        let Ok(folder) = std::fs::read_dir(self.corpus()) else { return Vec::new() };
        let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }
}

/// Returns the target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    targets::ALL.iter().find(|target| target.name == name)
}

/// Takes values off the front of an input; where it ends, zeros follow.
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Starts at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Takes a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// Takes a number of any size: a few bytes, or one near a power of two.
    pub fn number(&mut self) -> u64 {
        let kind = self.byte();
        match kind >> 6 {
            0 => u64::from(kind & 0x3f),
            1 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            2 => (1u64 << (kind & 0x3f)).wrapping_sub(1).wrapping_add(u64::from(self.byte() % 3)),
            _ => u64::MAX - u64::from(kind & 0x3f),
        }
    }

    /// Takes at most this many bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Takes bytes behind a byte that says how many.
    pub fn short(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.bytes(count)
    }
}
