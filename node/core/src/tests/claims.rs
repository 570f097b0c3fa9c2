//! Claims: taken, refused, confirmed, lost, taken over, and what is told of all that.

use fedp2p_protocols::api::claim::{Claim, State};
use fedp2p_protocols::api::{claim_check, claim_list, claim_release, claim_renew, claim_take};
use fedp2p_protocols::claim::Mode;
use fedp2p_protocols::limits::{MAX_CLAIMED_GLOBS, MAX_CLAIMED_WILDCARDS, MAX_CLAIMS};

use super::*;

const TTL_S: u32 = 60;
const SETTLED: Duration = Duration::from_millis(2_100);

pub(super) fn take(files: &[&str]) -> claim_take::Request {
    claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: files.iter().map(ToString::to_string).collect(),
        mode: Mode::Exclusive,
        ttl_s: TTL_S,
        why: None,
        no_wait: true,
    }
}

impl World {
    fn take(&mut self, n: usize, agent: &str, files: &[&str]) -> Result<Claim, api::Error> {
        let reply = self.call_as(n, agent, Request::ClaimTake(take(files)))?;
        Ok(*<claim_take::Request as Operation>::reply(reply).unwrap())
    }

    /// All claims as a node shows them, in words.
    fn claims(&mut self, n: usize) -> Vec<String> {
        let reply = self.ask(n, claim_list::Request { all: true, ..Default::default() });
        let words = |claim: &Claim| {
            let to = claim.lost_to.as_ref().and_then(|winner| winner.by.as_ref()).map(|by| format!(" to {by}"));
            format!("{} {} {:?}{}", claim.id, claim.by, claim.state, to.unwrap_or_default())
        };
        reply.claims.iter().map(words).collect()
    }

    fn state(&mut self, n: usize, id: &str) -> State {
        let request = claim_list::Request { id: Some(id.to_owned()), ..Default::default() };
        self.ask(n, request).claims[0].state
    }

    fn release(&mut self, n: usize, agent: &str, claims: &[&str]) -> Result<Reply, api::Error> {
        let claims = claims.iter().map(ToString::to_string).collect();
        self.call_as(n, agent, Request::ClaimRelease(claim_release::Request { claims }))
    }

    /// What the agent has in its inbox.
    fn told(&mut self, n: usize, agent: &str) -> Vec<String> {
        let reply = self.call_as(n, agent, Request::Inbox(api::inbox::Request { limit: 10, held: false })).unwrap();
        let inbox = <api::inbox::Request as Operation>::reply(reply).unwrap();
        inbox.messages.into_iter().map(|message| message.text).collect()
    }

    /// Takes with waiting; the answer comes later.
    fn take_and_wait(&mut self, n: usize, agent: &str, files: &[&str]) -> CallId {
        self.calls += 1;
        let id = CallId(self.calls);
        let caller = Caller { name: agent.parse().unwrap(), kind: AgentKind::Ai };
        let request = Request::ClaimTake(claim_take::Request { no_wait: false, ..take(files) });
        self.give(n, Input::Call { id, caller, request });
        id
    }

    fn answer(&self, n: usize, id: CallId) -> Option<Result<State, String>> {
        let answers = self.hosts[n].replies.iter().filter(|(call, _)| *call == id);
        let answers: Vec<_> = answers
            .map(|(_, answer)| match answer {
                Answer::Ok(Reply::ClaimTake(claim)) => Ok(claim.state),
                Answer::Error(error) => Err(error.message.clone()),
                Answer::Ok(_) | Answer::Event(_) => panic!("{answer:?}"),
            })
            .collect();
        assert!(answers.len() <= 1);
        answers.into_iter().next()
    }
}

#[test]
fn a_node_alone_confirms_at_once() {
    let mut world = World::new(1);
    let call = world.take_and_wait(0, "coder", &["src"]);
    assert_eq!(world.answer(0, call), Some(Ok(State::Confirmed)));
    assert_eq!(world.claims(0), ["1 coder@n0 Confirmed"]);
}

#[test]
fn what_most_members_acknowledge_is_held_and_others_are_refused() {
    let mut world = World::connected(3);
    let call = world.take_and_wait(1, "coder", &["src/*.rs", "docs"]);
    assert_eq!(world.answer(1, call), Some(Ok(State::Confirmed)));
    let error = world.take(2, "tester", &["src/a*"]).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(
        error.message.starts_with("coder@n1 holds \"fedp2p:docs,src/*.rs\" since 0 s, and for 60 s more"),
        "{error}"
    );
    let free = world.take(2, "tester", &["src/*.md"]).unwrap();
    assert_eq!((free.fence.counter, free.state), (2, State::Tentative));
    assert_eq!(world.claims(0), ["1 coder@n1 Confirmed", "2 tester@n2 Confirmed"]);
    world.assert_agreed();
}

#[test]
fn a_released_claim_makes_way_and_its_successor_has_a_greater_number() {
    let mut world = World::connected(2);
    world.take(0, "coder", &["src"]).unwrap();
    world.release(0, "coder", &[]).unwrap();
    assert_eq!(world.take(1, "tester", &["src"]).unwrap().fence.counter, 2);
    assert_eq!(world.claims(0), ["1 coder@n0 Released", "2 tester@n1 Confirmed"]);
    let error = world.release(0, "coder", &["1"]).unwrap_err();
    assert_eq!(error.message, "claim 1 has ended");
}

#[test]
fn nobody_is_told_of_a_claim_that_could_not_be_stored() {
    let mut world = World::connected(2);
    let told = |world: &World| -> Vec<String> {
        let claims = world.hosts[0].events.iter().filter_map(|event| {
            let watch::Event::Claim(claim) = event else { return None };
            Some(format!("{} {}", claim.fence.counter, claim.what))
        });
        claims.collect()
    };
    world.hosts[0].disk.full = true;
    assert!(world.take(0, "coder", &["src"]).is_err());
    assert_eq!(told(&world), [""; 0]);
    world.hosts[0].disk.full = false;
    assert_eq!(world.take(0, "coder", &["docs"]).unwrap().fence.counter, 1);
    let told = told(&world);
    assert!(!told.is_empty() && told.iter().all(|claim| claim == "1 fedp2p:docs"), "{told:?}");
}

#[test]
fn sharers_share_and_keep_out_who_would_be_alone() {
    let mut world = World::connected(2);
    for n in 0..2 {
        let request = claim_take::Request { mode: Mode::Shared, ..take(&["**"]) };
        world.call_as(n, "coder", Request::ClaimTake(request)).unwrap();
    }
    assert!(world.take(0, "tester", &["src"]).is_err());
    assert_eq!(world.claims(1), ["1 coder@n0 Confirmed", "2 coder@n1 Confirmed"]);
}

#[test]
fn of_two_that_claim_at_once_one_wins_and_the_other_is_told() {
    let mut world = World::connected(3);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.disconnect(a, b);
    }
    let (one, other) = (world.take_and_wait(1, "coder", &["src"]), world.take_and_wait(2, "tester", &["src/a.rs"]));
    assert_eq!((world.answer(1, one), world.answer(2, other)), (None, None));
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.connect(a, b);
    }
    // Of two numbers that are alike, that of the lesser node wins.
    let (winner, loser) = if world.id(1) < world.id(2) { ((1, one), (2, other)) } else { ((2, other), (1, one)) };
    assert_eq!(world.answer(winner.0, winner.1), Some(Ok(State::Confirmed)));
    let refused = world.answer(loser.0, loser.1).unwrap().unwrap_err();
    assert!(refused.contains(&format!("@n{} ", winner.0)) && refused.contains("hold"), "{refused}");
    let name = if loser.0 == 1 { "coder" } else { "tester" };
    let told = world.told(loser.0, name);
    assert!(told[0].starts_with("your claim 1 on fedp2p:src") && told[0].contains("was lost to claim 1"), "{told:?}");
    let lost = |event: &watch::Event| matches!(event, watch::Event::Claim(claim) if claim.state == State::Lost);
    for host in &world.hosts {
        assert!(host.events.iter().any(lost));
    }
    world.assert_agreed();
    let all = world.claims(0);
    assert_eq!(all, world.claims(1));
    assert_eq!(all.iter().filter(|claim| claim.ends_with("Confirmed")).count(), 1, "{all:?}");
}

#[test]
fn a_part_that_is_cut_off_goes_on_and_gives_way_to_what_most_members_hold() {
    let mut world = World::connected(5);
    for (a, b) in [(0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4)] {
        world.disconnect(a, b);
    }
    let cut_off = world.take_and_wait(4, "tester", &["src"]);
    world.wait(Duration::from_millis(1_500));
    assert_eq!(world.answer(4, cut_off), None, "it waits for a competitor to show");
    assert_eq!(world.take(0, "coder", &["src"]).unwrap().state, State::Tentative);
    assert_eq!(world.claims(1), ["1 coder@n0 Confirmed"]);
    world.wait(SETTLED);
    assert_eq!(world.answer(4, cut_off), Some(Ok(State::Confirmed)));
    assert_eq!(world.claims(3), ["1 tester@n4 Confirmed"]);
    world.connect(2, 3);
    world.connect(2, 4);
    world.wait(Duration::from_secs(10));
    let mut all = world.claims(4);
    assert_eq!(all, world.claims(0));
    all.sort();
    assert_eq!(all, ["1@n0 coder@n0 Confirmed", "1@n4 tester@n4 Lost to coder@n0"]);
    assert_eq!(world.told(4, "tester").len(), 1);
}

/// A part that is cut off holds a claim, or is about to, and most members hold another with a greater number meanwhile, which
/// ends before they meet again.
fn held_meanwhile(settled: bool) -> (World, CallId) {
    let mut world = World::connected(5);
    for (a, b) in [(0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4)] {
        world.disconnect(a, b);
    }
    let cut_off = world.take_and_wait(4, "tester", &["src"]);
    if settled {
        world.wait(SETTLED);
    }
    for file in ["docs", "src/a.rs"] {
        world.take(0, "coder", &[file]).unwrap();
    }
    world.release(0, "coder", &[]).unwrap();
    assert_eq!(world.claims(1), ["1 coder@n0 Released", "2 coder@n0 Released"]);
    world.connect(2, 3);
    world.connect(2, 4);
    world.wait(Duration::from_millis(500));
    world.assert_agreed();
    (world, cut_off)
}

#[test]
fn a_claim_of_a_part_is_lost_to_what_most_members_held_meanwhile() {
    let (mut world, cut_off) = held_meanwhile(true);
    assert_eq!(world.answer(4, cut_off), Some(Ok(State::Confirmed)));
    let all = world.claims(0);
    assert!(all.contains(&"1@n4 tester@n4 Lost to coder@n0".to_owned()), "{all:?}");
    let told = world.told(4, "tester");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("was lost to claim 2 of coder@n0"), "{told:?}");
    let next = world.take(4, "tester", &["src"]).unwrap();
    assert!(next.fence.counter > 2, "{next:?}");
}

#[test]
fn a_claim_that_waits_gets_a_greater_number_than_what_most_members_held_meanwhile() {
    let (mut world, cut_off) = held_meanwhile(false);
    assert_eq!(world.answer(4, cut_off), Some(Ok(State::Confirmed)));
    let all = world.claims(0);
    assert!(all.contains(&"3 tester@n4 Confirmed".to_owned()), "{all:?}");
    assert!(world.told(4, "tester").is_empty());
}

#[test]
fn most_members_wait_for_no_settle_time_and_never_confirm_without_each_other() {
    let mut world = World::connected(3);
    // n2 is there, but nothing comes through to it or from it.
    world.links.retain(|(a, b)| *a != 2 && *b != 2);
    let call = world.take_and_wait(2, "tester", &["src"]);
    world.wait(Duration::from_secs(4));
    assert_eq!(world.answer(2, call), None);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.answer(2, call), Some(Ok(State::Tentative)));
    // Once it knows that it is alone, it goes on alone.
    world.wait(Duration::from_secs(15));
    assert_eq!(world.state(2, "1"), State::Confirmed);
}

#[test]
fn a_lease_is_renewed_while_its_agent_calls_and_taken_over_when_it_does_not() {
    let mut world = World::connected(3);
    world.take(1, "coder", &["src"]).unwrap();
    for _ in 0..10 {
        world.wait(Duration::from_secs(25));
        world.call_as(1, "coder", Request::Pulse(api::pulse::Request::default())).unwrap();
    }
    assert_eq!(world.state(0, "1"), State::Confirmed);
    assert!(world.take(2, "tester", &["src"]).is_err());
    world.wait(Duration::from_secs(90));
    assert_eq!(world.claims(0), ["1 coder@n1 Expired"]);
    assert!(world.told(1, "coder")[0].contains("gave no sign of life for 60 s"));
    assert_eq!(world.take(2, "tester", &["src"]).unwrap().fence.counter, 2);
}

#[test]
fn what_a_vanished_node_holds_is_taken_over_and_it_sees_by_whom_when_it_comes_back() {
    let mut world = World::connected(3);
    world.take(1, "coder", &["src"]).unwrap();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.wait(Duration::from_secs(30));
    assert!(world.take(2, "tester", &["src"]).is_err(), "its lease has not run out");
    // The agent is alive where it is cut off.
    for _ in 0..4 {
        world.wait(Duration::from_secs(20));
        world.call_as(1, "coder", Request::Pulse(api::pulse::Request::default())).unwrap();
    }
    assert_eq!(world.state(0, "1"), State::Overdue);
    assert_eq!(world.state(1, "1"), State::Confirmed);
    let taken = world.take(2, "tester", &["src/a.rs"]).unwrap();
    assert_eq!((taken.fence.counter, world.state(0, "2")), (2, State::Confirmed));
    world.connect(0, 1);
    assert_eq!(world.claims(1), ["1 coder@n1 Lost to tester@n2", "2 tester@n2 Confirmed"]);
    assert_eq!(world.told(1, "coder").len(), 1);
    world.connect(1, 2);
    world.assert_agreed();
}

#[test]
fn who_was_only_cut_off_from_fewer_holds_on() {
    let mut world = World::connected(3);
    world.take(1, "coder", &["src"]).unwrap();
    world.disconnect(0, 2);
    world.disconnect(1, 2);
    for _ in 0..4 {
        world.wait(Duration::from_secs(20));
        world.call_as(1, "coder", Request::Pulse(api::pulse::Request::default())).unwrap();
    }
    world.take(2, "tester", &["src"]).unwrap();
    world.wait(SETTLED);
    assert_eq!(world.state(2, "2"), State::Confirmed, "a part that is cut off goes on");
    world.connect(1, 2);
    world.connect(0, 2);
    assert_eq!(world.claims(2), ["1 coder@n1 Confirmed", "2 tester@n2 Lost to coder@n1"]);
    assert_eq!(world.told(2, "tester").len(), 1);
    assert!(world.told(1, "coder").is_empty());
}

#[test]
fn a_promise_outlives_its_process() {
    let mut world = World::new(3);
    world.connect(0, 1);
    world.take(0, "coder", &["src"]).unwrap();
    world.disconnect(0, 1);
    world.restart(1);
    world.connect(1, 2);
    let error = world.take(2, "tester", &["src"]).unwrap_err();
    assert!(error.message.contains("coder@n0"), "{error}");
}

#[test]
fn clocks_that_lie_end_no_lease() {
    let mut world = World::connected(2);
    world.take(0, "coder", &["src"]).unwrap();
    world.skew_ms = 100_000_000;
    assert!(world.take(1, "tester", &["src"]).is_err());
    world.skew_ms = -100_000_000;
    assert!(world.take(1, "tester", &["src"]).is_err());
    assert_eq!(world.state(1, "1"), State::Confirmed);
}

#[test]
fn claims_on_nothing_and_on_everything_are_refused() {
    let mut world = World::new(1);
    let before = world.ops(0);
    for (files, says) in [
        (&[][..], "1 to 8 files"),
        (&[""], "names a path"),
        (&["/etc/passwd"], "begins at the root of the repository"),
        (&["../x"], "cannot have \"..\""),
        (&["src", "**/*"], "everything there is"),
        (&["*"], "everything there is"),
    ] {
        let error = world.take(0, "p0", files).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{files:?}");
        assert!(error.message.contains(says) && error.hint.is_some(), "{error:?}");
    }
    for ttl_s in [0, 4, u32::MAX] {
        let request = claim_take::Request { ttl_s, ..take(&["src"]) };
        assert_eq!(world.call(0, Request::ClaimTake(request)).unwrap_err().code, ErrorCode::Invalid);
    }
    assert_eq!(world.ops(0), before, "nothing was changed");
}

#[test]
fn only_its_agent_and_people_of_its_node_change_a_claim() {
    let mut world = World::connected(2);
    world.take(0, "coder", &["src"]).unwrap();
    for (n, agent) in [(0, "tester"), (1, "coder"), (1, "p1")] {
        let renew = claim_renew::Request { claims: vec!["1".to_owned()] };
        let error = world.call_as(n, agent, Request::ClaimRenew(renew)).unwrap_err();
        assert_eq!(error.code, ErrorCode::Forbidden, "{agent}@n{n}");
    }
    assert_eq!(world.release(1, "p1", &["7"]).unwrap_err().code, ErrorCode::NotFound);
    world.release(0, "p0", &["1"]).unwrap();
    assert_eq!(world.state(1, "1"), State::Released);
}

#[test]
fn the_same_claim_again_is_a_renewal() {
    let mut world = World::connected(2);
    world.take(0, "coder", &["src", "docs"]).unwrap();
    world.wait(Duration::from_secs(30));
    let again = world.take(0, "coder", &["docs/", "src", "src"]).unwrap();
    assert_eq!((again.fence.counter, again.state), (1, State::Confirmed));
    let until = |claim: &Claim| claim.until;
    assert_eq!(until(&again), world.clock().wall_ms + u64::from(TTL_S) * 1000);
}

#[test]
fn many_claims_end_and_are_acknowledged_in_parts() {
    let mut world = World::connected(2);
    for at in 0..60 {
        world.take(0, "coder", &[&format!("src/{at}.rs")]).unwrap();
    }
    assert!(world.claims(1).iter().all(|claim| claim.ends_with("Confirmed")));
    world.release(0, "coder", &[]).unwrap();
    assert!(world.claims(1).iter().all(|claim| claim.ends_with("Released")));
    for at in 0..30 {
        world.take(0, "coder", &[&format!("src/{at}.rs")]).unwrap();
    }
    // Those that ended are forgotten, but for the last.
    assert_eq!(world.claims(1).len(), 30 + 32);
    world.wait(Duration::from_secs(100));
    assert_eq!(world.claims(1).iter().filter(|claim| claim.ends_with("Expired")).count(), 30);
    assert_eq!(world.take(1, "tester", &["src"]).unwrap().fence.counter, 91);
    world.assert_agreed();
}

#[test]
fn files_that_others_hold_are_named() {
    let mut world = World::connected(2);
    world.take(0, "coder", &["src"]).unwrap();
    world.take(1, "tester", &["docs"]).unwrap();
    let request = claim_check::Request {
        repository: "fedp2p".parse().unwrap(),
        paths: ["src/a.rs", "docs/b.md", "c"].map(str::to_owned).to_vec(),
    };
    let held = |reply: Reply| {
        let reply = <claim_check::Request as Operation>::reply(reply).unwrap();
        reply.held.iter().map(|held| format!("{} {}", held.path, held.claim.by)).collect::<Vec<_>>()
    };
    let found = world.call_as(1, "tester", Request::ClaimCheck(request.clone())).unwrap();
    assert_eq!(held(found), ["src/a.rs coder@n0"]);
    let elsewhere = claim_check::Request { repository: "other".parse().unwrap(), ..request };
    let found = world.call_as(1, "tester", Request::ClaimCheck(elsewhere)).unwrap();
    assert!(held(found).is_empty());
}

#[test]
fn a_claim_that_cannot_be_stored_is_refused_and_leaves_nothing() {
    let mut world = World::connected(2);
    world.say(0, "working");
    world.hosts[0].disk.full = true;
    let call = world.take_and_wait(0, "p0", &["src"]);
    assert!(world.answer(0, call).unwrap().is_err());
    world.hosts[0].disk.full = false;
    world.wait(Duration::from_secs(10));
    assert!(world.claims(0).is_empty());
    assert_eq!(world.take(1, "tester", &["src"]).unwrap().fence.counter, 1);
    world.assert_agreed();
}

/// A machine without a battery clock starts in 1970, before any certificate.
#[test]
fn a_node_whose_clock_is_wrong_is_no_majority_by_itself() {
    let mut world = World::connected(3);
    world.disconnect(0, 2);
    world.disconnect(1, 2);
    world.take(0, "coder", &["src"]).unwrap();
    assert_eq!(world.state(0, "1"), State::Confirmed);
    // By this clock nobody's certificate is valid yet.
    world.skew_ms = -4 * 24 * 3600 * 1000;
    world.take(2, "tester", &["docs"]).unwrap();
    world.take(2, "tester", &["src"]).unwrap();
    assert_eq!(world.state(2, "2"), State::Tentative);
    world.skew_ms = 0;
    world.connect(0, 2);
    world.connect(1, 2);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.state(0, "1@n0"), State::Confirmed);
    assert!(world.told(0, "coder").is_empty());
}

/// Nothing but the promise of n1 is in the way here.
#[test]
fn a_promise_outlives_its_process_whoever_asks() {
    let mut world = World::connected(5);
    // Of two numbers that are alike that of the lesser node ranks first, so n1 would be free to acknowledge it.
    let (first, second) = if world.id(0) > world.id(2) { (0, 2) } else { (2, 0) };
    for a in 0..5 {
        for b in 0..a {
            if (a, b) != (first.max(1), first.min(1)) {
                world.disconnect(a, b);
            }
        }
    }
    // Two of five: it is not confirmed before the settle time has passed.
    assert_eq!(world.take(first, "coder", &["src"]).unwrap().state, State::Tentative);
    assert_eq!(world.take(second, "tester", &["src"]).unwrap().state, State::Tentative);
    world.disconnect(first, 1);
    world.restart(1);
    world.connect(1, second);
    let tester = format!("tester@n{second}");
    let all = world.ask(second, claim_list::Request { all: true, ..Default::default() }).claims;
    let theirs = all.iter().find(|claim| claim.by.to_string() == tester).unwrap();
    assert_eq!(theirs.acknowledged, [format!("n{second}")], "n1 has promised the other");
}

/// A home from a backup: nobody else knows the numbers that it gave since, or everybody has but it.
#[test]
fn a_number_is_given_once_whatever_a_node_has_lost() {
    let mut world = World::connected(3);
    world.take(1, "coder", &["src"]).unwrap();
    let backup = world.hosts[1].disk.clone();
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    for file in ["docs", "tests", "README.md"] {
        world.take(1, "coder", &[file]).unwrap();
    }
    world.hosts[1].disk = backup;
    world.hosts[1].disk.epoch = Some(LogEpochId::from_bytes([99; 16]));
    world.restart(1);
    let again = world.take(1, "coder", &["benches"]).unwrap().fence.counter;
    assert!(again > 4, "claim {again}");
    // Nor does anybody else, who may have seen them or not.
    world.connect(1, 2);
    world.release(1, "coder", &[]).unwrap();
    assert!(world.take(2, "tester", &["docs"]).unwrap().fence.counter > again);
    // It reserves none twice: a start that loses nothing changes nothing.
    world.restart(1);
    let next = world.take(1, "coder", &["src/b.rs"]).unwrap().fence.counter;
    assert!(next < again + 10, "claim {next} after {again}");
}

#[test]
fn what_binds_a_node_survives_a_power_cut() {
    let mut world = World::connected(3);
    world.say(1, "working");
    let flushes = |world: &World| [0, 1, 2].map(|n| world.hosts[n].disk.flushes);
    assert_eq!(flushes(&world), [0; 3]);
    world.take(0, "coder", &["src"]).unwrap();
    let after = flushes(&world);
    assert!(after.iter().all(|flushes| *flushes > 0), "{after:?}");
    world.say(1, "done");
    assert_eq!(flushes(&world), after);
}

#[test]
fn who_takes_again_what_it_holds_renews_it_also_when_no_more_claims_fit() {
    let mut world = World::new(1);
    for file in 0..MAX_CLAIMS {
        world.take(0, "coder", &[&format!("src/{file}")]).unwrap();
    }
    let error = world.take(0, "coder", &["docs"]).unwrap_err();
    assert_eq!(error.message, "the agents of this node hold 256 claims, and no more fit");
    let again = world.take(0, "coder", &["src/7"]).unwrap();
    assert_eq!((again.fence.counter, again.state), (8, State::Confirmed));
}

#[test]
fn the_agents_of_a_node_hold_so_many_patterns_and_no_more() {
    let mut world = World::new(1);
    let eight = |name: String| -> [String; 8] { std::array::from_fn(|of| name.replace('N', &of.to_string())) };
    let mut take = |name: String| {
        let files = eight(name);
        world.take(0, "coder", &files.each_ref().map(String::as_str)).map(|claim| claim.state)
    };
    for claim in 0..MAX_CLAIMED_WILDCARDS / 8 {
        assert_eq!(take(format!("{claim}/N*")), Ok(State::Confirmed));
    }
    let error = take("docs/N?".to_owned()).unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert_eq!(error.message, "the agents of this node would hold 72 patterns with * or ?; at most 64 fit");
    for claim in MAX_CLAIMED_WILDCARDS / 8..MAX_CLAIMED_GLOBS / 8 {
        assert_eq!(take(format!("{claim}/N")), Ok(State::Confirmed));
    }
    let error = take("docs/N".to_owned()).unwrap_err();
    assert_eq!(error.message, "the agents of this node would hold 520 files, folders and patterns; at most 512 fit");
    // What it holds it may renew, and what it releases makes room.
    assert_eq!(take("7/N*".to_owned()), Ok(State::Confirmed));
    world.release(0, "coder", &["8"]).unwrap();
    world.take(0, "coder", &["docs/*"]).unwrap();
}
