//! Makes the bytes of a change by hand: canonical unless told otherwise, and wrong in exactly the way asked for.

use std::collections::BTreeMap;

use fedp2p_crdt::genesis;
use sha2::{Digest, Sha256};

/// One operation on a map. References are (actor index, counter).
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) object: Option<(u64, u64)>,
    pub(crate) key: String,
    pub(crate) action: u64,
    /// The kind of the value and its bytes.
    pub(crate) value: (u64, Vec<u8>),
    pub(crate) preds: Vec<(u64, u64)>,
}

impl Op {
    pub(crate) fn put(object: (u64, u64), key: &str, text: &str) -> Self {
        let value = (6, text.as_bytes().to_vec());
        Self { object: Some(object), key: key.to_owned(), action: 1, value, preds: Vec::new() }
    }

    pub(crate) fn map(object: (u64, u64), key: &str) -> Self {
        Self { action: 0, value: (0, Vec::new()), ..Self::put(object, key, "") }
    }

    pub(crate) fn delete(object: (u64, u64), key: &str) -> Self {
        Self { action: 3, ..Self::map(object, key) }
    }

    pub(crate) fn over(mut self, preds: &[u64]) -> Self {
        self.preds = preds.iter().map(|&counter| (0, counter)).collect();
        self
    }
}

/// A change in the making.
#[derive(Clone, Debug)]
pub(crate) struct Forge {
    pub(crate) kind: u8,
    pub(crate) actor: Vec<u8>,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) deps: Vec<[u8; 32]>,
    pub(crate) time: i64,
    pub(crate) message: Vec<u8>,
    pub(crate) others: Vec<Vec<u8>>,
    pub(crate) columns: BTreeMap<u64, Vec<u8>>,
    pub(crate) extra: Vec<u8>,
}

impl Forge {
    /// The first change of `actor` after the common one, with these operations.
    pub(crate) fn first(actor: [u8; 16], ops: &[Op]) -> Self {
        let mut forge = Self {
            kind: 1,
            actor: actor.to_vec(),
            seq: 1,
            start_op: genesis::OPS + 1,
            deps: vec![hash(&genesis::CHANGE)],
            time: 0,
            message: Vec::new(),
            others: Vec::new(),
            columns: BTreeMap::new(),
            extra: Vec::new(),
        };
        forge.set_ops(ops);
        forge
    }

    /// Replaces the operations; the common actor is named if one of them refers to it.
    pub(crate) fn set_ops(&mut self, ops: &[Op]) {
        let references = ops.iter().flat_map(|op| op.object.iter().chain(&op.preds));
        let common = references.map(|&(actor, _)| actor).any(|actor| actor > 0);
        self.others = if common { vec![genesis::ACTOR.to_vec()] } else { Vec::new() };
        let preds = || ops.iter().flat_map(|op| &op.preds);
        let column = |values: Vec<Option<u64>>| runs(&values, |value| unsigned(*value));
        self.columns = [
            (0x01, column(ops.iter().map(|op| op.object.map(|(actor, _)| actor)).collect())),
            (0x02, column(ops.iter().map(|op| op.object.map(|(_, counter)| counter)).collect())),
            (0x15, texts(&ops.iter().map(|op| op.key.as_str()).collect::<Vec<_>>())),
            (0x34, unsigned(ops.len() as u64)),
            (0x42, column(ops.iter().map(|op| Some(op.action)).collect())),
            (0x56, column(ops.iter().map(|op| Some(((op.value.1.len() as u64) << 4) | op.value.0)).collect())),
            (0x57, ops.iter().flat_map(|op| op.value.1.clone()).collect()),
            (0x70, column(ops.iter().map(|op| Some(op.preds.len() as u64)).collect())),
            (0x71, column(preds().map(|&(actor, _)| Some(actor)).collect())),
            (0x73, deltas(&preds().map(|&(_, counter)| counter).collect::<Vec<_>>())),
        ]
        .into_iter()
        .filter(|(_, data)| !data.is_empty())
        .collect();
    }

    /// Replaces one column.
    pub(crate) fn column(mut self, specification: u64, data: Vec<u8>) -> Self {
        self.columns.insert(specification, data);
        self
    }

    /// The contents of the chunk.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut out = unsigned(self.deps.len() as u64);
        self.deps.iter().for_each(|dep| out.extend(dep));
        out.extend(prefixed(&self.actor));
        out.extend(unsigned(self.seq));
        out.extend(unsigned(self.start_op));
        out.extend(signed(self.time));
        out.extend(prefixed(&self.message));
        out.extend(unsigned(self.others.len() as u64));
        self.others.iter().for_each(|actor| out.extend(prefixed(actor)));
        out.extend(unsigned(self.columns.len() as u64));
        for (specification, data) in &self.columns {
            out.extend(unsigned(*specification));
            out.extend(unsigned(data.len() as u64));
        }
        self.columns.values().for_each(|data| out.extend(data));
        out.extend(&self.extra);
        out
    }

    /// The contents before and after the actor, which has 16 bytes.
    pub(crate) fn around(&self) -> [Vec<u8>; 2] {
        let contents = self.contents();
        let before = unsigned(self.deps.len() as u64).len() + 32 * self.deps.len();
        [contents[..before].to_vec(), contents[before + 1 + self.actor.len()..].to_vec()]
    }

    /// The whole chunk.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        chunk(self.kind, &self.contents())
    }
}

/// One operation on a text. References are (actor index, counter).
#[derive(Clone, Debug)]
pub(crate) struct TextOp {
    pub(crate) object: (u64, u64),
    pub(crate) key: Option<(u64, u64)>,
    pub(crate) insert: bool,
    pub(crate) action: u64,
    pub(crate) value: (u64, Vec<u8>),
    pub(crate) pred: Option<(u64, u64)>,
}

/// The columns of operations on a text.
pub(crate) fn text_columns(ops: &[TextOp]) -> BTreeMap<u64, Vec<u8>> {
    let column = |values: Vec<Option<u64>>| runs(&values, |value| unsigned(*value));
    let mut inserts = Vec::new();
    let mut flag = false;
    for group in ops.chunk_by(|a, b| a.insert == b.insert) {
        if group[0].insert != flag {
            inserts.extend(unsigned(0));
        }
        inserts.extend(unsigned(group.len() as u64));
        flag = !group[0].insert;
    }
    let preds: Vec<(u64, u64)> = ops.iter().filter_map(|op| op.pred).collect();
    [
        (0x01, column(ops.iter().map(|op| Some(op.object.0)).collect())),
        (0x02, column(ops.iter().map(|op| Some(op.object.1)).collect())),
        (0x11, column(ops.iter().map(|op| op.key.map(|(actor, _)| actor)).collect())),
        (0x13, deltas(&ops.iter().map(|op| op.key.map_or(0, |(_, counter)| counter)).collect::<Vec<_>>())),
        (0x34, inserts),
        (0x42, column(ops.iter().map(|op| Some(op.action)).collect())),
        (0x56, column(ops.iter().map(|op| Some(((op.value.1.len() as u64) << 4) | op.value.0)).collect())),
        (0x57, ops.iter().flat_map(|op| op.value.1.clone()).collect()),
        (0x70, column(ops.iter().map(|op| Some(u64::from(op.pred.is_some()))).collect())),
        (0x71, column(preds.iter().map(|(actor, _)| Some(*actor)).collect())),
        (0x73, deltas(&preds.iter().map(|(_, counter)| *counter).collect::<Vec<_>>())),
    ]
    .into_iter()
    .filter(|(_, data)| !data.is_empty())
    .collect()
}

/// Wraps contents as a chunk with the right checksum.
pub(crate) fn chunk(kind: u8, contents: &[u8]) -> Vec<u8> {
    let body = [vec![kind], unsigned(contents.len() as u64), contents.to_vec()].concat();
    let checksum = Sha256::digest(&body);
    [&[0x85, 0x6f, 0x4a, 0x83], &checksum[..4], &body].concat()
}

/// The hash of the change with these bytes.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(&bytes[8..]).into()
}

pub(crate) fn unsigned(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(crate) fn signed(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    while !(-0x40..0x40).contains(&value) {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
    out
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [unsigned(bytes.len() as u64), bytes.to_vec()].concat()
}

fn texts(values: &[&str]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|&value| Some(value)).collect();
    runs(&values, |value| prefixed(value.as_bytes()))
}

pub(crate) fn deltas(values: &[u64]) -> Vec<u8> {
    let mut before = 0;
    let deltas: Vec<_> = values
        .iter()
        .map(|&value| Some((value as i64).wrapping_sub(std::mem::replace(&mut before, value as i64))))
        .collect();
    runs(&deltas, |delta| signed(*delta))
}

/// Run-length encodes values the way Automerge does: repetitions, literal stretches and stretches of nulls.
pub(crate) fn runs<V: PartialEq>(values: &[Option<V>], encode: impl Fn(&V) -> Vec<u8>) -> Vec<u8> {
    if values.iter().all(Option::is_none) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut literal: Vec<&V> = Vec::new();
    let flush = |out: &mut Vec<u8>, literal: &mut Vec<&V>| {
        if !literal.is_empty() {
            out.extend(signed(-(literal.len() as i64)));
            literal.drain(..).for_each(|value| out.extend(encode(value)));
        }
    };
    for group in values.chunk_by(|a, b| a == b) {
        match (&group[0], group.len()) {
            (Some(value), 1) => literal.push(value),
            (Some(value), count) => {
                flush(&mut out, &mut literal);
                out.extend(signed(count as i64));
                out.extend(encode(value));
            }
            (None, count) => {
                flush(&mut out, &mut literal);
                out.extend([signed(0), unsigned(count as u64)].concat());
            }
        }
    }
    flush(&mut out, &mut literal);
    out
}
