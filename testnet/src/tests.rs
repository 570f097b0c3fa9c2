//! Every scenario with a few seeds, and proof that the checks notice what they are there for.

use std::time::Duration;

use crate::check::Invariant;
use crate::plan::{Act, Plan, Step};
use crate::scenario::{all, find};
use crate::sim::Sim;
use crate::{Failure, Report, play, replay, run, shrink, watched};

/// The failure says scenario and seed; `fedp2p-testnet replay` shows what happened.
fn holds(name: &str, seeds: std::ops::Range<u64>) {
    let scenario = find(name).unwrap();
    for seed in seeds {
        if let Err(failure) = run(&scenario, seed) {
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
            for scenario in all().iter().filter(|scenario| !scenario.large) {
                assert!(tested.contains(&scenario.name.as_str()), "{} is in no test", scenario.name);
            }
        }
    };
}

scenarios! {
    nodes_that_nothing_happens_to_agree "calm" 2;
    nodes_that_join_by_ticket_get_everything "tickets" 2;
    a_lossy_line_of_nodes_agrees "lossy-line" 2;
    both_halves_of_a_cut_network_agree_once_it_is_healed "partition" 2;
    what_reaches_one_side_only_reaches_the_other_later "one-way" 2;
    connections_that_break_again_and_again_lose_nothing "flapping" 2;
    thin_links_carry_everything_in_the_end "thin-links" 2;
    killed_processes_lose_nothing "crashes" 2;
    a_power_cut_costs_at_most_what_nobody_else_had "power" 2;
    a_full_disk_leaves_no_half_write "full-disk" 2;
    clocks_that_are_off_delay_and_do_not_divide "clocks" 2;
    clocks_that_jump_delay_and_do_not_divide "clock-jumps" 2;
    a_clock_a_day_off_is_survived "a-day-off" 2;
    a_restored_backup_gets_back_what_it_lost "backup" 3;
    a_restored_backup_that_wrote_alone_starts_a_new_log "backup-alone" 2;
    a_copied_home_contradicts_itself_and_everybody_agrees_how_far_it_counts "twin" 2;
    slow_nodes_hold_nobody_up_for_ever "slow" 2;
    machines_that_sleep_catch_up "sleepers" 2;
    nodes_come_late_and_go_for_good "comings-and-goings" 2;
    a_liar_keeps_nobody_from_agreeing "liar" 2;
    notes_that_both_halves_of_a_cut_network_edit_lose_nothing "notes" 3;
    notes_lose_nothing_to_logs_that_fork "notes-forked" 3;
    forged_and_misplaced_entries_change_nothing "forgers" 2;
    forks_by_a_member_are_proven_everywhere "forkers" 2;
    hostile_changes_spoil_nothing "bombs" 2;
    floods_are_survived "floods" 2;
    lies_about_what_is_held_hold_nobody_up "liars-in-sync" 2;
    strangers_stay_out "strangers" 2;
    everything_at_once_is_survived "everything" 1;
    liars_and_copies_and_cuts_are_survived "hostile" 1;
    a_crowd_agrees "crowd" 1;
    claims_in_a_cut_network_have_one_holder "claims" 3;
    a_power_cut_makes_nobody_forget_what_was_promised "claims-power" 3;
    numbers_are_given_once_by_a_node_that_forgot "claims-lost" 2;
    all_that_can_be_done_is_done_once "tasks" 1;
    no_task_is_forgotten_when_its_holder_dies "tasks-crashes" 1;
    no_ballot_counts_that_answers_other_options "votes" 3;
    a_member_that_claims_everything_gets_nobody_elses "usurpers" 2;
    a_member_that_does_not_do_its_tasks_keeps_nobody_from_theirs "idlers" 1;
    a_member_that_stuffs_ballots_changes_nobody_elses "ballot-stuffers" 2;
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for name in ["crashes", "hostile"] {
        let plan = Plan::new(&find(name).unwrap(), 5);
        let ((one, first), (other, second)) = (replay(&plan), replay(&plan));
        assert!(first.len() > 100);
        assert_eq!(first, second);
        assert_eq!(one.unwrap(), other.unwrap());
    }
}

#[test]
fn a_plan_reads_back_from_its_file_and_plays_the_same() {
    let plan = Plan::new(&find("everything").unwrap(), 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    plan.write(&path).unwrap();
    let read = Plan::read(&path).unwrap();
    assert_eq!(read, plan);
    assert_eq!(play(&read).unwrap(), play(&plan).unwrap());
    let far = Step { at_us: 0, act: Act::Start { node: 6 } };
    Plan { steps: vec![far], ..plan }.write(&path).unwrap();
    assert!(Plan::read(&path).unwrap_err().to_string().contains("names node 6"));
}

fn spoilt(name: &str, spoil: impl FnOnce(&mut Sim)) -> Result<Report, Failure> {
    watched(&Plan::new(&find(name).unwrap(), 1), false, spoil).0
}

#[test]
fn a_store_that_drops_a_committed_op_is_noticed() {
    let failure = spoilt("calm", |sim| sim.nodes[1].disk.forgets = Some(20)).unwrap_err();
    assert!(failure.to_string().starts_with("scenario calm with seed 1:"), "{failure}");
    assert!(failure.faults.iter().any(|fault| fault.text.contains("n1")), "{failure}");
}

#[test]
fn a_node_that_is_cut_off_for_ever_is_noticed() {
    let failure = spoilt("calm", |sim| sim.mesh.halls.extend([(1, 7), (2, 7)])).unwrap_err();
    assert_eq!(failure.invariant(), Invariant::Converge, "{failure}");
}

#[test]
fn a_commit_that_is_lost_in_a_crash_is_noticed() {
    let lose = |sim: &mut Sim| {
        sim.nodes[2].disk.forgets = Some(16);
        sim.at(Duration::from_secs(15), crate::sim::Event::Act(Act::Crash { node: 2, ms: 100 }));
    };
    assert!(spoilt("calm", lose).is_err());
}

#[test]
fn a_failing_plan_is_cut_down_to_what_it_takes_to_fail() {
    let mut plan = Plan::new(&find("calm").unwrap(), 1);
    // A clock so far back that its certificate is not valid yet throws a node out.
    let off_ms = -40 * 24 * 3600 * 1000;
    plan.steps.push(Step { at_us: 9_000_000, act: Act::SetClock { node: 1, off_ms } });
    plan.steps.sort_by_key(|step| step.at_us);
    let failure = play(&plan).unwrap_err();
    assert_eq!(failure.invariant(), Invariant::Honest, "{failure}");
    let shrunk = shrink::shrink(&plan, &failure, 200);
    assert_eq!(shrunk.failure.invariant(), Invariant::Honest);
    assert!(shrunk.plan.steps() <= 4, "{:?}", shrunk.plan);
}
