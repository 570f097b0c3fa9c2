//! Reads typed content out of a document, all of it or what stands below one path.
//!
//! Reading is total: what is malformed, over a limit or in the wrong place is left out. Automerge picks the winner
//! where one key holds several values. Reading a part and replacing it ([`replace`]) gives the same content as
//! reading everything.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use automerge::{ObjId, ObjType, ROOT, ReadDoc, ScalarValueRef, ValueRef};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{AgentId, Ballot, BallotKey, Closing, Mechanism, Proposal, ProposalKey};

use crate::content::{self, Agent, Ballots, Content, MAX_COUNTED, Said};
use crate::genesis;

/// Most fields of one record. Later versions may add some; a map with more is no record.
const MAX_FIELDS: usize = 64;

pub(crate) const AGENTS: &str = "agents";
pub(crate) const PROPOSALS: &str = "proposals";
pub(crate) const BALLOTS: &str = "ballots";

/// Returns how many keys, the section's own included, lead to the smallest part of it that is read by itself.
///
/// All keys below that lead to the same part, so that a change of many fields reads it once.
pub(crate) fn path_keys(section: &str) -> usize {
    match section {
        AGENTS | PROPOSALS => 2,
        // A node, a proposal, a voter and a number: a voter can have cast very many.
        BALLOTS => 5,
        // Nothing is read there.
        _ => 1,
    }
}

/// How documents spell the kinds of agents.
const KINDS: [(AgentKind, &str); 2] = [(AgentKind::Person, "person"), (AgentKind::Ai, "ai")];
/// How documents spell the mechanisms.
const MECHANISMS: [(Mechanism, &str); 1] = [(Mechanism::Poll, "poll")];

/// Returns how documents spell `kind`; nothing for one that this version does not know.
pub(crate) fn kind_text(kind: AgentKind) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, text)| *text)
}

/// Returns how documents spell `mechanism`; nothing for one that this version does not know.
pub(crate) fn mechanism_text(mechanism: Mechanism) -> Option<&'static str> {
    MECHANISMS.iter().find(|(known, _)| *known == mechanism).map(|(_, text)| *text)
}

/// Returns the value that is spelled `text`.
fn spelled<T: Copy>(names: &[(T, &str)], text: &str) -> Option<T> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value)
}

/// A leaf of a document, as far as content is made of such leaves.
enum Leaf {
    Text(String),
    Number(u64),
    Map(ObjId),
}

/// The entries of one map that mean something.
struct Fields(BTreeMap<String, Leaf>);

impl Fields {
    /// Reads a map; nothing if it has more than `most` entries, as reading it again must stay cheap.
    fn read(document: &impl ReadDoc, map: &ObjId, most: usize) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for (index, entry) in document.map_range(map, ..).enumerate() {
            if index == most {
                return None;
            }
            let leaf = match &entry.value {
                ValueRef::Object(ObjType::Map) => Some(Leaf::Map(entry.id())),
                ValueRef::Object(_) => None,
                ValueRef::Scalar(scalar) => scalar_leaf(scalar),
            };
            if let Some(leaf) = leaf {
                fields.insert(entry.key.into_owned(), leaf);
            }
        }
        Some(Self(fields))
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.0.remove(key) {
            Some(Leaf::Text(text)) => Some(text),
            Some(Leaf::Number(_) | Leaf::Map(_)) | None => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.0.get(key) {
            Some(&Leaf::Number(number)) => Some(number),
            Some(Leaf::Text(_) | Leaf::Map(_)) | None => None,
        }
    }

    fn small(&self, key: &str) -> Option<u32> {
        u32::try_from(self.number(key)?).ok()
    }

    fn map(&self, key: &str) -> Option<&ObjId> {
        match self.0.get(key) {
            Some(Leaf::Map(map)) => Some(map),
            Some(Leaf::Text(_) | Leaf::Number(_)) | None => None,
        }
    }
}

fn scalar_leaf(scalar: &ScalarValueRef<'_>) -> Option<Leaf> {
    // Other Automerge tools write small numbers as signed ones.
    if let ScalarValueRef::Str(text) = scalar {
        Some(Leaf::Text(text.to_string()))
    } else if let ScalarValueRef::Uint(number) = scalar {
        Some(Leaf::Number(*number))
    } else if let ScalarValueRef::Int(number) = scalar {
        Some(Leaf::Number(u64::try_from(*number).ok()?))
    } else {
        None
    }
}

/// Returns the map at `key` of `map`.
pub(crate) fn child(document: &impl ReadDoc, map: &ObjId, key: &str) -> Option<ObjId> {
    let (value, id) = document.get(map, key).ok()??;
    (value.to_objtype() == Some(ObjType::Map)).then_some(id)
}

/// Returns the maps in `map`: the one at `only`, or all.
fn children(document: &impl ReadDoc, map: &ObjId, only: Option<&Arc<str>>) -> Vec<(String, ObjId)> {
    if let Some(key) = only {
        return child(document, map, key).map(|id| (key.to_string(), id)).into_iter().collect();
    }
    let entries = document.map_range(map, ..);
    let maps = entries.filter(|entry| matches!(entry.value, ValueRef::Object(ObjType::Map)));
    maps.map(|entry| (entry.key.to_string(), entry.id())).collect()
}

/// Returns the map that the node with this key writes in.
pub(crate) fn own(document: &impl ReadDoc, own: &str) -> Option<ObjId> {
    child(document, &child(document, &ROOT, genesis::NODES)?, own)
}

/// Parses a key that must be spelled the one way its value prints.
fn exact<T: FromStr + ToString>(key: &str) -> Option<T> {
    key.parse().ok().filter(|value: &T| value.to_string() == key)
}

/// Returns what stands below `path`, counted from the map of the node with the key `own_key`.
pub(crate) fn below(document: &impl ReadDoc, own_key: &str, path: &[Arc<str>]) -> Content {
    let mut content = Content::default();
    let Some(own) = own(document, own_key) else {
        return content;
    };
    let (section, rest) = match path.split_first() {
        Some((section, rest)) => (Some(&**section), rest),
        None => (None, path),
    };
    let map = |name| {
        let wanted = section.is_none_or(|section| section == name);
        wanted.then(|| child(document, &own, name)).flatten()
    };
    if let Some(map) = map(AGENTS) {
        content.agents = agents(document, &map, rest);
    }
    if let Some(map) = map(PROPOSALS) {
        content.proposals = proposals(document, &map, rest);
    }
    if let Some(map) = map(BALLOTS) {
        content.ballots = ballots(document, &map, rest);
    }
    content
}

/// Replaces what `content` says below `path` by what was found there.
pub(crate) fn replace(content: &mut Content, path: &[Arc<str>], found: Content) {
    let Some((section, rest)) = path.split_first() else {
        *content = found;
        return;
    };
    match &**section {
        AGENTS => {
            replace_entries(&mut content.agents, rest, found.agents);
        }
        PROPOSALS => {
            replace_entries(&mut content.proposals, rest, found.proposals);
        }
        BALLOTS => {
            forget_ballots(&mut content.ballots, rest);
            for (key, voters) in found.ballots {
                let there = content.ballots.entry(key).or_default();
                for (voter, ballots) in voters {
                    // Not `append`, which walks all that is there.
                    there.entry(voter).or_default().extend(ballots);
                }
            }
        }
        _ => {}
    }
}

/// Removes the ballots below `path`, whose keys are a node, a proposal id, a voter and a number.
fn forget_ballots(ballots: &mut BTreeMap<ProposalKey, BTreeMap<AgentName, Ballots>>, path: &[Arc<str>]) {
    let Some(node) = path.first() else {
        ballots.clear();
        return;
    };
    let Some(node) = exact::<NodeId>(node) else {
        return;
    };
    let Some(id) = path.get(1) else {
        ballots.retain(|key, _| key.node != node);
        return;
    };
    let key = ProposalKey { node, id: id.to_string() };
    let Some(voters) = ballots.get_mut(&key) else {
        return;
    };
    match path.get(2) {
        Some(voter) => forget_voter(voters, voter, path.get(3)),
        None => voters.clear(),
    }
    if voters.is_empty() {
        ballots.remove(&key);
    }
}

fn forget_voter(voters: &mut BTreeMap<AgentName, Ballots>, voter: &str, number: Option<&Arc<str>>) {
    let Ok(voter) = voter.parse() else { return };
    let Some(ballots) = voters.get_mut(&voter) else {
        return;
    };
    match number {
        Some(number) => {
            exact(number).and_then(|number: u32| ballots.remove(&number));
        }
        None => ballots.clear(),
    }
    if ballots.is_empty() {
        voters.remove(&voter);
    }
}

/// Replaces the entry that the path names, or all of them.
fn replace_entries<K: Ord + FromStr, V>(entries: &mut BTreeMap<K, V>, path: &[Arc<str>], found: BTreeMap<K, V>) {
    match path.first() {
        None => *entries = found,
        Some(key) => {
            if let Ok(key) = key.parse() {
                entries.remove(&key);
            }
            entries.extend(found);
        }
    }
}

fn agents(document: &impl ReadDoc, map: &ObjId, path: &[Arc<str>]) -> BTreeMap<AgentName, Agent> {
    let found = children(document, map, path.first());
    found.into_iter().filter_map(|(name, map)| Some((exact(&name)?, agent(document, &map)?))).collect()
}

/// Reads one agent.
pub(crate) fn agent(document: &impl ReadDoc, map: &ObjId) -> Option<Agent> {
    let mut fields = Fields::read(document, map, MAX_FIELDS)?;
    let kind = spelled(&KINDS, &fields.text("kind")?)?;
    let said = fields.number("at").map(|at| Said { pulse: pulse(&mut fields), at });
    Some(Agent { kind, said })
}

fn pulse(fields: &mut Fields) -> Pulse {
    let mut pulse = Pulse::default();
    for (name, _) in Pulse::default().fields() {
        let mut only = Pulse::default();
        if let Some(field) = only.field_mut(name) {
            *field = fields.text(name);
        }
        // A field that is too long counts as never said; the others stand.
        if only.check().is_ok()
            && let (Some(to), Some(from)) = (pulse.field_mut(name), only.field_mut(name))
        {
            *to = from.take();
        }
    }
    pulse
}

fn proposals(document: &impl ReadDoc, map: &ObjId, path: &[Arc<str>]) -> BTreeMap<String, Proposal> {
    let found = children(document, map, path.first());
    found
        .into_iter()
        .filter(|(id, _)| content::check_proposal_id(id).is_ok())
        .filter_map(|(id, map)| Some((id, proposal(document, &map)?)))
        .collect()
}

/// Reads one proposal.
pub(crate) fn proposal(document: &impl ReadDoc, map: &ObjId) -> Option<Proposal> {
    let mut fields = Fields::read(document, map, MAX_FIELDS)?;
    let proposal = Proposal {
        by: exact(&fields.text("by")?)?,
        question: fields.text("question")?,
        options: options(document, fields.map("options")?)?,
        mechanism: spelled(&MECHANISMS, &fields.text("mechanism")?)?,
        revision: fields.small("revision")?,
        opened: fields.number("opened")?,
        closed: fields.map("closed").and_then(|map| closing(document, map)),
    };
    content::check_proposal(&proposal).is_ok().then_some(proposal)
}

/// Reads the options: every key from `00` up, and no other.
fn options(document: &impl ReadDoc, map: &ObjId) -> Option<Vec<String>> {
    let entries = Fields::read(document, map, MAX_FIELDS)?.0.into_iter().enumerate();
    entries
        .map(|(index, (key, leaf))| match leaf {
            Leaf::Text(option) if key == option_key(index) => Some(option),
            Leaf::Text(_) | Leaf::Number(_) | Leaf::Map(_) => None,
        })
        .collect()
}

/// The key of the option at `index`.
pub(crate) fn option_key(index: usize) -> String {
    format!("{index:02}")
}

fn closing(document: &impl ReadDoc, map: &ObjId) -> Option<Closing> {
    let fields = Fields::read(document, map, MAX_FIELDS)?;
    let at = fields.number("at")?;
    let mut closing = Closing { at, counted: Vec::new() };
    if let Some(map) = fields.map("counted") {
        let nodes = Fields::read(document, map, MAX_COUNTED)?;
        for node in nodes.0.keys() {
            let Some(map) = nodes.map(node) else { continue };
            let Some(node) = exact::<NodeId>(node) else {
                continue;
            };
            let room = MAX_COUNTED - closing.counted.len();
            let numbers = Fields::read(document, map, room)?;
            closing.counted.extend(numbers.0.keys().filter_map(|key| {
                let name = exact::<AgentName>(key)?;
                let number = numbers.small(key).filter(|&number| number > 0)?;
                Some(BallotKey { voter: AgentId { node, name }, number })
            }));
        }
    }
    closing.counted.sort_unstable();
    Some(closing)
}

fn ballots(
    document: &impl ReadDoc,
    map: &ObjId,
    path: &[Arc<str>],
) -> BTreeMap<ProposalKey, BTreeMap<AgentName, Ballots>> {
    let mut ballots: BTreeMap<ProposalKey, BTreeMap<AgentName, Ballots>> = BTreeMap::new();
    for (node, map) in children(document, map, path.first()) {
        let Some(node) = exact::<NodeId>(&node) else {
            continue;
        };
        for (id, map) in children(document, &map, path.get(1)) {
            if content::check_proposal_id(&id).is_err() {
                continue;
            }
            for (voter, map) in children(document, &map, path.get(2)) {
                let Some(voter) = exact::<AgentName>(&voter) else {
                    continue;
                };
                let cast = ballots_of_voter(document, &map, path.get(3));
                if !cast.is_empty() {
                    let key = ProposalKey { node, id: id.clone() };
                    ballots.entry(key).or_default().insert(voter, cast);
                }
            }
        }
    }
    ballots
}

fn ballots_of_voter(document: &impl ReadDoc, map: &ObjId, only: Option<&Arc<str>>) -> Ballots {
    let found = children(document, map, only);
    found.into_iter().filter_map(|(number, map)| ballot(document, exact(&number)?, &map)).collect()
}

/// Reads one ballot with the given number.
pub(crate) fn ballot(document: &impl ReadDoc, number: u32, map: &ObjId) -> Option<(u32, Ballot)> {
    let mut fields = Fields::read(document, map, MAX_FIELDS)?;
    let ballot = Ballot {
        revision: fields.small("revision")?,
        choice: fields.text("choice")?,
        reason: fields.text("reason"),
        at: fields.number("at")?,
    };
    content::check_ballot(number, &ballot).is_ok().then_some((number, ballot))
}
