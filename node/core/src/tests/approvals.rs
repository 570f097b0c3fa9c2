//! Approvals at the doors: who can answer, what proves that a person does, and how the answer reaches the asker.

use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::{approval_answer, approval_ask, inbox, pin_set, vote_cast, vote_new, vote_show};
use fedp2p_protocols::vote::{Cause, Mechanism};

use super::*;

const PIN: &str = "correct horse";

fn wanted(rules: approval_ask::Request) -> Request {
    Request::ApprovalAsk(approval_ask::Request {
        question: "Delete the old data?".to_owned(),
        id: Some("wipe".to_owned()),
        ..rules
    })
}

fn answer(approve: bool, pin: Option<&str>) -> Request {
    Request::ApprovalAnswer(approval_answer::Request {
        id: "wipe".to_owned(),
        approve,
        reason: Some("as we said".to_owned()),
        pin: pin.map(str::to_owned),
        revision: None,
        asked: None,
    })
}

fn set_pin(pin: &str, old: Option<&str>) -> Request {
    Request::PinSet(pin_set::Request { pin: pin.to_owned(), old: old.map(str::to_owned) })
}

fn shown(world: &mut World, n: usize) -> Proposal {
    *world.ask(n, vote_show::Request { id: "wipe".to_owned() })
}

/// The texts that wait for an agent.
fn waiting(world: &mut World, n: usize, agent: &str) -> Vec<String> {
    let reply = world.call_as(n, agent, Request::Inbox(inbox::Request::default())).unwrap();
    let inbox = <inbox::Request as Operation>::reply(reply).unwrap();
    inbox.messages.into_iter().map(|message| message.text).collect()
}

/// Three nodes with PINs, and an approval that the agent "coder" of the first asks for.
fn asked(rules: approval_ask::Request) -> World {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
        world.call(n, set_pin(PIN, None)).unwrap();
    }
    world.call_as(0, "coder", wanted(rules)).unwrap();
    world
}

#[test]
fn a_person_approves_and_the_answer_reaches_the_machine_that_asked() {
    let mut world = asked(approval_ask::Request::default());
    assert!(waiting(&mut world, 1, "p1")[0].contains("Delete the old data?"));
    world.call(1, answer(true, Some(PIN))).unwrap();
    world.settle();
    for n in 0..3 {
        let proposal = shown(&mut world, n);
        assert_eq!((proposal.winner.as_deref(), proposal.cause), (Some("approve"), Some(Cause::Settled)), "n{n}");
        assert_eq!(proposal.ballots[0].reason.as_deref(), Some("as we said"));
        assert_eq!(proposal.ballots[0].voter.to_string(), "p1@n1");
    }
    assert_eq!(waiting(&mut world, 0, "coder"), ["approved: Delete the old data?\nas we said"]);
    refusal(world.call(2, answer(false, Some(PIN))), ErrorCode::Conflict);
    world.assert_agreed();
}

#[test]
fn one_refusal_is_enough_and_two_people_can_be_needed() {
    let needs = || approval_ask::Request { needs: "2".parse().ok(), ..Default::default() };
    let mut world = asked(needs());
    world.call(1, answer(true, Some(PIN))).unwrap();
    assert!(shown(&mut world, 0).open);
    world.call(2, answer(true, Some(PIN))).unwrap();
    assert_eq!(shown(&mut world, 0).winner.as_deref(), Some("approve"));
    let mut world = asked(needs());
    world.call(1, answer(true, Some(PIN))).unwrap();
    world.call(2, answer(false, Some(PIN))).unwrap();
    assert_eq!(shown(&mut world, 1).winner.as_deref(), Some("deny"));
    let refused = asked_refused(approval_ask::Request { needs: "4".parse().ok(), ..Default::default() });
    assert_eq!(refused.code, ErrorCode::Conflict);
}

fn asked_refused(rules: approval_ask::Request) -> api::Error {
    let mut world = World::connected(3);
    (0..3).for_each(|n| world.say(n, "here"));
    world.call_as(0, "coder", wanted(rules)).unwrap_err()
}

#[test]
fn no_machine_answers_whatever_it_says_it_is() {
    let mut world = asked(approval_ask::Request::default());
    // As itself, by the way of votes, under the person's name, and under a new person's name.
    refusal(world.call_as(1, "robot", answer(true, Some(PIN))), ErrorCode::Forbidden);
    let cast = vote_cast::Request { id: "wipe".to_owned(), choices: vec!["approve".to_owned()], ..Default::default() };
    refusal(world.call_as(1, "robot", Request::VoteCast(cast.clone())), ErrorCode::Forbidden);
    refusal(world.call(1, Request::VoteCast(cast)), ErrorCode::Forbidden);
    for pin in [None, Some(""), Some("guess")] {
        refusal(world.call(1, answer(true, pin)), ErrorCode::Forbidden);
    }
    refusal(world.call_as(1, "pretender", answer(true, Some(PIN))), ErrorCode::Forbidden);
    refusal(world.call_as(1, "pretender", set_pin("another", None)), ErrorCode::Forbidden);
    refusal(world.call(1, set_pin("another", None)), ErrorCode::Forbidden);
    // A daemon that is started under another name makes nobody a person.
    world.hosts[1].person = "pretender".to_owned();
    world.restart(1);
    refusal(world.call_as(1, "pretender", answer(true, Some(PIN))), ErrorCode::Forbidden);
    let proposal = shown(&mut world, 0);
    assert!(proposal.open && proposal.ballots.is_empty(), "{proposal:?}");
}

#[test]
fn wrong_pins_make_the_next_ones_wait_over_restarts_too() {
    let mut world = asked(approval_ask::Request::default());
    for _ in 0..5 {
        refusal(world.call(1, answer(true, Some("guess"))), ErrorCode::Forbidden);
    }
    refusal(world.call(1, answer(true, Some(PIN))), ErrorCode::Busy);
    world.restart(1);
    refusal(world.call(1, answer(true, Some(PIN))), ErrorCode::Busy);
    world.wait(Duration::from_secs(61));
    world.connect(0, 1);
    world.call(1, answer(true, Some(PIN))).unwrap();
}

#[test]
fn wrong_pins_that_a_clock_noted_far_ahead_do_not_wait_until_then() {
    let mut world = asked(approval_ask::Request::default());
    world.skew_ms += 24 * 3_600_000;
    for _ in 0..5 {
        refusal(world.call(1, answer(true, Some("guess"))), ErrorCode::Forbidden);
    }
    world.skew_ms -= 24 * 3_600_000;
    refusal(world.call(1, answer(true, Some(PIN))), ErrorCode::Busy);
    world.wait(Duration::from_secs(61));
    world.call(1, answer(true, Some(PIN))).unwrap();
}

#[test]
fn a_pin_is_changed_with_the_old_one_and_has_a_length() {
    let mut world = World::connected(1);
    refusal(world.call(0, set_pin("short", None)), ErrorCode::Invalid);
    refusal(world.call(0, set_pin(&"x".repeat(129), None)), ErrorCode::Invalid);
    refusal(world.call_as(0, "robot", set_pin(PIN, None)), ErrorCode::Forbidden);
    world.call(0, set_pin(PIN, None)).unwrap();
    world.restart(0);
    refusal(world.call(0, set_pin("another one", Some("guess"))), ErrorCode::Forbidden);
    world.call(0, set_pin("another one", Some(PIN))).unwrap();
    world.call(0, set_pin(PIN, Some("another one"))).unwrap();
}

#[test]
fn without_a_pin_nobody_answers() {
    let mut world = World::connected(2);
    (0..2).for_each(|n| world.say(n, "here"));
    world.call_as(0, "coder", wanted(approval_ask::Request::default())).unwrap();
    let refused = refusal(world.call(1, answer(true, Some(PIN))), ErrorCode::Forbidden);
    assert!(refused.hint.unwrap().contains("fedp2p pin"));
}

#[test]
fn nobody_approves_what_they_ask_for_themselves() {
    let mut world = asked(approval_ask::Request::default());
    let own =
        approval_ask::Request { question: "May I?".to_owned(), id: Some("mine".to_owned()), ..Default::default() };
    world.call(1, Request::ApprovalAsk(own)).unwrap();
    let request = approval_answer::Request {
        id: "mine".to_owned(),
        approve: true,
        pin: Some(PIN.to_owned()),
        ..Default::default()
    };
    refusal(world.call(1, Request::ApprovalAnswer(request)), ErrorCode::Forbidden);
}

#[test]
fn an_asker_is_told_that_nobody_answered() {
    let mut world = asked(approval_ask::Request { deadline_s: Some(20), ..Default::default() });
    world.wait(Duration::from_secs(21));
    assert_eq!(waiting(&mut world, 0, "coder"), ["not approved by its deadline: Delete the old data?"]);
    assert_eq!(shown(&mut world, 0).winner, None);
}

#[test]
fn only_people_are_asked_and_an_approval_is_no_vote() {
    let mut world = asked(approval_ask::Request::default());
    let of = vec!["coder".to_owned()];
    let request = approval_ask::Request { question: "Ok?".to_owned(), of, ..Default::default() };
    refusal(world.call(1, Request::ApprovalAsk(request)), ErrorCode::Invalid);
    let request =
        approval_ask::Request { id: Some("list".to_owned()), question: "Ok?".to_owned(), ..Default::default() };
    refusal(world.call(1, Request::ApprovalAsk(request)), ErrorCode::Invalid);
    let new = |id: &str, mechanism| {
        let options = ["approve", "deny"].map(str::to_owned).to_vec();
        let id = Some(id.to_owned());
        Request::VoteNew(vote_new::Request { question: "Ok?".to_owned(), options, id, mechanism, ..Default::default() })
    };
    refusal(world.call(1, new("other", Mechanism::Signoff)), ErrorCode::Invalid);
    // Nor does one become the other under the same id.
    refusal(world.call_as(0, "coder", new("wipe", Mechanism::Poll)), ErrorCode::Conflict);
}

#[test]
fn an_answer_from_a_cut_off_half_reaches_the_asker_when_it_is_back() {
    let mut world = asked(approval_ask::Request::default());
    world.disconnect(0, 1);
    world.disconnect(1, 2);
    world.call(1, answer(true, Some(PIN))).unwrap();
    assert!(shown(&mut world, 0).open);
    world.connect(0, 1);
    world.connect(1, 2);
    world.wait(Duration::from_secs(10));
    assert_eq!(shown(&mut world, 0).winner.as_deref(), Some("approve"));
    assert_eq!(waiting(&mut world, 0, "coder").len(), 1);
}
