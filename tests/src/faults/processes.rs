//! Processes that are killed, stopped, doubled or away.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use rustix::process::Signal;

use super::Outcome;
use super::group::Group;
use crate::node::{Session, message};
use crate::{eventually, holds};

const NAMES: [&str; 3] = ["taichi", "aorus", "baby"];

/// Kills one of three nodes in the middle of a thousand sends, while a call is on its way.
pub(super) fn kill() -> Option<Outcome> {
    let mut group = Group::local(&NAMES);
    let mut sessions: Vec<Option<Session>> = group.nodes.iter().map(|node| Some(node.session())).collect();
    let mut recovered = None;
    for number in 0..1_000 {
        match number {
            400 => group.nodes[1].kill(),
            600 => {
                let started = Instant::now();
                group.nodes[1].up(&[]);
                group.nodes[1].wait_for_peers(2);
                recovered = Some(started.elapsed());
                sessions[1] = Some(group.nodes[1].session());
            }
            _ => {}
        }
        let author = number % NAMES.len();
        let text = group.text(20);
        let Some(session) = &mut sessions[author] else { continue };
        match session.call(message(&[], &text)) {
            Ok(reply) => group.acknowledged(author, reply.id.to_string()),
            Err(_) => {
                assert!(!group.nodes[author].is_running(), "a running daemon does its work");
                group.unknown();
                sessions[author] = None;
            }
        }
    }
    group.agree();
    let did = "its caller got \"outcome unknown\" for the call on its way; it came back whole and kept its log";
    Some(Outcome { did: did.to_owned(), lost: group.check(), recovered })
}

/// Stops one of three nodes for so long that the others give it up, and lets it go on.
pub(super) fn suspend() -> Option<Outcome> {
    let mut group = Group::local(&NAMES);
    group.nodes[2].signal(Signal::STOP);
    let stopped = Instant::now();
    for author in [0, 1] {
        group.say(author, 50, 300);
        group.vote(author, "A");
    }
    std::thread::sleep(Duration::from_secs(20).saturating_sub(stopped.elapsed()));
    group.nodes[2].signal(Signal::CONT);
    let recovered = Some(group.agree());
    Some(Outcome { did: "the others went on; it caught up when it woke".to_owned(), lost: group.check(), recovered })
}

/// Kills random ones of twenty nodes while all talk.
pub(super) fn twenty() -> Option<Outcome> {
    const NODES: usize = 20;
    let names: Vec<String> = (0..NODES).map(|number| format!("n{number:02}x")).collect();
    let mut group = Group::local(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut random = ChaCha8Rng::seed_from_u64(20);
    for round in 0..NODES {
        let victim = random.next_u32() as usize % NODES;
        let author = (victim + 1 + random.next_u32() as usize % (NODES - 1)) % NODES;
        group.say(author, 5, 300);
        group.nodes[victim].kill();
        group.say(author, 5, 300);
        group.nodes[victim].up(&[]);
        group.say(victim, 1, 300);
        group.vote(author, if round.is_multiple_of(2) { "A" } else { "B" });
    }
    let recovered = Some(group.agree());
    Some(Outcome { did: "each came back whole; nobody was held up".to_owned(), lost: group.check(), recovered })
}

/// Starts a second daemon on a home that is in use, with the socket in place and without.
pub(super) fn two_daemons() -> Option<Outcome> {
    let mut group = Group::local(&NAMES[..2]);
    group.all_talk(5, 300);
    let up = ["up", "--listen", "127.0.0.1:0", "--no-mdns"];
    let second = group.nodes[0].refused(&up);
    assert_eq!((second.0, second.1["code"].as_str()), (1, Some("conflict")), "{second:?}");
    group.all_talk(5, 300);
    group.agree();
    Some(Outcome {
        did: "refused the second, naming the first's process".to_owned(),
        lost: group.check(),
        recovered: None,
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a world has room for a folder");
    for file in fs::read_dir(from).expect("a home can be read").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a home can be copied");
    }
}

/// Copies a home and lets both run by turns; what one key wrote in two places is two logs.
pub(super) fn copied_home() -> Option<Outcome> {
    let mut group = Group::local(&NAMES[..2]);
    group.all_talk(5, 300);
    group.agree();
    group.nodes[0].down();
    let mut twin = group.world.node("twin").called("taichi");
    copy(group.nodes[0].home(), twin.home());
    group.nodes[0].up(&[]);
    twin.up(&[]);
    assert_ne!(twin.status().log_epoch, group.nodes[0].status().log_epoch, "the copy writes another log");
    group.say(0, 5, 300);
    for number in 0..5 {
        let id = twin.send(&[], &format!("99999999 of the copy, {number}"));
        group.acknowledged(0, id.to_string());
    }
    group.in_two_logs = Some("taichi".to_owned());
    // The network takes turns with two processes of one key: each is alone for a while.
    group.nodes[0].down();
    eventually("aorus has what the copy wrote", || {
        let texts = group.nodes[1].history().into_iter().filter(|message| message.text.contains("of the copy")).count();
        holds(texts == 5, texts)
    });
    twin.down();
    let started = Instant::now();
    group.nodes[0].up(&[]);
    group.agree();
    let recovered = Some(started.elapsed());
    let forks: usize = group.nodes.iter().map(|node| node.status().forks.len()).sum();
    assert_eq!(forks, 0, "nothing contradicts itself");
    let lost = group.check();
    Some(Outcome { did: "noticed it, and the copy wrote a log of its own; no fork".to_owned(), lost, recovered })
}

/// Keeps one node away while the other writes ten thousand messages.
pub(super) fn away() -> Option<Outcome> {
    const WRITERS: usize = 8;
    let count = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
    let mut group = Group::local(&NAMES[..2]);
    group.nodes[1].down();
    let before = group.nodes[0].status().conversations[0].ops;
    let request = message(&[], &"x".repeat(300));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut session = group.nodes[0].session();
                for _ in 0..count / WRITERS {
                    session.call(request.clone()).expect("a healthy node sends");
                }
            });
        }
    });
    assert!(group.nodes[0].status().conversations[0].ops >= before + count as u64);
    group.nodes[1].up(&[]);
    let recovered = Some(group.agree());
    let written = |node: &crate::node::Node| node.json(&["log", "verify"])["ops"].as_u64();
    assert_eq!(written(&group.nodes[0]), written(&group.nodes[1]));
    Some(Outcome { did: format!("caught up with {count} messages"), lost: "nothing".to_owned(), recovered })
}
