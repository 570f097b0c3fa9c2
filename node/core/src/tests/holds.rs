//! Clients that speak for agents: one at a time unless told otherwise, and gone when they have gone.

use fedp2p_protocols::api::watch::Hold;
use fedp2p_protocols::api::{Presence, agents, pulse};

use super::*;

/// Holds an agent on a node and returns the call that does.
fn hold(world: &mut World, n: usize, agent: &str, hold: Hold) -> Result<CallId, api::Error> {
    world.call_as(n, agent, Request::Watch(watch::Request { topics: vec![watch::Topic::Inbox], hold: Some(hold) }))?;
    Ok(CallId(world.calls))
}

fn presence(world: &mut World, n: usize, agent: &str) -> Option<Presence> {
    world.wait(Duration::from_secs(1));
    let reply = world.ask(n, agents::Request::default());
    reply.agents.iter().find(|row| row.address.to_string() == agent).map(|row| row.presence)
}

#[test]
fn an_agent_is_there_as_long_as_a_client_speaks_for_it() {
    let mut world = World::connected(2);
    let call = hold(&mut world, 0, "coder", Hold::default()).unwrap();
    assert_eq!(presence(&mut world, 1, "coder@n0"), Some(Presence::Reachable));
    world.call_as(0, "coder", Request::State(api::state::Request::default())).unwrap();
    world.give(0, Input::CallEnded(call));
    assert_eq!(presence(&mut world, 1, "coder@n0"), Some(Presence::Gone));
    let rows = world.ask(1, pulse::Request::default()).agents;
    assert_eq!(rows.iter().find(|row| row.address.to_string() == "coder@n0").unwrap().presence, Presence::Gone);
    hold(&mut world, 0, "coder", Hold::default()).unwrap();
    assert_eq!(presence(&mut world, 1, "coder@n0"), Some(Presence::Reachable));
}

#[test]
fn two_clients_are_one_agent_only_if_the_second_is_told_to() {
    let mut world = World::connected(1);
    let first = hold(&mut world, 0, "coder", Hold::default()).unwrap();
    let error = hold(&mut world, 0, "coder", Hold::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    let second = hold(&mut world, 0, "coder", Hold { share: true, made_up: false }).unwrap();
    world.give(0, Input::CallEnded(first));
    assert_eq!(presence(&mut world, 0, "coder@n0"), Some(Presence::Reachable));
    world.give(0, Input::CallEnded(second));
    assert_eq!(presence(&mut world, 0, "coder@n0"), Some(Presence::Gone));
    // Calls need no hold and are not kept out by one.
    hold(&mut world, 0, "coder", Hold::default()).unwrap();
    world.call_as(0, "coder", Request::Agents(agents::Request::default())).unwrap();
}

#[test]
fn a_made_up_name_that_did_nothing_is_forgotten() {
    let mut world = World::connected(2);
    let made_up = Hold { share: false, made_up: true };
    let call = hold(&mut world, 0, "tool-app-1234", made_up).unwrap();
    assert_eq!(presence(&mut world, 1, "tool-app-1234@n0"), Some(Presence::Reachable));
    world.call_as(0, "tool-app-1234", Request::Agents(agents::Request::default())).unwrap();
    world.give(0, Input::CallEnded(call));
    assert_eq!(presence(&mut world, 1, "tool-app-1234@n0"), None);
    let call = hold(&mut world, 0, "tool-app-1234", made_up).unwrap();
    let said = api::send::Request { text: "here".to_owned(), ..Default::default() };
    world.call_as(0, "tool-app-1234", Request::Send(said)).unwrap();
    world.give(0, Input::CallEnded(call));
    assert_eq!(presence(&mut world, 1, "tool-app-1234@n0"), Some(Presence::Gone));
}

#[test]
fn after_a_restart_agents_are_gone_until_their_clients_are_back() {
    let mut world = World::connected(1);
    hold(&mut world, 0, "coder", Hold::default()).unwrap();
    world.restart(0);
    assert_eq!(presence(&mut world, 0, "coder@n0"), Some(Presence::Gone));
    hold(&mut world, 0, "coder", Hold::default()).unwrap();
    assert_eq!(presence(&mut world, 0, "coder@n0"), Some(Presence::Reachable));
}

#[test]
fn an_ai_cannot_hold_a_person() {
    let mut world = World::connected(1);
    let request = Request::Watch(watch::Request { topics: Vec::new(), hold: Some(Hold::default()) });
    let caller = Caller { name: "p0".parse().unwrap(), kind: AgentKind::Ai };
    world.give(0, Input::Call { id: CallId(900), caller, request });
    let answer = world.hosts[0].replies.iter().find(|(call, _)| *call == CallId(900)).unwrap();
    assert!(matches!(&answer.1, Answer::Error(error) if error.code == ErrorCode::Forbidden), "{answer:?}");
}
