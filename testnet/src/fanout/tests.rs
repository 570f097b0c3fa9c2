//! What holds of every run of the model.

use super::condition::{CONDITIONS, Condition, Network, Plan};
use super::figures::{Row, Tally};
use super::gossip::{Effect, Gossip, Input, Manner, Rpc};
use super::settings::{HEARTBEAT, LAZY_FACTOR, MESH, MESH_HIGH, MESH_LOW, MS, PRUNE_BACKOFF, SECOND, Tuning};
use super::{Fanout, play};
use crate::dice::{Dice, Stream};

const DAEMON: Tuning = Tuning { mesh_low: MESH_LOW, mesh: MESH, lazy_factor: LAZY_FACTOR };

fn condition(name: &str) -> Condition {
    CONDITIONS.into_iter().find(|condition| condition.name == name).unwrap()
}

fn plan(nodes: u32, degree: Option<u32>, name: &str, seed: u64) -> Plan {
    Plan {
        nodes,
        degree,
        condition: condition(name),
        network: Network::Wan,
        tuning: DAEMON,
        messages: 12,
        message_bytes: 600,
        per_second: 10,
        seed,
    }
}

/// A mesh so thin that gossip misses some.
const THIN: Tuning = Tuning { mesh_low: 2, mesh: 6, lazy_factor: LAZY_FACTOR };

fn row(plan: Plan) -> Row {
    Row::new(plan.nodes, plan.condition.name, 1, play::play(plan))
}

#[test]
fn in_a_calm_mesh_gossip_misses_nobody() {
    for (nodes, degree) in [(14, None), (60, None), (200, Some(16)), (200, Some(32))] {
        for seed in 1..4 {
            let row = row(plan(nodes, degree, "calm", seed));
            assert_eq!(row.deliveries, u64::from(nodes - 1) * 12);
            assert_eq!((row.missed_fast, row.missed), (0, 0), "{nodes} nodes, seed {seed}");
        }
    }
}

#[test]
fn in_a_small_mesh_entries_go_straight_to_everybody_and_gossip_is_silent() {
    let row = row(plan(10, None, "loss-10", 1));
    assert_eq!((row.hops_mean, row.hops_max), (Some(1.0), Some(1)));
    assert_eq!((row.data_bytes, row.duplicates, row.missed_fast), (0.0, 0.0, 0));
}

#[test]
fn sync_mends_what_gossip_missed_in_every_condition() {
    let mut missed = 0;
    for condition in CONDITIONS {
        for seed in 1..3 {
            let row = row(Plan { tuning: THIN, ..plan(150, Some(10), condition.name, seed) });
            missed += row.missed_fast;
            assert_eq!(row.missed, 0, "{} with seed {seed}", condition.name);
        }
    }
    assert!(missed > 0, "there was something to mend");
}

#[test]
fn what_gossip_missed_is_mended_in_the_time_of_a_few_digests() {
    // With 12 sessions at each end a digest crosses a node's sessions every 1.3 s.
    let slowest = (1..6)
        .map(|seed| row(Plan { tuning: THIN, ..plan(150, Some(12), "loss-10", seed) }).last_ms)
        .fold(0.0, f64::max);
    assert!(slowest > 300.0, "some entries had to be mended: {slowest} ms");
    assert!(slowest < 15_000.0, "{slowest} ms");
}

#[test]
fn meshes_stay_within_their_bounds_once_the_nodes_know_each_other() {
    for name in ["calm", "loss-10", "silent"] {
        let (mut world, _) = play::gossip(plan(120, Some(24), name, 5));
        let end = world.now + 2 * SECOND;
        while world.now < end {
            world.run_until(world.now + HEARTBEAT);
            for node in &world.nodes {
                let (mesh, peers) = (node.gossip.mesh_len(), node.gossip.peers());
                // Links that the other end asked for are taken up to the bound, those to nodes that were dialled above
                // it too, until the next heartbeat.
                let outbound = peers.connected().filter(|peer| peers.is_outbound(*peer)).count();
                assert!((1..=MESH_HIGH + outbound).contains(&mesh), "{name}: {mesh} links");
            }
        }
        let links: usize = world.nodes.iter().map(|node| node.gossip.mesh_len()).sum();
        let mean = links as f64 / world.nodes.len() as f64;
        assert!(((MESH_LOW as f64)..MESH_HIGH as f64).contains(&mean), "{name}: {mean} links a node");
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let play = |seed| row(plan(80, Some(12), "churn", seed));
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

#[test]
fn figures_do_not_depend_on_how_many_runs_go_on_at_once() {
    let fanout = Fanout {
        nodes: vec![20, 30],
        conditions: vec!["calm".to_owned(), "drops".to_owned()],
        seeds: 2,
        from: 3,
        degree: None,
        network: Network::Lan,
        messages: 5,
        rate: 10,
        bytes: 600,
        mesh_low: MESH_LOW,
        mesh: MESH,
        lazy_factor: LAZY_FACTOR,
        json: false,
        csv: None,
    };
    let rows = fanout.rows();
    assert_eq!(rows.len(), 4);
    let alone = |nodes, name| {
        let mut tally = Tally::default();
        for seed in 3..5 {
            tally.add(play::play(fanout.plan(nodes, condition(name), seed)));
        }
        Row::new(nodes, name, 2, tally)
    };
    assert_eq!(rows[0], alone(20, "calm"));
    assert_eq!(rows[3], alone(30, "drops"));
    let csv = super::report::csv(&rows);
    assert_eq!(csv.lines().nth(2).unwrap().split(',').count(), 5, "{csv}");
}

#[test]
fn large_messages_are_declined_by_those_who_have_them() {
    let small = row(plan(60, None, "calm", 2));
    let large = row(Plan { message_bytes: 16_000, ..plan(60, None, "calm", 2) });
    assert!(large.duplicates < small.duplicates, "{} against {}", large.duplicates, small.duplicates);
    assert_eq!(large.missed_fast, 0);
}

fn machine(peers: u32) -> (Gossip, Dice) {
    let (mut gossip, mut dice) = (Gossip::new(Manner::Honest, DAEMON, 600), Dice::new(1, Stream::Fanout));
    for peer in 0..peers {
        tell(&mut gossip, &mut dice, 0, Input::Connected { peer, outbound: false });
        tell(&mut gossip, &mut dice, 0, Input::Rpc(peer, Rpc::Subscribe));
    }
    (gossip, dice)
}

fn tell(gossip: &mut Gossip, dice: &mut Dice, now: u64, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    gossip.handle(now, input, dice, &mut effects);
    effects
}

#[test]
fn a_message_reaches_the_application_once_and_is_not_sent_back() {
    let (mut gossip, mut dice) = machine(2);
    let mut checks = 0;
    for from in [0, 1, 0] {
        let effects = tell(&mut gossip, &mut dice, MS, Input::Rpc(from, Rpc::Publish(0, 1)));
        checks += effects.iter().filter(|effect| matches!(effect, Effect::Check(..))).count();
    }
    assert_eq!(checks, 1);
    let effects = tell(&mut gossip, &mut dice, 2 * MS, Input::Accepted(0, 0));
    assert!(effects.is_empty(), "both peers had it: {effects:?}");
}

#[test]
fn who_was_pruned_is_not_grafted_before_its_time() {
    let (mut gossip, mut dice) = machine(1);
    assert_eq!(gossip.mesh_len(), 1, "a subscriber is grafted while the mesh is low");
    tell(&mut gossip, &mut dice, MS, Input::Rpc(0, Rpc::Prune));
    let effects = tell(&mut gossip, &mut dice, SECOND, Input::Rpc(0, Rpc::Graft));
    assert!(matches!(effects[..], [Effect::Send(0, Rpc::Prune)]), "{effects:?}");
    tell(&mut gossip, &mut dice, 2 * SECOND, Input::Heartbeat);
    assert_eq!(gossip.mesh_len(), 0);
    // Its early try began the time anew; a heartbeat of slack comes on top.
    tell(&mut gossip, &mut dice, SECOND + PRUNE_BACKOFF + 2 * HEARTBEAT, Input::Heartbeat);
    assert_eq!(gossip.mesh_len(), 1);
}

#[test]
fn what_is_announced_is_asked_for_once_and_again_when_the_promise_is_broken() {
    let (mut gossip, mut dice) = machine(2);
    let have = |from| Input::Rpc(from, Rpc::Have(vec![4].into(), 4));
    let asked = |effects: Vec<Effect>| matches!(effects[..], [Effect::Send(_, Rpc::Want(_))]);
    assert!(asked(tell(&mut gossip, &mut dice, MS, have(0))));
    assert!(!asked(tell(&mut gossip, &mut dice, SECOND, have(1))));
    tell(&mut gossip, &mut dice, 4 * SECOND, Input::Heartbeat);
    assert!(asked(tell(&mut gossip, &mut dice, 4 * SECOND, have(1))));
}
