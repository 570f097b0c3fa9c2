//! Disks that are full, read-only or damaged.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use fedp2p_node::client::CallError;
use fedp2p_protocols::api::ErrorCode;

use super::Outcome;
use super::group::{Group, QUESTION};
use crate::lab::{self, Disk};
use crate::node::{Node, message};
use crate::world::World;
use crate::{eventually, holds};

const NAMES: [&str; 2] = ["taichi", "aorus"];
/// Bytes of a database page; SQLite's own choice.
const PAGE: usize = 4_096;

/// Two nodes, the first with its home on a small disk.
fn cramped(kib: u32) -> Option<(Group, Disk)> {
    if !lab::is_available() {
        return None;
    }
    let world = World::new();
    let disk = Disk::new(&world.path(NAMES[0]), kib);
    let nodes = NAMES.iter().map(|name| world.node(name)).collect();
    let mut group = Group::new(world, nodes);
    group.up();
    Some((group, disk))
}

/// Fills a node's disk while both talk, and makes room again.
pub(super) fn full() -> Option<Outcome> {
    let (mut group, disk) = cramped(8 * 1024)?;
    group.all_talk(5, 300);
    let filler = disk.fill();
    let mut session = group.nodes[0].session();
    let mut taken = 0;
    loop {
        let text = group.text(20_000);
        match session.call(message(&[], &text)) {
            Ok(reply) => group.acknowledged(0, reply.id.to_string()),
            Err(CallError::Refused(refusal)) => {
                assert_eq!(refusal.code, ErrorCode::Storage, "{refusal:?}");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        taken += 1;
        assert!(taken < 400, "a full disk takes anything");
    }
    group.say(1, 20, 20_000);
    fs::remove_file(filler).expect("the filler is there");
    let started = Instant::now();
    group.say(0, 1, 300);
    group.agree();
    let recovered = Some(started.elapsed());
    let lost = group.check();
    group.nodes[0].kill();
    drop(disk);
    Some(Outcome { did: "refused new entries with a hint, went on reading and serving".to_owned(), lost, recovered })
}

/// Makes a stopped node's disk read-only, and writable again.
pub(super) fn read_only() -> Option<Outcome> {
    let (mut group, disk) = cramped(8 * 1024)?;
    group.all_talk(5, 300);
    group.agree();
    group.nodes[0].down();
    disk.read_only();
    let refused = group.nodes[0].try_up(&[]).expect_err("a read-only home cannot be used");
    assert!(refused.code == 1 && refused.stdout.contains("\"hint\""), "{refused:#?}");
    group.say(1, 5, 300);
    disk.writable();
    let started = Instant::now();
    group.nodes[0].up(&[]);
    group.agree();
    let recovered = Some(started.elapsed());
    let lost = group.check();
    group.nodes[0].kill();
    drop(disk);
    Some(Outcome { did: "refused to start, and said why".to_owned(), lost, recovered })
}

/// Damages a page in the middle of a stopped node's database, and does what the node says then: sets the file aside,
/// and lets the others bring everything back. So for a member, then for the founder.
pub(super) fn damaged_page() -> Option<Outcome> {
    let mut group = Group::local(&NAMES);
    group.all_talk(50, 1_000);
    group.agree();
    let recovered = [1, 0].map(|victim| {
        let before = group.nodes[victim].status();
        group.nodes[victim].down();
        let hint = damage(&group.nodes[victim]);
        let ticket;
        let words = if hint.contains("--join TICKET") {
            ticket = group.nodes[0].invite();
            ["--join", &ticket]
        } else {
            assert!(hint.contains("--organisation NAME"), "{hint}");
            ["--organisation", before.node.organisation_name.as_str()]
        };
        let started = Instant::now();
        group.nodes[victim].up(&words);
        let after = group.nodes[victim].status();
        assert_eq!(after.node, before.node, "it is the node that it was");
        assert_ne!(after.log_epoch, before.log_epoch, "it writes another log than the one that may go on elsewhere");
        group.agree();
        // What only its lost log said, its present one says again once no more of it comes.
        eventually("the question is asked again", || {
            let shown = group.nodes[victim].cli(&["vote", "show", QUESTION]);
            holds(shown.code == 0, &shown)
        });
        let recovered = started.elapsed();
        group.all_talk(5, 300);
        group.agree();
        recovered
    });
    let did = "\"log verify\" names it; set aside, the others bring everything back, own entries too".to_owned();
    Some(Outcome { did, lost: group.check(), recovered: recovered.into_iter().max() })
}

/// Damages a stopped node's database, puts it aside as the node says then, and returns what it said.
fn damage(node: &Node) -> String {
    let database = node.folders().database();
    let mut bytes = fs::read(&database).expect("the database is there");
    let page = used_page(&bytes) * PAGE;
    bytes[page..page + PAGE].fill(0xa5);
    fs::write(&database, &bytes).expect("the database can be written");
    let verified = node.cli(&["log", "verify", "--json"]);
    let envelope = verified.envelope();
    assert!(verified.code == 1 && envelope["log_verify"]["broken"]["problem"].is_string(), "{verified:#?}");
    let hint = envelope["error"]["hint"].as_str().expect("there is something to be done");
    assert!(hint.contains(database.to_str().expect("a plain path")) && hint.contains("--name NAME"), "{hint}");
    fs::rename(&database, database.with_extension("db.damaged")).expect("the database can be moved");
    hint.to_owned()
}

/// The used page nearest after the middle of a database, counted from 0: nobody misses what stood on a free one. The
/// free ones are listed as <https://www.sqlite.org/fileformat2.html> says in section 1.5.
fn used_page(bytes: &[u8]) -> usize {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut free = BTreeSet::new();
    let mut trunk = number(32);
    while trunk != 0 {
        let start = (trunk - 1) * PAGE;
        free.insert(trunk - 1);
        free.extend((0..number(start + 4)).map(|leaf| number(start + 8 + leaf * 4) - 1));
        trunk = number(start);
    }
    (bytes.len() / 2 / PAGE..).find(|page| !free.contains(page)).expect("a used page")
}
