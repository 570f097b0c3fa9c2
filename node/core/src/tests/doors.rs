//! The operations of the doors.

use super::*;
use fedp2p_protocols::api::message::DeliveryState;

fn deliveries(world: &mut World, n: usize) -> Vec<DeliveryState> {
    let history = world.history(n);
    history.last().unwrap().deliveries.iter().map(|delivery| delivery.state).collect()
}

#[test]
fn an_unknown_recipient_is_refused_with_who_was_perhaps_meant() {
    let mut world = World::connected(2);
    let error = refusal(world.send(0, &["p1@n"], "hello"), ErrorCode::NotFound);
    assert_eq!(error.suggestions.first().map(String::as_str), Some("p1@n1"));
    assert!(error.hint.is_some());
    assert!(world.history(0).is_empty());
}

#[test]
fn a_name_that_two_nodes_have_is_ambiguous() {
    let mut world = World::connected(3);
    let request = Request::Agents(api::agents::Request::default());
    for n in [1, 2] {
        let pulse = Request::State(api::state::Request::default());
        world.call_as(n, "coder", pulse).unwrap();
    }
    world.call(0, request).unwrap();
    let error = refusal(world.send(0, &["coder"], "hello"), ErrorCode::Ambiguous);
    assert_eq!(error.suggestions, ["coder@n1", "coder@n2"]);
    world.send(0, &["coder@n2"], "hello").unwrap();
}

#[test]
fn a_node_with_one_agent_can_be_written_to_by_its_name() {
    let mut world = World::connected(2);
    world.send(0, &["n1"], "hello").unwrap();
    assert_eq!(world.texts(1), ["hello"]);
}

#[test]
fn a_name_belongs_to_a_person_or_to_a_program_and_never_to_both() {
    let mut world = World::new(1);
    let id = CallId(900);
    let caller = Caller { name: "p0".parse().unwrap(), kind: AgentKind::Ai };
    world.give(0, Input::Call { id, caller, request: Request::State(api::state::Request::default()) });
    let Some((_, Answer::Error(error))) = world.hosts[0].replies.last() else { panic!() };
    assert_eq!(error.code, ErrorCode::Forbidden);
}

#[test]
fn the_cursor_moves_only_when_messages_were_handed_out() {
    let mut world = World::connected(2);
    world.send(0, &["p1"], "one").unwrap();
    assert_eq!(world.texts(1), ["one"]);
    let cursor = world.inbox(1).cursor;
    world.wait(Duration::from_millis(20));
    assert_eq!(deliveries(&mut world, 0), [DeliveryState::Stored]);
    world.send(0, &["p1"], "two").unwrap();
    world.call(1, Request::Surfaced(api::surfaced::Request { cursor, held: false })).unwrap();
    assert_eq!(world.texts(1), ["two"]);
    world.call(1, Request::Surfaced(api::surfaced::Request { cursor: 1, held: false })).unwrap();
    assert_eq!(world.texts(1), ["two"]);
    let ahead = Request::Surfaced(api::surfaced::Request { cursor: 9999, held: false });
    refusal(world.call(1, ahead), ErrorCode::Invalid);
    world.restart(1);
    assert_eq!(world.texts(1), ["two"]);
}

#[test]
fn a_sender_sees_queued_then_stored_then_surfaced_then_acknowledged() {
    let mut world = World::connected(2);
    world.disconnect(0, 1);
    let sent = world.send(0, &["p1"], "hello").unwrap();
    assert_eq!(sent.deliveries[0].state, DeliveryState::Queued);
    world.connect(0, 1);
    world.wait(Duration::from_millis(20));
    assert_eq!(deliveries(&mut world, 0), [DeliveryState::Stored]);
    let inbox = world.inbox(1);
    world.call(1, Request::Surfaced(api::surfaced::Request { cursor: inbox.cursor, held: inbox.with_held })).unwrap();
    assert_eq!(deliveries(&mut world, 0), [DeliveryState::Surfaced]);
    let ids = vec![inbox.messages[0].id.to_string()[..8].to_owned()];
    world.call(1, Request::Ack(api::ack::Request { ids })).unwrap();
    assert_eq!(deliveries(&mut world, 0), [DeliveryState::Acknowledged]);
    world.wait(Duration::from_secs(1));
    world.restart(0);
    assert_eq!(deliveries(&mut world, 0), [DeliveryState::Acknowledged]);
}

#[test]
fn a_message_for_somebody_else_cannot_be_acknowledged() {
    let mut world = World::connected(3);
    let sent = world.send(0, &["p1"], "hello").unwrap();
    let ids = vec![sent.id.to_string()];
    refusal(world.call(2, Request::Ack(api::ack::Request { ids: ids.clone() })), ErrorCode::Forbidden);
    refusal(world.call(0, Request::Ack(api::ack::Request { ids })), ErrorCode::Forbidden);
    let unknown = vec!["aaaaaaaa".to_owned()];
    refusal(world.call(1, Request::Ack(api::ack::Request { ids: unknown })), ErrorCode::NotFound);
}

#[test]
fn a_message_to_all_reaches_all_but_its_author() {
    let mut world = World::connected(3);
    world.call_as(0, "coder", Request::State(api::state::Request::default())).unwrap();
    world.send(0, &[], "hello all").unwrap();
    assert!(world.texts(0).is_empty());
    assert_eq!(world.texts(1), ["hello all"]);
    assert_eq!(world.texts(2), ["hello all"]);
    let Reply::Inbox(inbox) = world.call_as(0, "coder", Request::Inbox(api::inbox::Request::default())).unwrap() else {
        panic!()
    };
    assert_eq!(inbox.messages.len(), 1);
}

#[test]
fn a_node_that_is_reached_only_through_another_gets_everything() {
    let mut world = World::new(3);
    world.connect(0, 1);
    world.connect(1, 2);
    // What the one in the middle fetched is news to its other neighbour soon after.
    world.wait(Duration::from_secs(1));
    world.send(0, &[], "pass it on").unwrap();
    assert!(world.hosts[0].published > 0);
    world.wait(Duration::from_secs(31));
    assert_eq!(world.texts(2), ["pass it on"]);
    world.assert_agreed();
}

fn watched(world: &World, n: usize, call: u64) -> Vec<watch::Event> {
    let event = |(id, answer): &(CallId, Answer)| match answer {
        Answer::Event(event) if *id == CallId(call) => Some(event.clone()),
        Answer::Event(_) | Answer::Ok(_) | Answer::Error(_) => None,
    };
    world.hosts[n].replies.iter().filter_map(event).collect()
}

#[test]
fn a_watch_tells_what_was_asked_for_until_it_ends() {
    let mut world = World::connected(2);
    world
        .call(
            1,
            Request::Watch(watch::Request {
                topics: vec![watch::Topic::Inbox, watch::Topic::Pulse],
                ..Default::default()
            }),
        )
        .unwrap();
    let watch = world.calls;
    world.send(0, &["p1"], "for you").unwrap();
    world.send(0, &["p0"], "not for you").unwrap();
    world.say(0, "busy");
    world.disconnect(0, 1);
    let events = watched(&world, 1, watch);
    assert!(matches!(&events[0], watch::Event::Message(message) if message.text == "for you"));
    assert!(matches!(&events[1], watch::Event::Pulse(row) if row.pulse.summary.as_deref() == Some("busy")));
    assert_eq!(events.len(), 2, "{events:?}");
    world.give(1, Input::CallEnded(CallId(watch)));
    world.connect(0, 1);
    world.send(0, &["p1"], "unheard").unwrap();
    assert_eq!(watched(&world, 1, watch).len(), 2);
}

#[test]
fn presence_goes_from_reachable_to_suspect_to_gone() {
    let mut world = World::connected(2);
    let presence = |world: &mut World| {
        let Ok(Reply::Peers(peers)) = world.call(0, Request::Peers(api::peers::Request {})) else { panic!() };
        peers.peers[0].presence
    };
    assert_eq!(presence(&mut world), api::Presence::Reachable);
    world.disconnect(0, 1);
    assert_eq!(presence(&mut world), api::Presence::Suspect);
    world.wait(Duration::from_secs(31));
    assert_eq!(presence(&mut world), api::Presence::Gone);
    world.connect(0, 1);
    world.links.clear();
    world.wait(Duration::from_secs(18));
    assert_eq!(presence(&mut world), api::Presence::Suspect);
}

#[test]
fn votes_are_counted_alike_and_a_closed_one_stays() {
    let mut world = World::connected(3);
    let options = vec!["OAuth2".to_owned(), "JWT".to_owned()];
    let new = api::vote_new::Request {
        question: "Which?".to_owned(),
        options,
        id: Some("auth".to_owned()),
        ..Default::default()
    };
    world.call(0, Request::VoteNew(new)).unwrap();
    let cast = |choice: &str| {
        Request::VoteCast(api::vote_cast::Request {
            id: "auth".to_owned(),
            choices: vec![choice.to_owned()],
            ..Default::default()
        })
    };
    world.call(1, cast("jwt")).unwrap();
    world.call(2, cast("oauth2")).unwrap();
    world.call(1, cast("oauth2")).unwrap();
    refusal(world.call(1, cast("basic")), ErrorCode::Invalid);
    let close = || Request::VoteClose(api::vote_close::Request { id: "auth".to_owned(), withdraw: false });
    refusal(world.call(1, close()), ErrorCode::Forbidden);
    world.call(0, close()).unwrap();
    refusal(world.call(2, cast("jwt")), ErrorCode::Conflict);
    let shown = |world: &mut World, n| world.ask(n, api::vote_show::Request { id: "auth".to_owned() });
    let first = shown(&mut world, 0);
    assert_eq!(first.winner.as_deref(), Some("OAuth2"));
    assert_eq!(first.votes["OAuth2"], 2);
    assert_eq!(shown(&mut world, 1), first);
    assert_eq!(shown(&mut world, 2), first);
}

#[test]
fn a_call_that_waits_for_the_own_document_is_forgotten_with_its_caller() {
    let mut world = World::new(1);
    let lobby = world.hosts[0].core.lobby;
    let me = world.id(0);
    world.hosts[0].core.remaking.insert((lobby, me), Vec::new());
    let caller = Caller { name: "p0".parse().unwrap(), kind: AgentKind::Person };
    world.give(0, Input::Call { id: CallId(70), caller, request: Request::Status(api::status::Request {}) });
    assert!(world.hosts[0].replies.iter().all(|(id, _)| *id != CallId(70)));
    world.give(0, Input::CallEnded(CallId(70)));
    assert!(world.hosts[0].core.deferred.is_empty());
}
