//! Hostile changes in entries that are signed as they should be: they stay in the log as evidence, are left out of the
//! picture equally everywhere, and touch nobody else's.

use fedp2p_crdt::content::{Agent, Content, Entry};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::payload::{Change, Checkpoint, MAX_RECEIPT_ENTRIES, Receipt, Surfaced};

use super::*;

mod claims;

impl Scribe {
    fn document(&self) -> Document {
        let (node, conversation) = (self.key.id(), ConversationId::lobby(&self.chain.network()));
        Document::new(DocumentId { node, log: self.log, conversation, epoch: 1 })
    }

    fn checkpoint(&mut self) -> Verified {
        self.sign(self.header(Kind::Checkpoint), &Checkpoint { epoch: 1, changes: 1 }.encode())
    }

    fn change(&mut self, bytes: &[u8]) -> Verified {
        self.sign(self.header(Kind::Change), &Change { epoch: 1, change: bytes.to_vec() }.encode())
    }
}

fn register(document: &mut Document, name: &str) -> Vec<u8> {
    let entry = Entry::Agent(name.parse().unwrap(), Agent { kind: AgentKind::Ai, said: None });
    document.write(&[entry.into()], WALL_MS).unwrap().unwrap()
}

/// Changes that cannot be admitted where `next` could: a byte changed, cut short, from elsewhere.
fn spoilt(first: &[u8], next: &[u8]) -> Vec<Vec<u8>> {
    let flipped = (0..next.len()).step_by(3).map(|at| {
        let mut bytes = next.to_vec();
        bytes[at] ^= 0x41;
        bytes
    });
    let cut = (0..next.len()).step_by(7).map(|length| next[..length].to_vec());
    flipped.chain(cut).chain([first.to_vec(), [next, next].concat(), fedp2p_crdt::genesis::CHANGE.to_vec()]).collect()
}

/// What a node of this id says, as node `n` sees it.
fn content(world: &World, n: usize, node: NodeId) -> Content {
    let core = &world.hosts[n].core;
    core.documents.content(&core.lobby, &node).clone()
}

#[test]
fn hostile_changes_are_kept_as_evidence_and_left_out_of_every_picture() {
    let mut world = World::connected(2);
    world.say(0, "honest zero");
    world.say(1, "honest one");
    let honest = [world.id(0), world.id(1)];
    let before = honest.map(|node| content(&world, 0, node));
    let mut scribe = Scribe::new(2, 3);
    let mut document = scribe.document();
    let first = register(&mut document, "early");
    let mut fork = document.clone();
    let next = register(&mut document, "late");
    let mut ops = vec![scribe.start(), scribe.checkpoint(), scribe.change(&first)];
    let spoilt = spoilt(&first, &next);
    ops.extend(spoilt.iter().map(|bytes| scribe.change(bytes)));
    ops.push(scribe.change(&next));
    // One that was good in its place, had the other not come first.
    ops.push(scribe.change(&register(&mut fork, "never")));
    for op in &ops {
        world.push(1, 0, &[op]);
    }
    world.wait(Duration::from_secs(60));
    let check = |world: &mut World| {
        for n in 0..2 {
            assert!(ops.iter().all(|op| world.holds(n, op)), "n{n} lacks evidence");
            assert_eq!(honest.map(|node| content(world, n, node)), before);
            let hostile = content(world, n, ops[0].header().author);
            let names: Vec<&str> = hostile.agents.keys().map(AgentName::as_str).collect();
            assert_eq!(names, ["early", "late"]);
        }
        world.assert_agreed();
    };
    check(&mut world);
    let digests = world.digests(0);
    for n in 0..2 {
        world.restart(n);
        assert_eq!(world.digests(n), digests);
    }
    check(&mut world);
}

/// What receipts name takes memory only where something follows from it.
#[test]
fn receipts_that_name_unknown_logs_or_ever_new_agents_are_not_remembered() {
    let mut world = World::connected(2);
    let (mut scribe, start) = Scribe::log(2, 3, 0);
    world.push(1, 0, &start.iter().collect::<Vec<_>>());
    let lobby = world.hosts[0].core.lobby;
    let own = world.hosts[0].core.own_log(&lobby);
    let before = world.hosts[0].core.surfaced.len();
    let mut says = |world: &mut World, agent: &str, surfaced: Vec<Surfaced>| {
        let mut header = scribe.header(Kind::Receipt);
        header.agent = Some(agent.parse().unwrap());
        let op = scribe.sign(header, &Receipt { surfaced, ..Receipt::default() }.encode());
        world.push(1, 0, &[&op]);
        assert!(world.holds(0, &op));
    };
    for number in 0..8u8 {
        let unknown = (0..MAX_RECEIPT_ENTRIES).map(|at| {
            let log = LogId::from_bytes(std::array::from_fn(|byte| [number, at as u8][byte % 2]));
            Surfaced { author: own.author, log, seq: 7 }
        });
        let unknown: Vec<Surfaced> = unknown.collect();
        let foreign = unknown.iter().map(|surfaced| Surfaced { author: key(77).id(), ..*surfaced }).collect();
        says(&mut world, "ghost", unknown);
        says(&mut world, "ghost", foreign);
    }
    assert_eq!(world.hosts[0].core.surfaced.len(), before);
    for number in 0..1100 {
        says(&mut world, &format!("ghost{number}"), vec![Surfaced { author: own.author, log: own.log, seq: 1 }]);
    }
    assert_eq!(world.hosts[0].core.surfaced.len(), before + 1024);
    world.restart(0);
    assert_eq!(world.hosts[0].core.surfaced.len(), before + 1024);
}
