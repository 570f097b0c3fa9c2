//! Two nodes: joining, messages and how far they come, pulses and votes.

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};
use serde_json::json;

#[test]
fn a_message_reaches_the_other_node_and_its_sender_sees_every_step() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let sent = taichi.json(&[
        "send",
        "ada@aorus",
        "Please review",
        "--type",
        "task",
        "--correlation",
        "review",
        "--data",
        "{\"n\":1}",
    ]);
    let id = sent["id"].as_str().unwrap().to_owned();
    let op = id.parse().unwrap();
    taichi.wait_for_delivery(&op, DeliveryState::Stored);
    let inbox = aorus.json(&["inbox"]);
    let message = &inbox["messages"][0];
    assert_eq!(message["id"], id.as_str());
    assert_eq!((message["text"].as_str(), message["type"].as_str()), (Some("Please review"), Some("task")));
    assert_eq!((message["data"]["n"].as_i64(), message["correlation"].as_str()), (Some(1), Some("review")));
    assert_eq!((message["from"].as_str(), message["verified"].as_bool()), (Some("ada@taichi"), Some(true)));
    taichi.wait_for_delivery(&op, DeliveryState::Surfaced);
    assert_eq!(aorus.json(&["inbox"])["messages"].as_array().map(Vec::len), Some(0), "it was handed out once");
    let acknowledged = aorus.json(&["ack", &id[..8]]);
    assert_eq!(acknowledged["acknowledged"][0], id.as_str());
    taichi.wait_for_delivery(&op, DeliveryState::Acknowledged);

    let answer = aorus.json(&[
        "send",
        "ada@taichi",
        "Two findings",
        "--type",
        "result",
        "--reply-to",
        &id[..8],
        "--wait",
        "stored",
    ]);
    assert_eq!(answer["deliveries"][0]["state"], "stored");
    let read = taichi.json(&["inbox"]);
    assert_eq!(read["messages"][0]["reply_to"], id.as_str());
}

#[test]
fn messages_to_a_stopped_node_wait_and_arrive() {
    let world = World::new();
    let [taichi, mut aorus] = world.mesh(["taichi", "aorus"]);
    aorus.down();
    eventually("taichi notices", || {
        let status = taichi.status();
        holds(status.reachable == 0, status.reachable)
    });
    let id = taichi.send(&["ada@aorus"], "Are you there?");
    assert_eq!(taichi.deliveries(&id), [("ada@aorus".to_owned(), DeliveryState::Queued)]);
    assert!(taichi.cli(&["history"]).ok().stdout.contains("queued"));
    aorus.up(&[]);
    taichi.wait_for_delivery(&id, DeliveryState::Stored);
    assert_eq!(aorus.take_inbox(), ["Are you there?"]);
    taichi.wait_for_delivery(&id, DeliveryState::Surfaced);
    aorus.cli(&["ack", &id.to_string()]).ok();
    taichi.wait_for_delivery(&id, DeliveryState::Acknowledged);
}

#[test]
fn each_agent_has_an_inbox_of_its_own_and_everybody_reads_what_goes_to_all() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    for agent in ["coder", "tester"] {
        assert_eq!(aorus.waiting(agent, AgentKind::Ai), Vec::<String>::new());
    }
    eventually("taichi has heard of both", || {
        let agents = taichi.json(&["agents"])["agents"].to_string();
        holds(agents.contains("coder@aorus") && agents.contains("tester@aorus"), agents)
    });
    taichi.cli(&["send", "coder", "tester@aorus", "For two"]).ok();
    taichi.cli(&["send", "--agent", "planner", "--all", "For all"]).ok();
    let arrives = |agent: &str, kind, texts: &[&str]| {
        eventually(&format!("{agent} gets its messages"), || {
            let waiting = aorus.waiting(agent, kind);
            holds(waiting == texts, waiting)
        });
    };
    arrives("coder", AgentKind::Ai, &["For two", "For all"]);
    arrives("tester", AgentKind::Ai, &["For two", "For all"]);
    arrives("ada", AgentKind::Person, &["For all"]);
    assert!(aorus.cli(&["inbox", "--agent", "coder"]).ok().stdout.contains("For two"));
    assert_eq!(aorus.waiting("coder", AgentKind::Ai), Vec::<String>::new());
    arrives("tester", AgentKind::Ai, &["For two", "For all"]);
    assert_eq!(taichi.waiting("ada", AgentKind::Person), ["For all"], "agents of one node talk to each other too");
}

#[test]
fn looking_does_not_take_and_the_cursor_moves_only_after_printing() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    taichi.cli(&["send", "ada", "note to self", "--agent", "coder"]).ok();
    for _ in 0..2 {
        assert!(taichi.cli(&["inbox", "--peek"]).ok().stdout.contains("note to self"));
    }
    assert!(taichi.cli(&["inbox"]).ok().stdout.contains("note to self"));
    let empty = taichi.cli(&["inbox"]).ok();
    assert_eq!(empty.stdout, "");
    assert!(empty.stderr.contains("nothing waits"));
}

#[test]
fn history_narrows_by_author_type_correlation_time_and_number() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    for number in 0..5 {
        let correlation = format!("c{}", number % 2);
        taichi
            .cli(&["send", "--all", &format!("text {number}"), "--agent", "coder", "--correlation", &correlation])
            .ok();
    }
    taichi.cli(&["send", "coder", "done", "--type", "result"]).ok();
    let texts = |arguments: &[&str]| -> Vec<String> {
        let reply = taichi.json(&[&["history"], arguments].concat());
        let messages = reply["messages"].as_array().unwrap();
        messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&["--from", "coder"]).len(), 5);
    assert_eq!(texts(&["--type", "result"]), ["done"]);
    assert_eq!(texts(&["--to", "coder@taichi", "--type", "result"]), ["done"]);
    assert_eq!(texts(&["--correlation", "c1"]), ["text 1", "text 3"]);
    assert_eq!(texts(&["--limit", "2"]), ["text 4", "done"]);
    assert_eq!(texts(&["--since", "1h", "--limit", "1"]), ["done"]);
    assert!(texts(&["--until", "1h"]).is_empty());
    let page = taichi.json(&["history", "--limit", "2"]);
    let before = page["before"].as_u64().unwrap().to_string();
    assert_eq!(texts(&["--limit", "2", "--before", &before]), ["text 2", "text 3"]);
    let all = taichi.json(&["history"]);
    assert!(all["before"].is_null(), "there is no page before the first: {}", all["before"]);
}

#[test]
fn pulses_and_votes_work_both_ways() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.cli(&["state", "--summary", "Refactoring auth", "--action", "EXECUTING"]).ok();
    aorus.cli(&["state", "--agent", "tester", "--offering", "Reviews", "--status", "IDLE"]).ok();
    for node in [&taichi, &aorus] {
        let table = eventually("both pulses are seen", || {
            let table = node.cli(&["pulse"]).ok().stdout;
            holds(
                ["Refactoring auth", "EXECUTING", "Reviews", "IDLE"].iter().all(|word| table.contains(word)),
                &table,
            )?;
            Ok(table)
        });
        assert!(table.contains("ada@taichi") && table.contains("tester@aorus"), "{table}");
    }
    aorus.cli(&["state", "--agent", "tester", "--clear", "offering"]).ok();
    eventually("a field is emptied", || {
        let pulse = taichi.json(&["pulse"]).to_string();
        holds(!pulse.contains("Reviews") && pulse.contains("IDLE"), pulse)
    });

    let opened = taichi.json(&["vote", "new", "Which auth?", "OAuth2", "JWT", "Custom", "--id", "auth"]);
    assert_eq!(
        (opened["id"].as_str(), opened["revision"].as_u64(), opened["winner"].as_str()),
        (Some("auth"), Some(1), None)
    );
    eventually("aorus sees the question", || {
        let shown = aorus.cli(&["vote", "show", "auth"]);
        holds(shown.code == 0, shown)
    });
    aorus.cli(&["vote", "cast", "auth", "oauth2", "--reason", "it is standard"]).ok();
    aorus.cli(&["vote", "cast", "auth", "JWT", "--agent", "tester"]).ok();
    taichi.cli(&["vote", "cast", "auth", "OAuth2"]).ok();
    for node in [&taichi, &aorus] {
        eventually("all ballots are counted", || {
            let shown = node.json(&["vote", "show", "auth"]);
            let votes = json!({"OAuth2": 2, "JWT": 1});
            holds(shown["votes"] == votes && shown["winner"] == "OAuth2", shown)
        });
    }
    let closed = taichi.json(&["vote", "close", "auth"]);
    assert_eq!((closed["open"].as_bool(), closed["winner"].as_str()), (Some(false), Some("OAuth2")));
    eventually("aorus sees that it is closed", || {
        let shown = aorus.json(&["vote", "show", "auth"]);
        holds(shown["open"] == false && shown["winner"] == "OAuth2", shown)
    });
    assert_eq!(aorus.refused(&["vote", "cast", "auth", "JWT"]).0, 1);
    assert_eq!(aorus.json(&["vote", "list"])["proposals"].as_array().map(Vec::len), Some(0));
    assert_eq!(aorus.json(&["vote", "list", "--all"])["proposals"].as_array().map(Vec::len), Some(1));
}
