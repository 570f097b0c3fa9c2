//! Every scenario with a few seeds, and proof that the checks notice what they are there for.

use std::time::Duration;

use crate::scenario::{SCENARIOS, Scenario, find};
use crate::script::Act;
use crate::sim::{Event, Sim};
use crate::{Failure, Report, play, replay, run};

/// The failure says scenario and seed; `fedp2p-testnet replay` shows what happened.
fn holds(name: &str, seeds: std::ops::Range<u64>) {
    let scenario = find(name).unwrap();
    for seed in seeds {
        if let Err(failure) = run(scenario, seed) {
            panic!("{failure}\nreplay with: fedp2p-testnet replay {name} {seed}");
        }
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal $seeds:literal;)*) => {
        $(#[test] fn $test() { holds($name, 1000..1000 + $seeds); })*

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$($name),*];
            for Scenario { name, .. } in SCENARIOS {
                assert!(tested.contains(name), "{name} is in no test");
            }
        }
    };
}

scenarios! {
    nodes_that_nothing_happens_to_agree "calm" 2;
    nodes_that_join_by_ticket_get_everything "tickets" 2;
    a_lossy_line_of_nodes_agrees "lossy-line" 2;
    both_halves_of_a_cut_network_agree_once_it_is_healed "partition" 2;
    killed_processes_lose_nothing "crashes" 2;
    a_power_cut_costs_at_most_what_nobody_else_had "power" 2;
    a_full_disk_leaves_no_half_write "full-disk" 2;
    clocks_that_are_off_delay_and_do_not_divide "clocks" 2;
    a_restored_backup_gets_back_what_it_lost "backup" 3;
    a_copied_home_contradicts_itself_and_everybody_agrees_how_far_it_counts "twin" 2;
    a_liar_keeps_nobody_from_agreeing "liar" 2;
    everything_at_once_is_survived "everything" 1;
    liars_and_copies_and_cuts_are_survived "hostile" 1;
    a_crowd_agrees "crowd" 1;
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = find("crashes").unwrap();
    let ((one, first), (other, second)) = (replay(scenario, 5), replay(scenario, 5));
    assert_eq!(first, second);
    assert_eq!(one.unwrap().events, other.unwrap().events);
}

fn spoilt(name: &str, spoil: impl FnOnce(&mut Sim)) -> Result<Report, Failure> {
    play(find(name).unwrap(), 1, false, spoil).0
}

#[test]
fn a_store_that_drops_a_committed_op_is_noticed() {
    let failure = spoilt("calm", |sim| sim.nodes[1].disk.forgets = Some(20)).unwrap_err();
    assert!(failure.to_string().starts_with("scenario calm with seed 1:"), "{failure}");
    let broken = |fault: &String| {
        fault.contains("n1") && (fault.contains("was written after") || fault.contains("on which it depends"))
    };
    assert!(failure.faults.iter().any(broken), "{failure}");
}

#[test]
fn a_node_that_is_cut_off_for_ever_is_noticed() {
    let failure = spoilt("calm", |sim| sim.mesh.halls.extend([(1, 7), (2, 7)])).unwrap_err();
    assert!(failure.to_string().contains("did not agree"), "{failure}");
}

#[test]
fn a_commit_that_is_lost_in_a_crash_is_noticed() {
    let lose = |sim: &mut Sim| {
        sim.nodes[2].disk.forgets = Some(16);
        sim.at(Duration::from_secs(15), Event::Act(Act::Crash { node: 2 }));
    };
    assert!(spoilt("calm", lose).is_err());
}
