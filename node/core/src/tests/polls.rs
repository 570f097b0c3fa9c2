//! The rules of proposals at the doors: who may vote, when voting opens, and what closes by itself.

use fedp2p_protocols::api::proposal::{Counts, Phase, Proposal};
use fedp2p_protocols::api::{vote_ack, vote_cast, vote_close, vote_new, vote_show};
use fedp2p_protocols::vote::{Base, Cause, Mechanism, Outcome};

use super::*;

fn request(rules: vote_new::Request) -> Request {
    let options = ["OAuth2", "JWT", "Custom"].map(str::to_owned).to_vec();
    let id = rules.id.clone().or(Some("auth".to_owned()));
    Request::VoteNew(vote_new::Request { question: "Which?".to_owned(), options, id, ..rules })
}

fn ask(world: &mut World, rules: vote_new::Request) {
    world.call(0, request(rules)).unwrap();
}

fn cast(choices: &[&str]) -> Request {
    let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
    Request::VoteCast(vote_cast::Request { id: "auth".to_owned(), choices, ..Default::default() })
}

fn ack(revision: Option<u32>) -> Request {
    Request::VoteAck(vote_ack::Request { id: "auth".to_owned(), revision })
}

fn shown(world: &mut World, n: usize) -> Proposal {
    *world.ask(n, vote_show::Request { id: "auth".to_owned() })
}

/// What all nodes show; it must be the same.
fn agreed(world: &mut World) -> Proposal {
    let first = shown(world, 0);
    for n in 1..world.hosts.len() {
        assert_eq!(shown(world, n), first, "n{n}");
    }
    first
}

/// Three nodes whose agents are known everywhere.
fn meeting() -> World {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    world
}

#[test]
fn voting_opens_when_everybody_has_seen_the_question() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { acknowledge_s: Some(60), ..Default::default() });
    let early = refusal(world.call(1, cast(&["jwt"])), ErrorCode::Conflict);
    assert!(early.message.contains("opens when p1@n1, p2@n2 have seen it"), "{}", early.message);
    assert_eq!(agreed(&mut world).phase, Phase::Acknowledging);
    world.call(1, ack(None)).unwrap();
    refusal(world.call(1, cast(&["jwt"])), ErrorCode::Conflict);
    world.call(2, ack(Some(1))).unwrap();
    assert_eq!(agreed(&mut world).phase, Phase::Open);
    world.call(1, cast(&["jwt"])).unwrap();
    assert_eq!(agreed(&mut world).votes["JWT"], 1);
}

#[test]
fn voting_that_has_opened_stays_open_whoever_comes_then() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { acknowledge_s: Some(60), early: true, ..Default::default() });
    world.call(1, ack(None)).unwrap();
    world.call(2, ack(None)).unwrap();
    world.call_as(1, "late", Request::Inbox(api::inbox::Request::default())).unwrap();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.phase, proposal.waiting.len()), (Phase::Open, 1));
    world.restart(0);
    world.connect(0, 1);
    world.connect(0, 2);
    for n in 0..3 {
        world.call(n, cast(&["jwt"])).unwrap();
    }
    assert_eq!(agreed(&mut world).cause, Some(Cause::Settled));
    // What is asked anew has to be seen anew, by all there are then.
    ask(&mut world, vote_new::Request { acknowledge_s: Some(60), id: Some("next".to_owned()), ..Default::default() });
    let next = |n: usize, world: &mut World| *world.ask(n, vote_show::Request { id: "next".to_owned() });
    let shown: Proposal = next(2, &mut world);
    assert_eq!((shown.phase, shown.waiting.len()), (Phase::Acknowledging, 3));
}

#[test]
fn voting_opens_when_the_time_to_acknowledge_is_up() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { acknowledge_s: Some(10), ..Default::default() });
    world.wait(Duration::from_secs(11));
    world.call(1, cast(&["jwt"])).unwrap();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.phase, proposal.waiting.len()), (Phase::Open, 1));
}

#[test]
fn other_options_ask_for_new_acknowledgements_and_new_ballots() {
    let mut world = meeting();
    let rules = || vote_new::Request { acknowledge_s: Some(60), ..Default::default() };
    ask(&mut world, rules());
    world.call(1, ack(None)).unwrap();
    world.call(2, ack(None)).unwrap();
    world.call(1, cast(&["jwt"])).unwrap();
    ask(&mut world, rules());
    let proposal = agreed(&mut world);
    assert_eq!((proposal.revision, proposal.phase), (2, Phase::Acknowledging));
    assert_eq!(proposal.ballots[0].counts, Counts::Outdated);
    assert_eq!(proposal.votes.values().sum::<u32>(), 0);
    refusal(world.call(1, ack(Some(1))), ErrorCode::Conflict);
}

#[test]
fn only_those_who_are_asked_may_answer() {
    let mut world = meeting();
    let named = vec!["p0".to_owned(), "p1@n1".to_owned()];
    ask(&mut world, vote_new::Request { electorate: named, ..Default::default() });
    refusal(world.call(2, cast(&["jwt"])), ErrorCode::Forbidden);
    refusal(world.call(2, ack(None)), ErrorCode::Forbidden);
    world.call(1, cast(&["jwt"])).unwrap();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.rules.eligible, proposal.silent.len()), (2, 1));
    let nobody = vote_new::Request { electorate: vec!["p11".to_owned()], ..Default::default() };
    let refused = refusal(world.call(0, request(nobody)), ErrorCode::NotFound);
    assert!(!refused.suggestions.is_empty());
}

#[test]
fn a_machine_has_no_say_where_people_are_asked() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { electorate: vec!["people".to_owned()], ..Default::default() });
    let caller = Caller { name: "robot".parse().unwrap(), kind: AgentKind::Ai };
    world.give(1, Input::Call { id: CallId(900), caller, request: cast(&["jwt"]) });
    world.settle();
    let refused = world.hosts[1].replies.iter().find(|(id, _)| *id == CallId(900)).map(|(_, answer)| answer.clone());
    let Some(api::Answer::Error(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code, ErrorCode::Forbidden);
    // Nor has a program that names no agent: there a person shows the PIN.
    refusal(world.call(1, cast(&["jwt"])), ErrorCode::Forbidden);
    let pin = Some("correct horse".to_owned());
    world.call(1, Request::PinSet(api::pin_set::Request { pin: pin.clone().unwrap(), old: None })).unwrap();
    refusal(world.call(1, cast(&["jwt"])), ErrorCode::Forbidden);
    let choices = vec!["jwt".to_owned()];
    let proven = vote_cast::Request { id: "auth".to_owned(), choices, pin, ..Default::default() };
    world.call(1, Request::VoteCast(proven)).unwrap();
    assert_eq!(agreed(&mut world).votes["JWT"], 1);
}

#[test]
fn a_question_closes_by_itself_when_nothing_can_change_any_more() {
    let mut world = meeting();
    let electorate = ["p0", "p1", "p2"].map(str::to_owned).to_vec();
    ask(&mut world, vote_new::Request { early: true, electorate, ..Default::default() });
    world.call(1, cast(&["jwt"])).unwrap();
    assert!(agreed(&mut world).open);
    world.call(2, cast(&["jwt"])).unwrap();
    world.settle();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.open, proposal.cause, proposal.winner.as_deref()), (false, Some(Cause::Settled), Some("JWT")));
    refusal(world.call(0, cast(&["oauth2"])), ErrorCode::Conflict);
}

#[test]
fn a_question_closes_by_itself_at_its_deadline_even_over_a_restart() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { deadline_s: Some(20), ..Default::default() });
    world.call(1, cast(&["jwt"])).unwrap();
    world.wait(Duration::from_secs(10));
    assert!(agreed(&mut world).open);
    world.restart(0);
    world.wait(Duration::from_secs(12));
    let proposal = shown(&mut world, 0);
    assert_eq!((proposal.cause, proposal.winner.as_deref()), (Some(Cause::Deadline), Some("JWT")));
}

#[test]
fn nobody_answers_after_the_deadline_while_the_askers_node_is_away() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request { deadline_s: Some(20), ..Default::default() });
    world.call(1, cast(&["jwt"])).unwrap();
    world.settle();
    world.disconnect(0, 1);
    world.disconnect(0, 2);
    world.wait(Duration::from_secs(21));
    let before = shown(&mut world, 1);
    assert!(before.open);
    for choices in [&["oauth2"][..], &[]] {
        let error = refusal(world.call(1, cast(choices)), ErrorCode::Conflict);
        assert!(error.message.contains("is over"), "{}", error.message);
    }
    refusal(world.call(2, cast(&["oauth2"])), ErrorCode::Conflict);
    assert_eq!(shown(&mut world, 1).ballots, before.ballots);
}

#[test]
fn an_answer_and_a_question_can_be_taken_back() {
    let mut world = meeting();
    ask(&mut world, vote_new::Request::default());
    refusal(world.call(1, cast(&[])), ErrorCode::Conflict);
    world.call(1, cast(&["jwt"])).unwrap();
    world.call(1, cast(&[])).unwrap();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.outcome, proposal.ballots[0].counts), (Outcome::Empty, Counts::Withdrawn));
    world.call(1, cast(&["jwt"])).unwrap();
    world.call(0, Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw: true })).unwrap();
    let proposal = agreed(&mut world);
    assert_eq!((proposal.winner, proposal.outcome, proposal.cause), (None, Outcome::Withdrawn, Some(Cause::Withdrawn)));
}

#[test]
fn each_mechanism_counts_its_way_and_says_why() {
    let cases = [
        (Mechanism::Approval, "not decided: a tie between OAuth2, JWT"),
        (Mechanism::Ranked, "JWT leads"),
        (Mechanism::Vote, "not decided: 1 of the 2 votes that an option needs"),
    ];
    for (mechanism, why) in cases {
        let mut world = meeting();
        ask(&mut world, vote_new::Request { mechanism, of: Base::Electorate, ..Default::default() });
        let several = mechanism != Mechanism::Vote;
        world.call(1, cast(if several { &["jwt", "oauth2"] } else { &["jwt"] })).unwrap();
        assert_eq!(agreed(&mut world).why, why, "{mechanism:?}");
        world.call(2, cast(&["jwt"])).unwrap();
        assert_eq!(agreed(&mut world).why, "JWT leads");
        refusal(world.call(2, cast(&["jwt", "jwt"])), ErrorCode::Invalid);
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let mut world = meeting();
    for rules in [
        vote_new::Request { deadline_s: Some(0), ..Default::default() },
        vote_new::Request { deadline_s: Some(2_592_001), ..Default::default() },
        vote_new::Request { acknowledge_s: Some(30), deadline_s: Some(30), ..Default::default() },
    ] {
        refusal(world.call(0, request(rules)), ErrorCode::Invalid);
    }
    refusal(world.call(0, cast(&["jwt"])), ErrorCode::NotFound);
}
