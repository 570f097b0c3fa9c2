//! Bad cables.

use std::time::{Duration, Instant};

use super::Outcome;
use super::group::Group;
use crate::cable::Conditions;
use crate::switch::{self, Direction};

const NAMES: [&str; 3] = ["taichi", "aorus", "baby"];
/// Messages that each node sends over a bad cable, and how large they are.
const MESSAGES: usize = 30;
const BYTES: usize = 300;

/// Lets three nodes talk while every way between two of them is so; then looks at what they hold.
fn impaired(conditions: Conditions, count: usize, bytes: usize) -> Option<Outcome> {
    if !switch::is_available() {
        return None;
    }
    let mut group = Group::linked(&NAMES, 1);
    for index in 0..NAMES.len() {
        // Every frame goes in at one cable and out at another.
        group.switch().set_way(index, Direction::In, conditions);
    }
    let breaks = group.breaks();
    let started = Instant::now();
    group.all_talk(count, bytes);
    let talked = started.elapsed();
    let recovered = group.agree();
    let breaks = group.breaks() - breaks;
    let lost = group.check();
    let counts = (0..NAMES.len()).map(|index| group.switch().counts(index, Direction::In));
    let frames: u64 = counts.clone().map(|counts| counts.lost).sum();
    let did = format!(
        "took every message at once ({:.1} s for all), all had all {:.1} s later, over the bad links; {frames} frames lost, \
         {breaks} sessions",
        talked.as_secs_f64(),
        recovered.as_secs_f64()
    );
    // A link that is slow but alive must not be torn down again and again.
    assert!(breaks <= 2 * NAMES.len(), "{did}");
    Some(Outcome { did, lost, recovered: None })
}

pub(super) fn lossy(share: f64) -> Option<Outcome> {
    impaired(Conditions::loss(share), MESSAGES, BYTES)
}

pub(super) fn slow() -> Option<Outcome> {
    impaired(Conditions::delay(Duration::from_millis(100), Duration::from_millis(50)), MESSAGES, BYTES)
}

pub(super) fn doubled() -> Option<Outcome> {
    impaired(Conditions { duplication: 0.1, ..Conditions::default() }, MESSAGES, BYTES)
}

pub(super) fn narrow() -> Option<Outcome> {
    impaired(Conditions::bandwidth(1_000_000), MESSAGES, 10_000)
}

pub(super) fn bad() -> Option<Outcome> {
    let conditions = Conditions { loss: 0.2, ..Conditions::delay(Duration::from_millis(150), Duration::ZERO) };
    impaired(conditions, MESSAGES, BYTES)
}

/// Cuts one of three nodes off as `cut` does, lets all talk, and mends.
fn cut_off(cut: impl FnOnce(&mut Group), did: &str) -> Option<Outcome> {
    if !switch::is_available() {
        return None;
    }
    let mut group = Group::linked(&NAMES, 2);
    group.all_talk(5, BYTES);
    cut(&mut group);
    group.switch().set_all(Conditions::default());
    let recovered = Some(group.agree());
    Some(Outcome { did: did.to_owned(), lost: group.check(), recovered })
}

/// Talks at the beginning, the middle and the end of a time.
fn talk_for(group: &mut Group, time: Duration) {
    let started = Instant::now();
    for part in 0..3 {
        std::thread::sleep((time * part / 3).saturating_sub(started.elapsed()));
        group.all_talk(5, BYTES);
    }
    std::thread::sleep(time.saturating_sub(started.elapsed()));
}

pub(super) fn partition(length: Duration) -> Option<Outcome> {
    cut_off(
        |group| {
            group.switch().set(2, Conditions::cut());
            talk_for(group, length);
        },
        "both sides went on by themselves and were one again",
    )
}

pub(super) fn one_way() -> Option<Outcome> {
    cut_off(
        |group| {
            group.switch().set_way(2, Direction::Out, Conditions::cut());
            talk_for(group, Duration::from_secs(10));
        },
        "both sides went on by themselves and were one again",
    )
}

pub(super) fn flapping() -> Option<Outcome> {
    cut_off(
        |group| {
            for round in 0..10 {
                group.switch().set(2, Conditions::default());
                group.say(round % NAMES.len(), 5, BYTES);
                std::thread::sleep(Duration::from_millis(700));
                group.switch().set(2, Conditions::cut());
                group.say(round % NAMES.len(), 5, BYTES);
                std::thread::sleep(Duration::from_millis(300));
            }
        },
        "used what passed, and were one again",
    )
}
