//! What must hold of real daemons whatever is done to them. The times are measured by the bench of the same name.

use fedp2p_tests::faults::ALL;

/// Plays a fault; it panics if anything is lost or differs.
fn play(name: &str) {
    let fault = ALL.iter().find(|fault| fault.name == name).expect("a fault of this name");
    let outcome = (fault.play)();
    assert!(outcome.is_none_or(|outcome| outcome.lost.starts_with("nothing")), "{name}");
}

macro_rules! faults {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            play($name);
        })*

        #[test]
        fn every_fault_is_played() {
            assert_eq!(ALL.map(|fault| fault.name), [$($name),*]);
        }
    };
}

faults! {
    frames_that_are_lost_now_and_then_lose_no_message: "loss-5",
    frames_that_are_lost_often_lose_no_message: "loss-20",
    a_long_way_with_jitter_loses_no_message_and_no_session: "delay",
    frames_that_come_twice_double_no_message: "doubled",
    a_narrow_link_that_is_full_is_not_torn_down: "narrow",
    a_long_way_on_which_much_is_lost_is_not_torn_down_again_and_again: "bad",
    halves_of_a_short_partition_are_one_again: "partition-5",
    halves_of_a_long_partition_are_one_again: "partition-30",
    a_link_that_carries_one_way_only_is_no_trap: "one-way",
    a_link_that_comes_and_goes_loses_nothing: "flapping",
    a_node_killed_midway_loses_and_doubles_nothing_that_was_acknowledged: "kill",
    a_suspended_node_holds_nobody_up_and_catches_up: "suspend",
    twenty_nodes_of_which_one_after_the_other_is_killed_agree: "twenty",
    a_second_daemon_on_a_home_is_refused: "two-daemons",
    a_copied_home_contradicts_nothing: "copied-home",
    a_node_that_was_away_catches_up: "away",
    a_full_disk_refuses_what_is_new_and_loses_nothing: "full-disk",
    a_disk_that_is_read_only_for_a_while_loses_nothing: "read-only",
    a_damaged_database_is_named_and_its_content_comes_back_from_the_others: "page",
    a_clock_that_is_ahead_loses_nothing: "ahead",
    a_clock_that_is_behind_loses_nothing: "behind",
    a_clock_that_jumps_loses_nothing: "jump",
}
