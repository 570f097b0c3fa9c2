//! One run: the nodes find each other, messages are published in the condition's trouble, gossip ends, sync mends.

use super::Nanos;
use super::condition::Plan;
use super::figures::Tally;
use super::gossip::{Manner, Message};
use super::holdings::Entry;
use super::peers::NodeIndex;
use super::settings::{HEARTBEAT, HISTORY, MS, SECOND};
use super::trouble::ARRIVAL;
use super::world::{Event, World};

/// Most nodes that publish.
const AUTHORS: u32 = 8;
/// How long meshes settle after the nodes have found each other.
const SETTLE: Nanos = 4 * SECOND;
/// How long trouble goes on before the first message.
const EVE: Nanos = 2 * SECOND;
/// How long after it was published gossip may still bring a message: it is announced, asked for and sent.
const GOSSIP: Nanos = HISTORY.1 as Nanos * HEARTBEAT + SECOND;
/// How long sync may take for what gossip missed.
const MENDING: Nanos = 120 * SECOND;
/// How often it is looked whether all is mended.
const LOOK: Nanos = 50 * MS;

/// A world in which the plan's messages are published and gossip has done what it can.
pub(super) fn gossip(plan: Plan) -> (World, Tally) {
    let authors = AUTHORS.min(plan.nodes / 2).max(1);
    let entries: Vec<Entry> = (0..plan.messages)
        .map(|message| Entry { author: (message % authors) as u16, seq: (message / authors) as u16 + 1 })
        .collect();
    let mut world = World::new(plan, entries, authors as usize);
    world.begin();
    world.run_until(ARRIVAL + SETTLE);
    let mut tally = Tally::default();
    for node in &world.nodes {
        tally.mesh_links += node.gossip.mesh_len() as u64;
        tally.connections += node.gossip.peers().len() as u64;
        tally.nodes += 1;
    }
    world.start_trouble();
    world.run_until(world.now + EVE);
    let before = (world.figures.data_bytes, world.figures.control_bytes, world.figures.sync_bytes);
    let pace = SECOND / u64::from(plan.per_second);
    for message in 0..plan.messages {
        world.after(pace * u64::from(message), Event::Publish(message));
    }
    world.run_until(world.now + pace * u64::from(plan.messages) + GOSSIP);
    let figures = &world.figures;
    tally.data_bytes = figures.data_bytes - before.0;
    tally.control_bytes = figures.control_bytes - before.1;
    tally.sync_bytes = figures.sync_bytes - before.2;
    tally.duplicates = figures.duplicates;
    tally.shares = u64::from(plan.nodes) * u64::from(plan.messages);
    (world, tally)
}

/// Plays one run to its end.
pub(super) fn play(plan: Plan) -> Tally {
    let (mut world, mut tally) = gossip(plan);
    world.lively = false;
    let end = world.now + MENDING;
    while world.now < end && lacking(&world) > 0 {
        world.run_until(world.now + LOOK);
    }
    tally.missed = lacking(&world);
    count_deliveries(&world, &mut tally);
    tally
}

/// How many entries are missing at honest nodes that are up, those that joined late included.
fn lacking(world: &World) -> u64 {
    let last = &mut vec![0; world.authors.len()];
    for entry in &world.entries {
        last[usize::from(entry.author)] = entry.seq;
    }
    let honest = world.alive.iter().map(|node| &world.nodes[*node as usize]);
    let honest = honest.filter(|node| node.gossip.manner() == Manner::Honest);
    honest.map(|node| node.holdings.behind(last)).sum()
}

/// Adds up how each message came to each honest node that was up from well before it until gossip had done with it.
fn count_deliveries(world: &World, tally: &mut Tally) {
    for message in 0..world.entries.len() as Message {
        let published = world.figures.published[message as usize];
        let author = world.authors[usize::from(world.entries[message as usize].author)];
        for (index, node) in world.nodes.iter().enumerate() {
            let index = index as NodeIndex;
            let stayed = node.born + ARRIVAL + SECOND <= published || node.born == 0;
            let stays = node.gone.is_none_or(|gone| gone >= published + GOSSIP);
            if index == author || node.gossip.manner() != Manner::Honest || !stayed || !stays {
                continue;
            }
            tally.pairs += 1;
            let hops = world.figures.hops(index, message);
            tally.hops.extend(hops);
            let known = world.figures.known_at(index, message);
            tally.latencies.extend(known.map(|known| known - published));
            tally.missed_fast += u64::from(hops.is_none());
        }
    }
}
