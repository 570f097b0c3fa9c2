//! Section 4 of the whitepaper, call by call, on three machines that are called as they are there. One call is refused:
//! conversations beside the lobby do not exist yet, so its role is given there.

use std::collections::BTreeMap;

use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};
use serde_json::{Value, json};

/// Says something as the agent that is called like its node.
fn says(node: &Node, arguments: &[&str]) -> Value {
    node.json(&[&["--agent", node.name()][..], arguments].concat())
}

/// 4.1: a message to one agent waits for it and stays in the history.
fn direct_messaging(taichi: &Node, baby: &Node) {
    let content = "Please review auth-module.py for security issues";
    let sent = says(taichi, &["send", "baby", content, "--type", "task"]);
    assert_eq!(sent["deliveries"].as_array().map(Vec::len), Some(1), "{sent}");
    let message = eventually("the message is there", || {
        let inbox = says(baby, &["inbox", "--peek"]);
        let message = inbox["messages"].as_array().and_then(|messages| messages.first().cloned());
        message.ok_or_else(|| inbox.to_string())
    });
    assert_eq!((&message["text"], &message["type"]), (&json!(content), &json!("task")), "{message}");
    assert_eq!((&message["from"], &message["verified"]), (&json!("taichi@taichi"), &json!(true)));
}

/// 4.2: agents say what they are about, and everybody sees it in one table.
fn mind_speak(nodes: [&Node; 3]) {
    let [taichi, baby, aorus] = nodes;
    let thinking = "Considering OAuth2 vs JWT tradeoffs";
    let wondering = "Should we support refresh tokens?";
    let offering = "Can help with crypto review when done";
    let summary = "Refactoring auth module";
    let said = ["--summary", summary, "--action", "EXECUTING", "--thinking", thinking];
    says(taichi, &[&["state"], &said[..], &["--wondering", wondering, "--offering", offering]].concat());
    says(baby, &["state", "--action", "IDLE", "--offering", "Data analysis"]);
    says(aorus, &["state", "--action", "WAITING", "--offering", "Systems optimization"]);
    let expected = BTreeMap::from([
        ("taichi@taichi".to_owned(), ["EXECUTING", thinking, offering, summary, wondering].map(Some)),
        ("baby@baby".to_owned(), [Some("IDLE"), None, Some("Data analysis"), None, None]),
        ("aorus@aorus".to_owned(), [Some("WAITING"), None, Some("Systems optimization"), None, None]),
    ]);
    for node in nodes {
        eventually("the picture is complete", || {
            let pulse = says(node, &["pulse"]);
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let row = |row: &Value| {
                let said = FIELDS.map(|field| text(&row["pulse"][field]));
                Some((text(&row["address"])?, said))
            };
            let rows: BTreeMap<_, _> = pulse["agents"].as_array().into_iter().flatten().filter_map(row).collect();
            let same = rows.len() == expected.len()
                && expected.iter().all(|(agent, said)| {
                    rows.get(agent).is_some_and(|row| row.each_ref().map(Option::as_deref) == *said)
                });
            holds(same, pulse)
        });
        // The column "Status" of the paper's table.
        let agents = says(node, &["agents"]);
        let rows = agents["agents"].as_array().unwrap();
        for (agent, said) in &expected {
            let row = rows.iter().find(|row| row["address"] == agent.as_str());
            assert_eq!(row.and_then(|row| row["status"].as_str()), said[0], "{agents}");
        }
        let table = node.cli(&["pulse"]).ok().stdout;
        for words in ["EXECUTING", "IDLE", "WAITING", "Data analysis"] {
            assert!(table.contains(words), "{words}: {table}");
        }
    }
}

/// The fields of a pulse that are compared.
const FIELDS: [&str; 5] = ["action", "thinking", "offering", "summary", "wondering"];

/// 4.3: a question, three answers, and the result exactly as it is printed there.
fn consensus(nodes: [&Node; 3]) {
    let [taichi, baby, aorus] = nodes;
    let asked = ["Which auth approach?", "OAuth2", "JWT", "Custom", "--mechanism", "poll", "--id", "auth-decision"];
    says(taichi, &[&["vote", "new"], &asked[..]].concat());
    for (node, response) in [(taichi, "OAuth2"), (baby, "OAuth2"), (aorus, "JWT")] {
        eventually("the question is there", || {
            let shown = node.cli(&["vote", "show", "auth-decision"]);
            holds(shown.code == 0, shown)
        });
        says(node, &["vote", "cast", "auth-decision", response]);
    }
    for node in nodes {
        eventually("all votes are counted", || {
            let shown = says(node, &["vote", "show", "auth-decision"]);
            let result = json!({ "winner": shown["winner"], "votes": shown["votes"] });
            let expected = json!({"winner": "OAuth2", "votes": {"OAuth2": 2, "JWT": 1}});
            holds(result == expected, shown)
        });
    }
}

/// 4.4: a role with a subtask, and a task that is claimed.
fn task_delegation(nodes: [&Node; 3]) {
    let [taichi, baby, _] = nodes;
    let subtask = "Profile memory allocation in auth module";
    let assign = ["role", "assign", "baby", "analyst", "--subtask", subtask, "--conversation"];
    // There is one conversation yet, and it is not called like that.
    let (code, error) = taichi.refused(&[&assign[..], &["project-123"]].concat());
    assert_eq!((code, &error["code"], &error["suggestions"]), (1, &json!("not_found"), &json!(["lobby"])));
    let assigned = says(taichi, &[&assign[..], &["lobby"]].concat());
    assert_eq!(assigned["role"]["agent"], "baby@baby");
    assert_eq!(assigned["task"]["to"], json!({"agent": "baby@baby"}), "{assigned}");
    let profile = assigned["task"]["id"].as_str().unwrap().to_owned();
    for node in nodes {
        eventually("everybody knows the role and the task", || {
            let roles = says(node, &["role", "list", "analyst"]);
            let shown = node.cli(&["task", "show", &profile]);
            holds(roles["roles"][0]["agent"] == "baby@baby" && shown.code == 0, (roles, shown))
        });
    }
    let description = "Running valgrind analysis";
    let claimed = says(baby, &["task", "start", "memory-profile", "--note", description, "--create"]);
    assert_eq!((&claimed["state"], &claimed["note"]), (&json!("working"), &json!(description)), "{claimed}");
    assert_eq!((&claimed["holder"]["agent"], &claimed["holder"]["confirmed"]), (&json!("baby@baby"), &json!(true)));
    for node in nodes {
        eventually("everybody sees who does it", || {
            let shown = node.cli(&["task", "show", "memory-profile", "--json"]);
            let task = if shown.code == 0 { shown.envelope()["task_show"].clone() } else { Value::Null };
            holds(task["state"] == "working" && task["holder"]["agent"] == "baby@baby", shown)
        });
    }
    assert_eq!(taichi.refused(&["task", "start", "memory-profile"]).1["code"], "conflict");
    let done = says(baby, &["task", "done", "memory-profile", "--result", "no leak in auth"]);
    assert_eq!((&done["state"], &done["result"]), (&json!("completed"), &json!("no leak in auth")));
    let next = says(baby, &["task", "next"]);
    assert_eq!(next["task"]["id"], json!(profile), "{next}");
}

#[test]
fn the_whitepapers_scenario_plays_as_it_is_written_but_for_a_conversation_beside_the_lobby() {
    let world = World::new();
    let nodes = world.daemons_called(["taichi", "baby", "aorus"]);
    let nodes = [&nodes[0], &nodes[1], &nodes[2]];
    for node in nodes {
        says(node, &["inbox", "--peek"]);
    }
    for node in nodes {
        node.wait_for_agents(&["taichi@taichi", "baby@baby", "aorus@aorus"].map(str::to_owned));
    }
    direct_messaging(nodes[0], nodes[1]);
    mind_speak(nodes);
    consensus(nodes);
    task_delegation(nodes);
}
