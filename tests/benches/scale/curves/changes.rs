//! Over the changes in one agent's document: an epoch ends after 256 of them.

use fedp2p_tests::measure::Curve;
use fedp2p_tests::world::World;

use super::{pulse_latency, sizes};

/// How many changes are one point.
const STEP: usize = 32;

pub(super) fn measure(most: usize) -> Vec<Curve> {
    let columns = ["changes", "the call p50 ms", "on the last of 3 nodes p50 ms", "on the last of 3 nodes p99 ms"];
    let mut curve = Curve::new("changes_latency", "Pulse change over the changes before it", "", &columns);
    let world = World::new();
    let nodes = world.daemons(3);
    eprintln!("measuring {most} changes …");
    let points: Vec<usize> = (1..=most / STEP).map(|point| point * STEP).collect();
    for size in sizes(&points, most) {
        let (seen, calls) = pulse_latency(&nodes[0], &nodes[1..], STEP - 1);
        let [p50, p99] = seen.many_ms([0.5, 0.99]);
        curve.row([size as f64, calls.ms(0.5), p50, p99]);
    }
    vec![curve]
}
