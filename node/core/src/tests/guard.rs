//! What keeps a commit back, at the doors.

use fedp2p_protocols::api::{claim_check, claim_take};
use fedp2p_protocols::claim::Mode;

use super::*;

#[test]
fn who_wanted_files_alone_is_kept_out_by_those_who_share_them() {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    let take = |mode, no_wait| {
        Request::ClaimTake(claim_take::Request {
            repository: "fedp2p".parse().unwrap(),
            files: vec!["src".to_owned()],
            mode,
            ttl_s: 600,
            why: None,
            no_wait,
        })
    };
    world.disconnect(0, 1);
    world.disconnect(0, 2);
    world.call_as(0, "coder", take(Mode::Exclusive, true)).unwrap();
    world.call_as(1, "tester", take(Mode::Shared, true)).unwrap();
    world.wait(Duration::from_secs(5));
    world.connect(0, 1);
    world.connect(0, 2);
    world.wait(Duration::from_secs(5));
    let held = |world: &mut World, agent: &str| {
        let request =
            claim_check::Request { repository: "fedp2p".parse().unwrap(), paths: vec!["src/a.rs".to_owned()] };
        let reply = world.call_as(0, agent, Request::ClaimCheck(request)).unwrap();
        let held = <claim_check::Request as Operation>::reply(reply).unwrap().held;
        held.into_iter().map(|held| held.claim.by.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(held(&mut world, "coder"), ["tester@n1"]);
    assert_eq!(held(&mut world, "other"), Vec::<String>::new());
    // Who shares them too is let in.
    world.call_as(0, "coder", take(Mode::Shared, true)).unwrap();
    assert_eq!(held(&mut world, "coder"), Vec::<String>::new());
}
