//! The budgets against chatter, and the ways around them.

use fedp2p_protocols::api::{approval_ask, inbox, send, task_claim, task_new, task_update};
use fedp2p_protocols::limits::{MAX_AGENT_APPROVALS, MAX_AGENT_MESSAGES, MAX_PEER_MESSAGES, MAX_THREAD_MESSAGES};
use fedp2p_protocols::task::State;

use super::*;

/// Two nodes with the agents "coder" on the first and "tester" on the second.
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
    let to = if to.is_empty() { Vec::new() } else { vec![to.to_owned()] };
    send::Request { to, text: text.to_owned(), ..Default::default() }
}

fn chat(world: &mut World, to: &str) -> Result<Reply, api::Error> {
    world.call_as(0, "coder", Request::Send(message(to, "and another thing")))
}

#[test]
fn an_agent_leaves_another_alone_after_a_while_though_it_begins_new_threads() {
    for to in ["tester", ""] {
        let mut world = pair();
        for _ in 0..MAX_PEER_MESSAGES {
            chat(&mut world, to).unwrap();
        }
        let refused = refusal(chat(&mut world, to), ErrorCode::Conflict);
        // What others wait for is still said.
        let result = send::Request { kind: MessageType::Result, ..message(to, "done") };
        world.call_as(0, "coder", Request::Send(result)).unwrap();
        assert!(refused.message.contains("the limit is 60") && refused.hint.is_some(), "{refused:?}");
        // Elsewhere it goes on; what another machine says changes nothing; the word of a person does.
        chat(&mut world, "p1").unwrap();
        world.call_as(1, "tester", Request::Send(message("coder", "hm"))).unwrap();
        world.wait(Duration::from_secs(1));
        refusal(chat(&mut world, to), ErrorCode::Conflict);
        world.call(1, Request::Send(message("coder", "go on"))).unwrap();
        world.wait(Duration::from_secs(1));
        chat(&mut world, to).unwrap();
    }
}

#[test]
fn a_result_of_the_other_one_and_time_give_back_what_was_spent() {
    let mut world = pair();
    for _ in 0..MAX_PEER_MESSAGES {
        chat(&mut world, "tester").unwrap();
    }
    let result = send::Request { kind: MessageType::Result, ..message("coder", "done") };
    world.call_as(1, "tester", Request::Send(result)).unwrap();
    world.wait(Duration::from_secs(1));
    for _ in 0..MAX_PEER_MESSAGES {
        chat(&mut world, "tester").unwrap();
    }
    refusal(chat(&mut world, "tester"), ErrorCode::Conflict);
    world.wait(Duration::from_secs(3601));
    chat(&mut world, "tester").unwrap();
}

#[test]
fn two_that_answer_each_other_with_results_come_to_an_end() {
    let mut world = pair();
    let mut refused = None;
    for _ in 0..=MAX_AGENT_MESSAGES {
        for (n, by, to) in [(0, "coder", "tester"), (1, "tester", "coder")] {
            let result = send::Request { kind: MessageType::Result, ..message(to, "done") };
            refused = refused.or(world.call_as(n, by, Request::Send(result)).err());
        }
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("what an agent says in all has a limit");
    assert!(refused.message.contains(&format!("the limit is {MAX_AGENT_MESSAGES}")), "{refused:?}");
}

#[test]
fn results_that_answer_results_do_not_keep_a_thread_going() {
    let mut world = pair();
    let (mut last, mut spoken) = (None, 0);
    let refused = loop {
        let (n, by, to) = if spoken % 2 == 0 { (0, "coder", "tester") } else { (1, "tester", "coder") };
        let result = send::Request { kind: MessageType::Result, reply_to: last, ..message(to, "done") };
        match world.call_as(n, by, Request::Send(result)) {
            Ok(Reply::Send(sent)) => last = Some(sent.id.to_string()),
            answer => break refusal(answer, ErrorCode::Conflict),
        }
        spoken += 1;
        world.wait(Duration::from_secs(1));
    };
    assert!(spoken <= 2 * MAX_THREAD_MESSAGES + 2, "{spoken}");
    assert!(refused.message.contains("into this thread"), "{refused:?}");
}

#[test]
fn calls_that_come_at_once_do_not_pass_the_budget_of_a_thread_together() {
    let mut world = pair();
    let first = world.call(1, Request::Send(message("coder", "shall we?")));
    let Ok(Reply::Send(first)) = first else { panic!("{first:?}") };
    world.wait(Duration::from_secs(1));
    let answer = send::Request { reply_to: Some(first.id.to_string()), ..message("tester", "an idea") };
    let caller = Caller { name: "coder".parse().unwrap(), kind: AgentKind::Ai };
    let calls: Vec<CallId> = (0..2 * MAX_THREAD_MESSAGES as u64).map(|number| CallId(5_000 + number)).collect();
    for id in &calls {
        let (caller, request) = (caller.clone(), Request::Send(answer.clone()));
        world.queue.push_back((0, Input::Call { id: *id, caller, request }));
    }
    world.settle();
    let of_calls = world.hosts[0].replies.iter().filter(|(id, _)| calls.contains(id));
    let sent = of_calls.filter(|(_, answer)| matches!(answer, Answer::Ok(Reply::Send(_)))).count();
    assert_eq!(sent, MAX_THREAD_MESSAGES);
}

#[test]
fn approvals_and_notes_on_tasks_are_counted_too() {
    let mut world = pair();
    let ask = |number: usize| {
        let (question, id) = (format!("Delete {number}?"), Some(format!("delete{number}")));
        Request::ApprovalAsk(approval_ask::Request { question, id, ..Default::default() })
    };
    for number in 0..MAX_AGENT_APPROVALS {
        world.call_as(0, "coder", ask(number)).unwrap();
    }
    let refused = refusal(world.call_as(0, "coder", ask(99)), ErrorCode::Conflict);
    assert!(refused.message.contains("approvals") && refused.hint.is_some(), "{refused:?}");
    let mut said = MAX_AGENT_APPROVALS;
    let mut refused = None;
    for number in 0..8 {
        let id = format!("task{number}");
        let new = task_new::Request { id: Some(id.clone()), title: "a title".to_owned(), ..Default::default() };
        world.call_as(0, "coder", Request::TaskNew(new)).unwrap();
        let claim = task_claim::Request { id: id.clone(), ..Default::default() };
        world.call_as(0, "coder", Request::TaskClaim(claim)).unwrap();
        world.wait(Duration::from_secs(3));
        let update = |state, note: &str| {
            let note = Some(note.to_owned());
            Request::TaskUpdate(task_update::Request { id: id.clone(), state, note, result: None })
        };
        for step in 0..150 {
            match world.call_as(0, "coder", update(None, &format!("step {step}"))) {
                Ok(_) => said += 1,
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        // What ends the work is always heard.
        world.call_as(0, "coder", update(Some(State::Completed), "done")).unwrap();
    }
    assert_eq!(said, MAX_AGENT_MESSAGES);
    let spent = format!("{MAX_AGENT_MESSAGES} things");
    assert!(refused.is_some_and(|error| error.code == ErrorCode::Conflict && error.message.contains(&spent)));
}
