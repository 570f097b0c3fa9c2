//! Homes that come from a backup: what they said since is not taken back before they have it again.

use fedp2p_protocols::api::{claim_list, claim_release, claim_take};
use fedp2p_protocols::claim::Mode;

use super::*;

fn take(file: &str) -> Request {
    Request::ClaimTake(claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: vec![file.to_owned()],
        mode: Mode::Exclusive,
        ttl_s: 60,
        why: None,
        no_wait: true,
    })
}

/// Three nodes: n1 held `src` and promised `docs` to n0 after the backup from which it starts now. Nobody reaches it.
fn put_back(noticed: bool) -> World {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    let backup = world.hosts[1].disk.clone();
    world.call_as(1, "coder", take("src")).unwrap();
    world.call_as(0, "writer", take("docs")).unwrap();
    assert_eq!(shown(&mut world, 2), ["1 coder@n1 Confirmed by 3", "2 writer@n0 Confirmed by 3"]);
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.hosts[1].disk = backup;
    if noticed {
        world.hosts[1].disk.epoch = Some(LogEpochId::from_bytes([99; 16]));
    }
    world.restart(1);
    world
}

fn shown(world: &mut World, n: usize) -> Vec<String> {
    let claims = world.ask(n, claim_list::Request { all: true, ..Default::default() }).claims;
    let words = |claim: &api::claim::Claim| {
        format!("{} {} {:?} by {}", claim.id, claim.by, claim.state, claim.acknowledged.len())
    };
    claims.iter().map(words).collect()
}

fn keeps_what_it_held(noticed: bool) {
    let mut world = put_back(noticed);
    world.wait(Duration::from_millis(300));
    world.connect(1, 2);
    for _ in 0..30 {
        refusal(world.call_as(2, "tester", take("src/a.rs")), ErrorCode::Conflict);
        assert_eq!(shown(&mut world, 2), ["1 coder@n1 Confirmed by 3", "2 writer@n0 Confirmed by 3"]);
        world.wait(Duration::from_millis(100));
    }
    assert_eq!(shown(&mut world, 1), shown(&mut world, 2));
    world.connect(0, 1);
    world.assert_agreed();
    // And it goes on from there, with a number that nobody has had.
    let reply = world.call_as(1, "coder", take("tests")).unwrap();
    let Reply::ClaimTake(claim) = reply else { panic!("{reply:?}") };
    assert!(claim.fence.counter > 2, "{claim:?}");
    assert_eq!(shown(&mut world, 0).last().unwrap(), &format!("{} coder@n1 Confirmed by 3", claim.id));
    world.restart(1);
    world.connect(1, 2);
    world.assert_agreed();
}

#[test]
fn a_home_from_a_backup_takes_back_nothing_that_others_go_by() {
    keeps_what_it_held(false);
}

#[test]
fn a_home_that_is_known_to_come_from_a_backup_waits_for_others_before_it_speaks() {
    keeps_what_it_held(true);
}

/// Its agent has a client, which comes back after the start or does not.
fn does_not_write_before_it_meets_others(comes_back: bool) {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    let watches = api::watch::Request { topics: Vec::new(), hold: Some(api::watch::Hold::default()) };
    world.call_as(1, "coder", Request::Watch(watches)).unwrap();
    let backup = world.hosts[1].disk.clone();
    world.call_as(1, "coder", take("src")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.hosts[1].disk = backup;
    world.restart(1);
    let before = world.ops(1);
    if comes_back {
        let watches = api::watch::Request { topics: Vec::new(), hold: Some(api::watch::Hold::default()) };
        world.call_as(1, "coder", Request::Watch(watches)).unwrap();
    }
    world.wait(Duration::from_secs(1));
    assert_eq!(world.ops(1), before);
    world.connect(1, 2);
    world.connect(0, 1);
    world.wait(Duration::from_secs(5));
    assert!(world.status(2).forks.is_empty());
    for n in 0..3 {
        assert_eq!(shown(&mut world, n), ["1 coder@n1 Confirmed by 3"]);
    }
    world.assert_agreed();
}

#[test]
fn a_home_from_a_backup_whose_agents_are_gone_does_not_say_so_before_it_meets_others() {
    does_not_write_before_it_meets_others(false);
}

#[test]
fn a_home_from_a_backup_whose_agents_come_back_says_nothing_of_them() {
    does_not_write_before_it_meets_others(true);
}

#[test]
fn what_a_home_from_a_backup_claimed_once_is_not_told_before_the_rest_is_back() {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.call_as(1, "p1", take("src")).unwrap();
    let backup = world.hosts[1].disk.clone();
    world.connect(0, 1);
    world.connect(1, 2);
    world.call_as(1, "p1", Request::ClaimRelease(claim_release::Request { claims: Vec::new() })).unwrap();
    world.call_as(0, "writer", take("src")).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.hosts[1].disk = backup;
    world.restart(1);
    let claims = api::watch::Request { topics: vec![api::watch::Topic::Claims], hold: None };
    world.call_as(1, "p1", Request::Watch(claims)).unwrap();
    let watch = CallId(world.calls);
    world.connect(1, 2);
    world.connect(0, 1);
    world.wait(Duration::from_secs(5));
    let told = |(id, answer): &(CallId, Answer)| {
        let Answer::Event(api::watch::Event::Claim(claim)) = answer else { return None };
        (*id == watch).then(|| format!("{} {:?}", claim.by, claim.state))
    };
    let told: Vec<String> = world.hosts[1].replies.iter().filter_map(told).collect();
    assert!(told.contains(&"writer@n0 Confirmed".to_owned()), "{told:?}");
    assert!(!told.contains(&"p1@n1 Confirmed".to_owned()), "{told:?}");
    world.assert_agreed();
}

#[test]
fn a_home_from_a_backup_that_meets_nobody_goes_on_by_itself() {
    let mut world = put_back(true);
    let before = world.ops(1);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.ops(1), before);
    world.wait(Duration::from_secs(2));
    assert!(world.ops(1) > before);
    // Nor does an agent wait that has something to say.
    let mut world = put_back(true);
    world.say(1, "back");
    assert!(world.ops(1) > before);
    world.wait(Duration::from_secs(3));
    world.connect(1, 2);
    world.wait(Duration::from_secs(3));
    let pulse = world.ask(2, api::pulse::Request::default());
    assert!(pulse.agents.iter().any(|row| row.pulse.summary.as_deref() == Some("back")), "{pulse:?}");
    assert_eq!(shown(&mut world, 1), shown(&mut world, 2));
}

#[test]
fn calls_wait_until_a_home_from_a_backup_has_back_what_it_said() {
    let mut world = put_back(false);
    world.connect(1, 2);
    world.calls += 1;
    let id = CallId(world.calls);
    let caller = Caller { name: "p1".parse().unwrap(), kind: AgentKind::Person };
    world.give(1, Input::Call { id, caller, request: take("src/lib.rs") });
    let answers = |world: &World| world.hosts[1].replies.iter().filter(|(call, _)| *call == id).count();
    assert_eq!(answers(&world), 0);
    world.wait(Duration::from_secs(1));
    assert_eq!(answers(&world), 1);
    let (_, answer) = world.hosts[1].replies.iter().find(|(call, _)| *call == id).unwrap();
    assert!(matches!(answer, Answer::Error(error) if error.message.contains("coder@n1 holds")), "{answer:?}");
}
