//! Lists in pages, at the doors: nothing twice, nothing missing, and never more bytes than an answer may have.

use std::collections::BTreeSet;

use fedp2p_protocols::api::{
    agents, claim_list, claim_take, history, inbox, pulse, role_assign, role_list, send, surfaced, task_list, task_new,
    vote_list, vote_new,
};
use fedp2p_protocols::claim;
use fedp2p_protocols::limits::MAX_REPLY_BYTES;

use super::*;

/// Reads a list in pages of three, and returns the names of its rows.
fn pages<R: Operation>(
    world: &mut World,
    request: impl Fn(Option<String>) -> R,
    page: impl Fn(R::Reply) -> (Vec<String>, u64, Option<String>),
) -> Vec<String> {
    let (mut all, mut after, mut expected) = (Vec::new(), None, None);
    loop {
        let (rows, more, next) = page(world.ask(0, request(after)));
        assert!(rows.len() <= 3);
        all.extend(rows);
        let total = all.len() as u64 + more;
        assert_eq!(*expected.get_or_insert(total), total);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    all
}

fn refused_place<R: Operation>(world: &mut World, request: R) {
    let error = world.call(0, request.into_request()).unwrap_err();
    assert!(error.hint.is_some(), "{error:?}");
}

#[test]
fn every_list_is_read_in_pages() {
    let mut world = World::connected(1);
    for number in 0..10 {
        let agent = format!("agent{number}");
        let pulse = Pulse { summary: Some("here".to_owned()), ..Pulse::default() };
        world.call_as(0, &agent, Request::State(api::state::Request { pulse, clear: Vec::new() })).unwrap();
        let assign = role_assign::Request {
            agent: agent.clone(),
            role: "analyst".parse().unwrap(),
            subtask: None,
            subtask_id: None,
            conversation: None,
        };
        world.call(0, Request::RoleAssign(assign)).unwrap();
        let new = task_new::Request { title: format!("task {number}"), ..Default::default() };
        world.call(0, Request::TaskNew(new)).unwrap();
        let options = ["yes", "no"].map(str::to_owned).to_vec();
        let question = vote_new::Request { question: format!("question {number}?"), options, ..Default::default() };
        world.call(0, Request::VoteNew(question)).unwrap();
        let take = claim_take::Request {
            repository: "fedp2p".parse().unwrap(),
            files: vec![format!("src/{number}")],
            mode: claim::Mode::Exclusive,
            ttl_s: 60,
            why: None,
            no_wait: true,
        };
        world.call_as(0, &agent, Request::ClaimTake(take)).unwrap();
    }
    let limit = Some(3);
    let found = pages(
        &mut world,
        |after| agents::Request { limit, after },
        |reply| (reply.agents.iter().map(|row| row.address.to_string()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 11);
    let found = pages(
        &mut world,
        |after| pulse::Request { limit, after },
        |reply| (reply.agents.iter().map(|row| row.address.to_string()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 10);
    let found = pages(
        &mut world,
        |after| role_list::Request { role: None, limit, after },
        |reply| (reply.roles.iter().map(|row| row.agent.to_string()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 10);
    let found = pages(
        &mut world,
        |after| task_list::Request { limit, after, ..Default::default() },
        |reply| (reply.tasks.iter().map(|row| row.id.clone()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 10);
    let found = pages(
        &mut world,
        |after| vote_list::Request { limit, after, ..Default::default() },
        |reply| (reply.proposals.iter().map(|row| row.id.clone()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 10);
    let found = pages(
        &mut world,
        |after| claim_list::Request { limit, after, ..Default::default() },
        |reply| (reply.claims.iter().map(|row| row.id.clone()).collect(), reply.more, reply.next),
    );
    assert_eq!(found.len(), 10);
    let after = || Some("no such place".to_owned());
    refused_place(&mut world, agents::Request { limit, after: after() });
    refused_place(&mut world, pulse::Request { limit, after: after() });
    refused_place(&mut world, role_list::Request { role: None, limit, after: after() });
    refused_place(&mut world, task_list::Request { after: after(), ..Default::default() });
    refused_place(&mut world, vote_list::Request { after: after(), ..Default::default() });
    refused_place(&mut world, claim_list::Request { after: after(), ..Default::default() });
    refused_place(&mut world, agents::Request { limit: Some(0), after: None });
}

#[test]
fn an_inbox_of_long_messages_is_read_in_parts_that_fit_into_an_answer() {
    const COUNT: u64 = 600;
    let mut world = World::connected(2);
    (0..2).for_each(|n| world.say(n, "here"));
    let text = "x".repeat(30_000);
    for _ in 0..COUNT {
        let request = send::Request { to: vec!["p1".to_owned()], text: text.clone(), ..Default::default() };
        world.call(0, Request::Send(request)).unwrap();
    }
    world.wait(Duration::from_secs(1));
    let fits = |reply: &Reply| assert!(serde_json::to_vec(reply).unwrap().len() < MAX_REPLY_BYTES);
    let mut taken = 0;
    loop {
        let reply = world.call(1, Request::Inbox(inbox::Request { limit: 1000, held: false })).unwrap();
        fits(&reply);
        let inbox = <inbox::Request as Operation>::reply(reply).unwrap();
        taken += inbox.messages.len();
        assert_eq!(taken as u64 + inbox.more, COUNT);
        let request = surfaced::Request { cursor: inbox.cursor, held: inbox.with_held };
        world.call(1, Request::Surfaced(request)).unwrap();
        if inbox.more == 0 {
            break;
        }
    }
    let reply = world.call(0, Request::History(history::Request { limit: 1000, ..Default::default() })).unwrap();
    fits(&reply);
    let history = <history::Request as Operation>::reply(reply).unwrap();
    assert!((history.messages.len() as u64) < COUNT && history.before == Some(history.messages[0].position));
}
