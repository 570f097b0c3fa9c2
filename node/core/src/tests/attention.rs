//! Attention, threads, expiry, acknowledgements and digests at the doors.

use fedp2p_protocols::api::message::{DeliveryState, Message as Shown};
use fedp2p_protocols::api::task::Bidding;
use fedp2p_protocols::api::{
    attention_set, claim_take, digest, history, inbox, send, surfaced, task_cancel, task_claim, task_new, vote_new,
};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::claim;

use super::*;

fn attention(world: &mut World, n: usize, agent: &str, mode: Mode, urgent: &[&str]) {
    let urgent = urgent.iter().map(|text| (*text).to_owned()).collect();
    world.call_as(n, agent, Request::AttentionSet(attention_set::Request { mode, urgent })).unwrap();
}

fn message(to: &str, text: &str) -> send::Request {
    let to = if to.is_empty() { Vec::new() } else { vec![to.to_owned()] };
    send::Request { to, text: text.to_owned(), ..Default::default() }
}

fn sent(world: &mut World, n: usize, agent: &str, request: send::Request) -> send::Reply {
    let reply = world.call_as(n, agent, Request::Send(request)).unwrap();
    <send::Request as Operation>::reply(reply).unwrap()
}

fn read(world: &mut World, n: usize, agent: &str, held: bool) -> inbox::Reply {
    let request = inbox::Request { held, ..Default::default() };
    <inbox::Request as Operation>::reply(world.call_as(n, agent, Request::Inbox(request)).unwrap()).unwrap()
}

/// Reads and marks what an agent is handed, and returns the texts.
fn taken(world: &mut World, n: usize, agent: &str, held: bool) -> Vec<String> {
    let inbox = read(world, n, agent, held);
    let request = surfaced::Request { cursor: inbox.cursor, held: inbox.with_held };
    world.call_as(n, agent, Request::Surfaced(request)).unwrap();
    world.wait(Duration::from_secs(1));
    inbox.messages.into_iter().map(|message| message.text).collect()
}

/// How far a message has come at its one recipient, as its sender sees it.
fn state(world: &mut World, n: usize, reply: &send::Reply) -> DeliveryState {
    let request = history::Request { id: Some(reply.id.to_string()), ..Default::default() };
    world.ask(n, request).messages[0].deliveries[0].state
}

/// Two nodes with the agent "coder" on the first and "tester" on the second.
fn pair() -> World {
    let mut world = World::connected(2);
    for (n, agent) in [(0, "coder"), (1, "tester")] {
        read(&mut world, n, agent, false);
        world.say(n, "here");
    }
    world.wait(Duration::from_secs(1));
    world
}

#[test]
fn what_is_held_waits_and_the_sender_sees_it() {
    let mut world = pair();
    attention(&mut world, 1, "tester", Mode::Dnd, &[]);
    let held = sent(&mut world, 0, "coder", message("tester", "when you have time"));
    world.wait(Duration::from_secs(1));
    assert_eq!(state(&mut world, 0, &held), DeliveryState::Held);
    let inbox = read(&mut world, 1, "tester", false);
    assert_eq!((inbox.messages.len(), inbox.held, inbox.with_held), (0, 1, false));
    assert_eq!(read(&mut world, 1, "tester", true).messages.len(), 1);
    // Over a restart too, and once the agent is open again it comes by itself.
    world.restart(1);
    world.connect(0, 1);
    attention(&mut world, 1, "tester", Mode::Open, &[]);
    assert_eq!(state(&mut world, 0, &held), DeliveryState::Stored);
    assert_eq!(taken(&mut world, 1, "tester", false), ["when you have time"]);
    assert_eq!(state(&mut world, 0, &held), DeliveryState::Surfaced);
    assert_eq!(taken(&mut world, 1, "tester", false), Vec::<String>::new());
}

#[test]
fn urgent_messages_break_through_only_where_the_recipient_lets_them() {
    let mut world = pair();
    let urgent = |text: &str| send::Request { urgent: true, ..message("tester", text) };
    attention(&mut world, 1, "tester", Mode::Dnd, &[]);
    let machine = sent(&mut world, 0, "coder", urgent("from a machine"));
    let person = sent(&mut world, 0, "p0", urgent("from a person"));
    world.wait(Duration::from_secs(1));
    assert_eq!(taken(&mut world, 1, "tester", false), ["from a person"]);
    assert_eq!(state(&mut world, 0, &person), DeliveryState::Surfaced);
    assert_eq!(state(&mut world, 0, &machine), DeliveryState::Held);
    attention(&mut world, 1, "tester", Mode::Dnd, &["coder@n0"]);
    sent(&mut world, 0, "coder", urgent("now it may"));
    sent(&mut world, 0, "p0", urgent("a person may not"));
    attention(&mut world, 1, "tester", Mode::Dnd, &["nobody"]);
    sent(&mut world, 0, "coder", urgent("nobody may"));
    assert_eq!(taken(&mut world, 1, "tester", false), ["now it may"]);
    // What was held is handed out when it is asked for, each once.
    assert_eq!(taken(&mut world, 1, "tester", true), ["from a machine", "a person may not", "nobody may"]);
    assert_eq!(state(&mut world, 0, &machine), DeliveryState::Surfaced);
    assert_eq!(read(&mut world, 1, "tester", true).messages.len(), 0);
    let refused = attention_set::Request { mode: Mode::Dnd, urgent: vec!["nobody".to_owned(), "all".to_owned()] };
    refusal(world.call_as(1, "tester", Request::AttentionSet(refused)), ErrorCode::Invalid);
}

#[test]
fn in_focus_what_names_the_agent_comes_and_news_to_all_waits() {
    let mut world = pair();
    attention(&mut world, 1, "tester", Mode::Focus, &[]);
    sent(&mut world, 0, "coder", message("", "to all"));
    let news = send::Request { kind: MessageType::Status, ..message("tester", "half done") };
    sent(&mut world, 0, "coder", news);
    sent(&mut world, 0, "coder", message("tester", "to you"));
    world.wait(Duration::from_secs(1));
    assert_eq!(taken(&mut world, 1, "tester", false), ["to you"]);
    attention(&mut world, 1, "tester", Mode::Open, &[]);
    assert_eq!(taken(&mut world, 1, "tester", false), ["to all", "half done"]);
}

#[test]
fn a_status_expires_and_nothing_else_does() {
    let mut world = pair();
    let news = |kind, seconds| send::Request { kind, expires_s: Some(seconds), ..message("tester", "half done") };
    let short = sent(&mut world, 0, "coder", news(MessageType::Status, 10));
    let long = sent(&mut world, 0, "coder", news(MessageType::Status, 600));
    world.wait(Duration::from_secs(11));
    assert_eq!(state(&mut world, 0, &short), DeliveryState::Expired);
    assert_eq!(taken(&mut world, 1, "tester", false), ["half done"]);
    assert_eq!(state(&mut world, 0, &long), DeliveryState::Surfaced);
    assert_eq!(state(&mut world, 0, &short), DeliveryState::Expired);
    for request in [news(MessageType::Chat, 10), news(MessageType::Status, 0), news(MessageType::Status, 604_801)] {
        refusal(world.call_as(0, "coder", Request::Send(request)), ErrorCode::Invalid);
    }
}

#[test]
fn an_acknowledgement_is_not_acknowledged() {
    let mut world = pair();
    let task = sent(&mut world, 0, "coder", message("tester", "please look"));
    world.wait(Duration::from_secs(1));
    let ack = |to: &str, of: &send::Reply| send::Request {
        kind: MessageType::Ack,
        reply_to: Some(of.id.to_string()),
        ..message(to, "understood")
    };
    let understood = sent(&mut world, 1, "tester", ack("coder", &task));
    world.wait(Duration::from_secs(1));
    refusal(world.call_as(0, "coder", Request::Send(ack("tester", &understood))), ErrorCode::Conflict);
    let request = api::ack::Request { ids: vec![understood.id.to_string()] };
    refusal(world.call_as(0, "coder", Request::Ack(request)), ErrorCode::Conflict);
    let alone = send::Request { kind: MessageType::Ack, ..message("tester", "hm") };
    refusal(world.call_as(0, "coder", Request::Send(alone)), ErrorCode::Invalid);
    // An answer with something new in it is none.
    let more = send::Request { reply_to: Some(understood.id.to_string()), ..message("tester", "one more thing") };
    sent(&mut world, 0, "coder", more);
}

#[test]
fn a_thread_is_shown_whole_and_agents_leave_it_after_a_while() {
    let mut world = pair();
    let first = sent(&mut world, 0, "coder", message("tester", "shall we?"));
    world.wait(Duration::from_secs(1));
    let answer =
        |to: &str, of: &OpId, text: &str| send::Request { reply_to: Some(of.to_string()), ..message(to, text) };
    let mut last = first.id;
    for number in 0..20 {
        last = sent(&mut world, 1, "tester", answer("coder", &last, &format!("idea {number}"))).id;
    }
    world.wait(Duration::from_secs(1));
    let refused =
        refusal(world.call_as(1, "tester", Request::Send(answer("coder", &last, "more"))), ErrorCode::Conflict);
    assert!(refused.message.contains("the limit is 20") && refused.hint.is_some(), "{refused:?}");
    // Others may, and so may this one elsewhere; an answer of a person opens the thread again, and so does time.
    sent(&mut world, 0, "coder", answer("tester", &last, "go on"));
    refusal(world.call_as(1, "tester", Request::Send(answer("coder", &last, "more"))), ErrorCode::Conflict);
    sent(&mut world, 1, "tester", message("coder", "something else"));
    let word = sent(&mut world, 0, "p0", answer("tester", &first.id, "yes, do it"));
    world.wait(Duration::from_secs(1));
    sent(&mut world, 1, "tester", answer("coder", &word.id, "more"));
    let thread = |world: &mut World, n: usize, of: &OpId| -> Vec<Shown> {
        world.ask(n, history::Request { thread: Some(of.to_string()), ..Default::default() }).messages
    };
    let whole = thread(&mut world, 1, &last);
    assert_eq!(whole.len(), 1 + 20 + 1 + 1 + 1);
    assert_eq!(thread(&mut world, 0, &first.id).len(), whole.len());
    assert!(whole.iter().all(|message| message.text != "something else"));
}

fn digest(world: &mut World, n: usize, agent: &str, tokens: u32) -> digest::Reply {
    let reply = world.call_as(n, agent, Request::Digest(digest::Request { tokens })).unwrap();
    <digest::Request as Operation>::reply(reply).unwrap()
}

#[test]
fn a_digest_says_what_matters_and_keeps_to_its_length() {
    let mut world = pair();
    // One that has read something is not new.
    sent(&mut world, 0, "coder", message("tester", "welcome"));
    taken(&mut world, 1, "tester", false);
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(sent(&mut world, 0, "coder", message("tester", &format!("news {number} {}", "x".repeat(100)))).id);
    }
    sent(&mut world, 0, "p0", send::Request { urgent: true, ..message("tester", "the build is red") });
    let covers = vec![format!("{}..{}", ids[0], ids[29]), ids[3].to_string()];
    let summary = |text: &str, correlation: &str| send::Request {
        kind: MessageType::Summary,
        covers: covers.clone(),
        correlation: Some(correlation.to_owned()),
        ..message("", text)
    };
    sent(&mut world, 0, "coder", summary("an old summary", "auth"));
    sent(&mut world, 0, "coder", summary("a new summary", "auth"));
    let options = ["yes", "no"].map(str::to_owned).to_vec();
    let question = vote_new::Request { question: "Ship it?".to_owned(), options, ..Default::default() };
    world.call_as(0, "coder", Request::VoteNew(question)).unwrap();
    world.wait(Duration::from_secs(1));
    for tokens in [50, 100, 300, 1000, 4000] {
        let digest = digest(&mut world, 1, "tester", tokens);
        assert!(digest.text.len() <= tokens as usize * 4 && digest.tokens <= tokens, "{tokens}: {digest:?}");
        assert!(digest.text.starts_with("Newest summary:"), "{}", digest.text);
        assert!(digest.text.contains("Urgent and unread:"), "{}", digest.text);
        assert_eq!(digest.left_out == 0, tokens == 4000, "{digest:?}");
    }
    let text = digest(&mut world, 1, "tester", 1000).text;
    for part in ["the build is red", "vote: ship-it (Ship it?; yes | no), asked by coder@n0", "a new summary", "p0@n0"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(text.matches("an old summary").count(), usize::from(text.contains("chat] coder@n0: an old summary")));
    // Nothing was marked, and whoever is new starts from the summaries.
    assert_eq!(read(&mut world, 1, "tester", false).messages.len(), 33);
    let text = digest(&mut world, 1, "newcomer", 300).text;
    assert!(text.starts_with("Newest summary:\n- ") && text.contains("a new summary"), "{text}");
    for tokens in [0, 49, 32_001] {
        refusal(world.call_as(1, "tester", Request::Digest(digest::Request { tokens })), ErrorCode::Invalid);
    }
    let shown = world.history(1).into_iter().find(|message| message.text == "a new summary").unwrap();
    assert_eq!((shown.covers[0].from, shown.covers[0].to, shown.covers[1].to), (ids[0], Some(ids[29]), None));
    for request in [
        send::Request { covers: Vec::new(), ..summary("x", "y") },
        send::Request { covers: covers.clone(), ..message("tester", "no summary") },
    ] {
        refusal(world.call_as(0, "coder", Request::Send(request)), ErrorCode::Invalid);
    }
}

#[test]
fn a_digest_says_what_is_to_be_done_and_which_files_are_claimed() {
    let mut world = pair();
    let new = |id: &str, to: Option<&str>, bids: bool| {
        let (id, to) = (Some(id.to_owned()), to.map(str::to_owned));
        let offer = bids.then_some(Bidding { until_s: Some(60), auto: false });
        Request::TaskNew(task_new::Request { id, title: "a title".to_owned(), to, offer, ..Default::default() })
    };
    for task in [
        new("open", None, false),
        new("for-tester", Some("tester@n1"), false),
        new("for-coder", Some("coder"), false),
        new("held", None, false),
        new("offered", None, true),
    ] {
        world.call_as(0, "coder", task).unwrap();
    }
    world.wait(Duration::from_secs(1));
    let claim = task_claim::Request { id: "held".to_owned(), ..Default::default() };
    world.call_as(1, "tester", Request::TaskClaim(claim)).unwrap();
    let files = |file: &str| claim_take::Request {
        repository: "fedp2p".parse().unwrap(),
        files: vec![file.to_owned()],
        mode: claim::Mode::Exclusive,
        ttl_s: 60,
        why: Some("a rewrite".to_owned()),
        no_wait: true,
    };
    world.call_as(0, "coder", Request::ClaimTake(files("src/a.rs"))).unwrap();
    world.wait(Duration::from_secs(1));
    let text = digest(&mut world, 1, "tester", 1000).text;
    let to_do = "To do:\n- yours, working: held (a title)\n- bid: offered (a title)\n- begin, it is for you: for-tester (a \
                 title)\n- free: open (a title)\n";
    assert!(text.contains(to_do), "{text}");
    let claimed = "Files claimed:\n- fedp2p:src/a.rs by coder@n0 (claim 2, confirmed, 59 s left, a rewrite)\n";
    assert!(text.contains(claimed), "{text}");
}

#[test]
fn what_its_node_says_of_what_it_lost_reaches_an_agent_that_wants_quiet() {
    for mode in [Mode::Focus, Mode::Dnd] {
        let mut world = pair();
        attention(&mut world, 1, "tester", mode, &[]);
        let task = task_new::Request { title: "one".to_owned(), id: Some("t1".to_owned()), ..Default::default() };
        world.call_as(0, "coder", Request::TaskNew(task)).unwrap();
        let start = task_claim::Request { id: "t1".to_owned(), ..Default::default() };
        world.call_as(1, "tester", Request::TaskClaim(start)).unwrap();
        let cancel = task_cancel::Request { id: "t1".to_owned(), reason: None };
        world.call_as(0, "coder", Request::TaskCancel(cancel)).unwrap();
        world.wait(Duration::from_secs(1));
        let told = taken(&mut world, 1, "tester", false);
        assert!(told.iter().any(|text| text.contains("t1")), "{mode:?}: {told:?}");
        // Others do not get through by speaking in its name.
        let stop = send::Request { kind: MessageType::Status, urgent: true, ..message("tester", "stop") };
        world.call_as(1, "node", Request::Send(stop)).unwrap();
        world.wait(Duration::from_secs(1));
        assert_eq!(taken(&mut world, 1, "tester", false), [""; 0]);
    }
}

#[test]
fn what_was_held_comes_when_the_attention_lets_it() {
    let mut world = pair();
    attention(&mut world, 1, "tester", Mode::Dnd, &["nobody"]);
    let first = sent(&mut world, 0, "coder", message("tester", "to you"));
    sent(&mut world, 0, "coder", message("", "to all"));
    sent(&mut world, 0, "p0", send::Request { urgent: true, ..message("tester", "at once") });
    world.wait(Duration::from_secs(1));
    assert_eq!(taken(&mut world, 1, "tester", false), Vec::<String>::new());
    // Whoever a person may break through gets what a person said before, and nothing else.
    attention(&mut world, 1, "tester", Mode::Dnd, &["people"]);
    assert_eq!(taken(&mut world, 1, "tester", false), ["at once"]);
    attention(&mut world, 1, "tester", Mode::Focus, &[]);
    assert_eq!(read(&mut world, 1, "tester", false).held, 1);
    assert_eq!(state(&mut world, 0, &first), DeliveryState::Stored);
    // What was let through and not taken is held again once the agent wants quiet.
    attention(&mut world, 1, "tester", Mode::Dnd, &[]);
    let inbox = read(&mut world, 1, "tester", false);
    assert_eq!((inbox.messages.len(), inbox.held), (0, 2));
    attention(&mut world, 1, "tester", Mode::Focus, &[]);
    world.restart(1);
    world.connect(0, 1);
    assert_eq!(taken(&mut world, 1, "tester", false), ["to you"]);
    assert_eq!(taken(&mut world, 1, "tester", false), Vec::<String>::new());
    assert_eq!(state(&mut world, 0, &first), DeliveryState::Surfaced);
    assert_eq!(taken(&mut world, 1, "tester", true), ["to all"]);
}
