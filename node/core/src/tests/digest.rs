//! Digests at the doors: what must not be hidden, what is new of what is the agent's own, and what is left out.

use fedp2p_protocols::api::{
    attention_set, claim_list, claim_take, digest, inbox, send, task_claim, task_new, task_update, vote_cast, vote_new,
};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::claim;
use fedp2p_protocols::task::{Priority, State};

use super::*;

/// Two nodes whose agents are known to each other: "coder" on the first and "tester" on the second.
fn pair() -> World {
    let mut world = World::connected(2);
    for (n, agent) in [(0, "coder"), (1, "tester")] {
        drop(world.call_as(n, agent, Request::Inbox(inbox::Request::default())));
        world.say(n, "here");
    }
    world.wait(Duration::from_secs(1));
    world
}

fn message(to: &str, text: &str) -> send::Request {
    send::Request { to: vec![to.to_owned()], text: text.to_owned(), ..Default::default() }
}

fn digest(world: &mut World, n: usize, agent: &str, tokens: u32) -> digest::Reply {
    let reply = world.call_as(n, agent, Request::Digest(digest::Request { tokens })).unwrap();
    <digest::Request as Operation>::reply(reply).unwrap()
}

#[test]
fn two_hundred_messages_do_not_hide_an_urgent_one_from_a_digest() {
    let mut world = pair();
    for number in 0..210 {
        world.call(0, Request::Send(message("tester", &format!("news {number}")))).unwrap();
    }
    world.call(0, Request::Send(send::Request { urgent: true, ..message("tester", "the build is red") })).unwrap();
    world.wait(Duration::from_secs(1));
    let text = digest(&mut world, 1, "tester", 1000).text;
    assert!(text.contains("the build is red"), "{text}");
    assert!(text.ends_with("unread (fedp2p inbox)\n") && text.contains("Left out: "), "{text}");
    // What is held is urgent no more, and what was let through by the agent's attention is.
    let dnd = attention_set::Request { mode: Mode::Dnd, urgent: vec!["nobody".to_owned()] };
    world.call_as(1, "tester", Request::AttentionSet(dnd)).unwrap();
    world.call(0, Request::Send(send::Request { urgent: true, ..message("tester", "the build is green") })).unwrap();
    world.wait(Duration::from_secs(1));
    assert!(!digest(&mut world, 1, "tester", 1000).text.contains("the build is green"));
    let dnd = attention_set::Request { mode: Mode::Dnd, urgent: vec!["people".to_owned()] };
    world.call_as(1, "tester", Request::AttentionSet(dnd)).unwrap();
    assert!(digest(&mut world, 1, "tester", 1000).text.contains("the build is green"));
}

#[test]
fn a_line_that_is_too_long_is_cut_and_the_newest_summary_stands_first() {
    let mut world = pair();
    let sent = world.call(0, Request::Send(message("tester", "the first")));
    let Ok(Reply::Send(sent)) = sent else { panic!("{sent:?}") };
    for text in ["what was before", "what is now"] {
        let summary = send::Request {
            kind: MessageType::Summary,
            covers: vec![sent.id.to_string()],
            to: Vec::new(),
            ..message("", &format!("{text} {}", "and so on ".repeat(30)))
        };
        world.call(0, Request::Send(summary)).unwrap();
    }
    world.call(0, Request::Send(send::Request { urgent: true, ..message("tester", &"red ".repeat(60)) })).unwrap();
    world.wait(Duration::from_secs(1));
    for tokens in [100, 200, 400] {
        let digest = digest(&mut world, 1, "tester", tokens);
        let text = &digest.text;
        assert!(text.len() <= tokens as usize * 4 && text.starts_with("Newest summary:\n- ["), "{tokens}: {text}");
        assert!(
            text.contains("what is now") && text.contains("Urgent and unread:\n- [") && text.contains('…'),
            "{text}"
        );
        assert_eq!(text.contains("Left out: "), digest.left_out > 0, "{text}");
    }
}

#[test]
fn a_digest_says_how_much_a_task_presses_and_what_became_of_ones_own() {
    let mut world = pair();
    let task = |id: &str, priority, due_s| {
        let (id, title) = (Some(id.to_owned()), "a title".to_owned());
        Request::TaskNew(task_new::Request { id, title, priority, due_s, ..Default::default() })
    };
    world.call_as(0, "coder", task("soon", Priority::Urgent, Some(7200 + 60))).unwrap();
    world.call_as(0, "coder", task("plain", Priority::Normal, None)).unwrap();
    world.call_as(0, "coder", task("stuck", Priority::Low, None)).unwrap();
    let options = ["yes", "no"].map(str::to_owned).to_vec();
    let question = "Ship it?".to_owned();
    let electorate = vec!["tester@n1".to_owned()];
    let question = vote_new::Request { question, options, electorate, early: true, ..Default::default() };
    world.call_as(0, "coder", Request::VoteNew(question)).unwrap();
    world.wait(Duration::from_secs(1));
    let text = digest(&mut world, 1, "tester", 1000).text;
    assert!(text.contains("free: soon (a title), urgent, due in 2 h\n- free: plain (a title)\n"), "{text}");
    assert!(text.contains("free: stuck (a title), low priority\n"), "{text}");
    for id in ["plain", "stuck"] {
        let claim = task_claim::Request { id: id.to_owned(), ..Default::default() };
        world.call_as(1, "tester", Request::TaskClaim(claim)).unwrap();
    }
    let update = |id: &str, state, note: Option<&str>, result: Option<&str>| {
        let (note, result) = (note.map(str::to_owned), result.map(str::to_owned));
        Request::TaskUpdate(task_update::Request { id: id.to_owned(), state: Some(state), note, result })
    };
    world.call_as(1, "tester", update("plain", State::Completed, None, Some("it holds"))).unwrap();
    world.call_as(1, "tester", update("stuck", State::InputRequired, Some("which one?"), None)).unwrap();
    let vote = vote_cast::Request { id: "ship-it".to_owned(), choices: vec!["yes".to_owned()], ..Default::default() };
    world.call_as(1, "tester", Request::VoteCast(vote)).unwrap();
    world.wait(Duration::from_secs(1));
    let text = digest(&mut world, 0, "coder", 1000).text;
    let news = "News of what is yours:\n- your task stuck waits for your answer (tester@n1): which one?\n";
    assert!(text.contains(news), "{text}");
    for line in
        ["your task plain completed (tester@n1): it holds\n", "your question ship-it was answered: yes (Ship it?)\n"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // It is no news a day later.
    world.wait(Duration::from_secs(25 * 3600));
    let text = digest(&mut world, 0, "coder", 1000).text;
    assert!(!text.contains("your task plain") && !text.contains("your question"), "{text}");
}

#[test]
fn a_digest_names_claims_that_were_lost() {
    let mut world = pair();
    let take = || claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: vec!["src/a.rs".to_owned()],
        mode: claim::Mode::Exclusive,
        ttl_s: 60,
        why: None,
        no_wait: true,
    };
    world.disconnect(0, 1);
    world.call_as(0, "coder", Request::ClaimTake(take())).unwrap();
    world.call_as(1, "tester", Request::ClaimTake(take())).unwrap();
    world.wait(Duration::from_secs(5));
    world.connect(0, 1);
    world.wait(Duration::from_secs(5));
    let claims = world.ask(0, claim_list::Request { all: true, ..Default::default() }).claims;
    let lost = claims.iter().find(|claim| claim.state == api::claim::State::Lost).unwrap();
    let (n, agent, winner) =
        if lost.by.to_string() == "coder@n0" { (0, "coder", "tester@n1") } else { (1, "tester", "coder@n0") };
    let text = digest(&mut world, n, agent, 1000).text;
    let line = format!("your claim {} on fedp2p:src/a.rs was lost to {winner}\n", lost.id);
    assert!(text.contains(&line), "{line}{text}");
}
