//! Who answers a question: what they have seen of it, what proves that they are people, and how many of a node count.

use fedp2p_protocols::api::proposal::{Counts, Proposal};
use fedp2p_protocols::api::{inbox, pin_set, vote_ack, vote_cast, vote_close, vote_list, vote_new, vote_show};
use fedp2p_protocols::limits::{MAX_VOTERS, MAX_VOTERS_OF_NODE};

use super::*;

const PIN: &str = "correct horse";

fn poll(question: &str, electorate: &[&str]) -> Request {
    Request::VoteNew(vote_new::Request {
        question: question.to_owned(),
        options: ["OAuth2", "JWT"].map(str::to_owned).to_vec(),
        id: Some("auth".to_owned()),
        electorate: electorate.iter().map(|who| (*who).to_owned()).collect(),
        ..Default::default()
    })
}

fn cast(choice: &str, revision: Option<u32>, pin: Option<&str>) -> Request {
    let (id, choices) = ("auth".to_owned(), vec![choice.to_owned()]);
    Request::VoteCast(vote_cast::Request { id, choices, reason: None, revision, pin: pin.map(str::to_owned) })
}

fn show(world: &mut World, n: usize, agent: &str) -> Proposal {
    let reply = world.call_as(n, agent, Request::VoteShow(vote_show::Request { id: "auth".to_owned() })).unwrap();
    *<vote_show::Request as Operation>::reply(reply).unwrap()
}

fn met(count: usize) -> World {
    let mut world = World::connected(count);
    (0..count).for_each(|n| world.say(n, "here"));
    world
}

#[test]
fn who_saw_the_question_before_does_not_answer_the_new_one() {
    let mut world = met(2);
    world.call(0, poll("Which for logins?", &[])).unwrap();
    show(&mut world, 1, "p1");
    world.call(0, poll("Which for payments?", &[])).unwrap();
    for agent in ["p1", "newcomer"] {
        let refused = refusal(world.call_as(1, agent, cast("jwt", None, None)), ErrorCode::Conflict);
        assert!(
            refused.message.contains("Which for payments?") && refused.message.contains("revision 2"),
            "{refused:?}"
        );
        assert!(refused.hint.is_some_and(|hint| hint.contains("--revision 2")));
        refusal(world.call_as(1, agent, cast("jwt", Some(1), None)), ErrorCode::Conflict);
        let ack = Request::VoteAck(vote_ack::Request { id: "auth".to_owned(), revision: None });
        refusal(world.call_as(1, agent, ack), ErrorCode::Conflict);
    }
    // Whoever says what it saw, was shown it, or acknowledged it, answers.
    world.call_as(1, "newcomer", cast("jwt", Some(2), None)).unwrap();
    world.call(1, Request::VoteList(vote_list::Request::default())).unwrap();
    refusal(world.call(1, cast("jwt", None, None)), ErrorCode::Conflict);
    show(&mut world, 1, "p1");
    world.call(1, cast("jwt", None, None)).unwrap();
    let ack = Request::VoteAck(vote_ack::Request { id: "auth".to_owned(), revision: Some(2) });
    world.call_as(1, "third", ack).unwrap();
    world.restart(1);
    world.connect(0, 1);
    world.call_as(1, "third", cast("jwt", None, None)).unwrap();
    assert_eq!(show(&mut world, 0, "p0").votes["JWT"], 3);
    // A question that never changed needs nothing of the kind, even after a restart.
    world.call(0, Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw: true })).unwrap();
}

#[test]
fn once_there_is_a_pin_the_vote_of_a_person_takes_it_where_not_everybody_may_vote() {
    for electorate in [&["people"][..], &["p1", "coder"]] {
        let people = electorate == ["people"];
        let mut world = met(2);
        world.call_as(1, "coder", Request::Inbox(inbox::Request::default())).unwrap();
        world.wait(Duration::from_secs(1));
        world.call(0, poll("Which?", electorate)).unwrap();
        // Where people alone are asked, nobody votes for them before there is one.
        let unproven = world.call(1, cast("jwt", None, None));
        assert_eq!(unproven.is_err(), people);
        assert!(people || !show(&mut world, 0, "p0").ballots[0].proven);
        world.call(1, Request::PinSet(pin_set::Request { pin: PIN.to_owned(), old: None })).unwrap();
        let refused = refusal(world.call(1, cast("oauth2", None, None)), ErrorCode::Forbidden);
        assert!(refused.hint.is_some_and(|hint| hint.contains("--pin")));
        refusal(world.call(1, cast("oauth2", None, Some("wrong one"))), ErrorCode::Forbidden);
        refusal(world.call_as(1, "coder", cast("oauth2", None, Some(PIN))), ErrorCode::Forbidden);
        world.call(1, cast("oauth2", None, Some(PIN))).unwrap();
        for n in 0..2 {
            let proposal = show(&mut world, n, &format!("p{n}"));
            let ballot = proposal.ballots.iter().find(|ballot| ballot.voter.to_string() == "p1@n1").unwrap();
            assert_eq!((ballot.proven, ballot.choices[0].as_str()), (true, "OAuth2"));
        }
    }
}

#[test]
fn where_everybody_may_vote_a_pin_is_shown_and_not_needed() {
    let mut world = met(2);
    world.call(1, Request::PinSet(pin_set::Request { pin: PIN.to_owned(), old: None })).unwrap();
    world.call(0, poll("Which?", &[])).unwrap();
    world.call(1, cast("jwt", None, None)).unwrap();
    assert!(!show(&mut world, 0, "p0").ballots[0].proven);
    world.call(1, cast("jwt", None, Some(PIN))).unwrap();
    assert!(show(&mut world, 0, "p0").ballots[0].proven);
}

#[test]
fn of_one_node_only_so_many_agents_count_and_those_first_who_answer_first() {
    let mut world = met(2);
    world.call(0, poll("Which?", &[])).unwrap();
    // Names from the end of the alphabet: who answers first has its place, whatever the others are called.
    let names: Vec<String> = (0..MAX_VOTERS_OF_NODE).map(|number| format!("z{number}")).collect();
    for name in &names {
        world.call_as(1, name, cast("jwt", None, None)).unwrap();
    }
    for name in ["a1", "p1"] {
        let refused = refusal(world.call_as(1, name, cast("jwt", None, None)), ErrorCode::Conflict);
        assert!(refused.message.contains("32 agents of a node"), "{refused:?}");
    }
    world.call_as(1, "z0", cast("oauth2", None, None)).unwrap();
    world.call(0, cast("oauth2", None, None)).unwrap();
    for n in 0..2 {
        let proposal = show(&mut world, n, &format!("p{n}"));
        assert_eq!((proposal.votes["JWT"], proposal.votes["OAuth2"]), (31, 2), "n{n}");
        assert!(proposal.ballots.iter().all(|ballot| ballot.counts == Counts::Yes));
    }
    world.call(0, Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw: false })).unwrap();
    assert!(!show(&mut world, 1, "p1").open);
}

#[test]
fn however_many_answer_a_question_is_closed_with_a_result() {
    let mut world = met(7);
    world.call(0, poll("Which?", &[])).unwrap();
    for n in 1..7 {
        for number in 0..MAX_VOTERS_OF_NODE {
            // Later ones find that as many count as can.
            drop(world.call_as(n, &format!("v{number}"), cast("jwt", None, None)));
        }
    }
    world.wait(Duration::from_secs(1));
    world.call(0, Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw: false })).unwrap();
    world.wait(Duration::from_secs(1));
    for n in 0..7 {
        let proposal = show(&mut world, n, &format!("p{n}"));
        assert_eq!((proposal.open, proposal.winner.as_deref()), (false, Some("JWT")), "n{n}");
        assert!(proposal.votes["JWT"] as usize <= MAX_VOTERS && proposal.unfounded.is_empty());
    }
}

#[test]
fn an_asker_that_slept_over_the_deadline_hears_first_what_came_in_time() {
    let mut world = met(2);
    let Request::VoteNew(question) = poll("Which?", &[]) else { unreachable!() };
    world.call(0, Request::VoteNew(vote_new::Request { deadline_s: Some(60), ..question })).unwrap();
    world.disconnect(0, 1);
    world.call(1, cast("jwt", None, None)).unwrap();
    world.now += Duration::from_secs(120);
    world.give(0, Input::Tick);
    assert!(show(&mut world, 0, "p0").open, "it has yet to hear what others said");
    world.connect(0, 1);
    world.wait(Duration::from_secs(5));
    for n in 0..2 {
        let proposal = show(&mut world, n, &format!("p{n}"));
        assert_eq!((proposal.open, proposal.winner.as_deref()), (false, Some("JWT")), "n{n}");
    }
}
