//! Changes that are made to cost their victim as much as possible, and the documents that they are aimed at.
//!
//! The test of the memory and the bench of the time use the same list.

use std::collections::BTreeMap;

use fedp2p_crdt::document::Document;
use fedp2p_crdt::gate::{MAX_EPOCH_MAPS, MAX_EPOCH_OPS, MAX_TOUCHED_OPS};
use fedp2p_crdt::genesis;
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_CHANGE_OPS, MAX_EPOCH_CHANGES};

use crate::forge::{Forge, Op, hash, runs, signed, unsigned};
use crate::victim::{NODES, OWN, id, own_key};

/// Writes changes into a document, one after the other, and makes the next.
pub(crate) struct Author {
    pub(crate) document: Document,
    next: Forge,
    /// The counter of the last operation.
    last: u64,
    /// What stands at the keys of the maps.
    standing: BTreeMap<((u64, u64), String), u64>,
    /// The map that the attacks write to, and how many operations were written there.
    target: (u64, u64),
    touched: u64,
    maps: usize,
    /// Records that are large.
    records: Vec<(u64, u64)>,
}

impl Author {
    /// An own map with the map `agents` in it, to which the attacks write.
    pub(crate) fn new() -> Self {
        let mut author = Self {
            document: Document::new(id()),
            next: Forge::first(id().actor(), &[]),
            last: genesis::OPS,
            standing: BTreeMap::new(),
            target: (0, 3),
            touched: 0,
            maps: 1,
            records: Vec::new(),
        };
        author.write(vec![Op::map(NODES, &own_key()), Op::map(OWN, "agents")]);
        author
    }

    fn key(op: &Op) -> ((u64, u64), String) {
        (op.object.expect("no attack in this list writes to the root"), op.key.clone())
    }

    /// Names the right predecessors.
    fn settle(&mut self, mut ops: Vec<Op>) -> Vec<Op> {
        for op in &mut ops {
            self.last += 1;
            let before = self.standing.insert(Self::key(op), self.last);
            op.preds = before.into_iter().map(|counter| (0, counter)).collect();
        }
        ops
    }

    fn write(&mut self, ops: Vec<Op>) {
        self.touched += ops.iter().filter(|op| op.object == Some(self.target)).count() as u64;
        self.maps += ops.iter().filter(|op| op.action == 0).count();
        let ops = self.settle(ops);
        self.next.set_ops(&ops);
        let bytes = self.next.bytes();
        self.document.admit(&bytes).unwrap();
        self.next.deps = vec![hash(&bytes)];
        (self.next.seq, self.next.start_op) = (self.next.seq + 1, self.last + 1);
    }

    /// Makes a change that is not written.
    fn forge(&self, ops: Vec<Op>) -> Forge {
        let mut next = self.next.clone();
        let mut author = Self {
            document: Document::new(id()),
            standing: BTreeMap::new(),
            next: next.clone(),
            records: Vec::new(),
            ..*self
        };
        let there = |op: &Op| self.standing.get_key_value(&Self::key(op));
        author.standing.extend(ops.iter().filter_map(there).map(|(place, counter)| (place.clone(), *counter)));
        next.set_ops(&author.settle(ops));
        next
    }

    /// Makes as many operations as fit in a change.
    fn many(&self, op: impl Fn(u64) -> Op) -> Vec<Op> {
        (0..MAX_CHANGE_OPS).map(|at| op(self.last + 1 + at)).collect()
    }

    /// Writes such operations to the target until just one change more fits there, also if all of it is records.
    fn crowd(mut self, op: impl Fn((u64, u64), u64) -> Op) -> Self {
        let target = self.target;
        let end = MAX_TOUCHED_OPS - 2 * MAX_CHANGE_OPS;
        while self.touched < end {
            let left = (end - self.touched) as usize;
            self.write(self.many(|at| op(target, at)).into_iter().take(left).collect());
        }
        self
    }

    /// Fills the epoch until just one change more fits, with maps that hold what is asked for.
    fn fill(mut self, op: impl Fn((u64, u64), u64) -> Op) -> Self {
        let room = |author: &Self| {
            let maps = author.maps + (MAX_CHANGE_OPS + MAX_TOUCHED_OPS) as usize <= MAX_EPOCH_MAPS;
            maps && author.last + 2 * MAX_CHANGE_OPS <= MAX_EPOCH_OPS - MAX_TOUCHED_OPS
        };
        while room(&self) {
            let map = (0, self.last + 1);
            let mut ops = vec![Op::map(OWN, &format!("m{}", self.last))];
            ops.extend(self.many(|at| op(map, at)).into_iter().skip(1));
            self.write(ops);
        }
        self
    }

    /// Writes proposals that are as large as records can be.
    fn record(mut self) -> Self {
        let section = (0, self.last + 1);
        self.write(vec![Op::map(OWN, "proposals")]);
        for number in 0..8 {
            let proposal = (0, self.last + 1);
            let inner = (0, self.last + 2);
            let mut ops = vec![Op::map(section, &format!("p{number}")), Op::map(proposal, "closed")];
            ops.extend(self.many(|at| own_keys(inner, at)).into_iter().skip(2));
            self.write(ops);
            self.write(self.many(|at| own_keys(inner, at)));
            self.records.push(proposal);
        }
        self
    }

    /// Writes small changes until there is room for just one more.
    fn exhaust(mut self) -> Self {
        while self.document.changes() + 1 < MAX_EPOCH_CHANGES {
            self.write(vec![Op::put(OWN, "z", "")]);
        }
        self
    }
}

fn own_keys(map: (u64, u64), at: u64) -> Op {
    Op::put(map, &format!("k{at:x}"), "")
}

fn maps(map: (u64, u64), at: u64) -> Op {
    Op::map(map, &format!("k{at:x}"))
}

fn one_key(map: (u64, u64), _: u64) -> Op {
    Op::put(map, "z", "")
}

/// The documents under attack, from small to as large as they can be.
pub(crate) fn authors() -> Vec<(&'static str, Author)> {
    vec![
        ("small", Author::new()),
        ("one map, all keys", Author::new().crowd(own_keys)),
        ("one map, one key", Author::new().crowd(one_key)),
        ("one map of maps", Author::new().crowd(maps)),
        ("full, keys", Author::new().fill(own_keys).crowd(own_keys).exhaust()),
        ("full, maps", Author::new().fill(maps).crowd(maps).exhaust()),
        ("large records", Author::new().record()),
    ]
}

/// A change that an attacker would send, and whether the rules allow it.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) allowed: bool,
}

/// The most costly changes for the document of `author`.
pub(crate) fn attacks(author: &Author) -> Vec<Attack> {
    let mut attacks: Vec<Attack> = largest(author)
        .into_iter()
        .filter(|(_, ops)| !ops.is_empty())
        .map(|(name, ops)| Attack { name, bytes: author.forge(ops).bytes(), allowed: true })
        .collect();
    let full = author.forge(author.many(|at| own_keys(author.target, at)));
    let refused = |name, bytes: Vec<u8>| Attack { name, bytes, allowed: false };
    let mut checksum = full.bytes();
    checksum[5] ^= 1;
    attacks.push(refused("all good but the checksum", checksum));
    attacks.push(refused("all good but one run (A7)", uncanonical(&full).bytes()));
    let mut last = author.many(|at| own_keys(author.target, at));
    last.last_mut().expect("there are many").object = Some((0, 1 << 30));
    attacks.push(refused("all good but the last map (A3)", author.forge(last).bytes()));
    attacks.extend(bombs(&full));
    attacks
}

/// The largest changes that break no rule: they cost what the limits allow.
fn largest(author: &Author) -> Vec<(&'static str, Vec<Op>)> {
    let target = author.target;
    let first = author.last + 1;
    let name = |at: u64| format!("a{at:x}");
    let agent = |at: u64| match (at - first) % 4 {
        0 => Op::map(target, &name(at)),
        1 => Op::put((0, at - 1), "kind", "ai"),
        2 => Op { value: (3, vec![1]), ..Op::put((0, at - 2), "at", "") },
        _ => Op::put((0, at - 3), "summary", "s"),
    };
    let pairs = |at: u64| match (at - first) % 2 {
        0 => maps(target, at),
        _ => Op::put((0, at - 1), "z", ""),
    };
    let long = MAX_CHANGE_BYTES / MAX_CHANGE_OPS as usize - 8;
    vec![
        ("a put", vec![Op::put(target, "z", "")]),
        ("44 KiB of text", vec![Op::put(target, "z", &"x".repeat(44 * 1024))]),
        ("puts at one key", author.many(|at| one_key(target, at))),
        ("puts at new keys", author.many(|at| own_keys(target, at))),
        ("puts at long keys", author.many(|at| Op::put(target, &format!("{at:x>long$}"), ""))),
        ("long texts", author.many(|at| Op::put(target, &format!("{at:x}"), &"x".repeat(long - 8)))),
        ("maps", author.many(|at| maps(target, at))),
        ("maps with a key each", author.many(pairs)),
        ("agents with a pulse each", author.many(agent)),
        ("another own map", vec![Op::map(NODES, &own_key())]),
        (
            "a put in each of three records",
            author.records.iter().take(3).map(|record| Op::put(*record, "by", "")).collect(),
        ),
    ]
}

/// The same change with its actions in two runs instead of one.
fn uncanonical(forge: &Forge) -> Forge {
    let half = MAX_CHANGE_OPS as i64 / 2;
    let run = [signed(half), vec![1]].concat();
    forge.clone().column(0x42, run.repeat(2))
}

/// Few bytes that expand to very much, in each column that has run lengths.
fn bombs(forge: &Forge) -> Vec<Attack> {
    let run = |count: i64, value: &[u8]| [signed(count), value.to_vec()].concat();
    let names: [(&'static str, u64); 9] = [
        ("a bomb in the maps' actors", 0x01),
        ("a bomb in the maps' counters", 0x02),
        ("a bomb in the keys (A12)", 0x15),
        ("a bomb in the inserts", 0x34),
        ("a bomb in the actions (A12)", 0x42),
        ("a bomb in the kinds of values", 0x56),
        ("a bomb in the numbers of predecessors (A13)", 0x70),
        ("a bomb in the predecessors' actors (A13)", 0x71),
        ("a bomb in the predecessors' counters (A13)", 0x73),
    ];
    let bomb = |column| match column {
        0x34 => unsigned(u64::MAX),
        0x15 => run(i64::MAX, &[1, b'a']),
        0x70 => runs(&[Some(u64::MAX >> 1)], |count| unsigned(*count)),
        _ => run(i64::MAX, &[1]),
    };
    let make =
        |(name, column)| Attack { name, bytes: forge.clone().column(column, bomb(column)).bytes(), allowed: false };
    names.into_iter().map(make).collect()
}
