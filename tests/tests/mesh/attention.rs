//! Attention, expiry, threads and digests through the command line of two nodes.

use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

#[test]
fn a_busy_agent_is_left_alone_and_the_sender_sees_it() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    aorus.cli(&["attention", "set", "dnd", "--agent", "tester"]).ok();
    eventually("taichi sees that the tester is busy", || {
        let agents = taichi.cli(&["agents"]).ok().stdout;
        holds(agents.lines().any(|line| line.contains("tester@aorus") && line.contains("dnd")), agents)
    });
    let send = |words: &[&str]| -> String {
        let sent = taichi.json(&[&["send", "tester", "look at this"][..], words].concat());
        sent["id"].as_str().unwrap().to_owned()
    };
    let calm = send(&["--agent", "coder"]);
    let urgent = send(&["--urgent"]);
    eventually("one is held and the other has come", || {
        let state = |id: &String| taichi.json(&["history", id])["messages"][0]["deliveries"][0]["state"].clone();
        holds(state(&calm) == "held" && state(&urgent) == "stored", (state(&calm), state(&urgent)))
    });
    let inbox = aorus.json(&["inbox", "--agent", "tester"]);
    assert_eq!((inbox["messages"].as_array().map(Vec::len), inbox["held"].as_u64()), (Some(1), Some(1)), "{inbox}");
    let digest = aorus.json(&["digest", "--agent", "tester", "--tokens", "60"]);
    let text = digest["text"].as_str().unwrap();
    assert!(text.contains("1 messages") && text.len() <= 240, "{digest}");
    aorus.cli(&["attention", "set", "open", "--agent", "tester"]).ok();
    let inbox = aorus.json(&["inbox", "--agent", "tester"]);
    assert_eq!(inbox["messages"][0]["id"].as_str(), Some(calm.as_str()), "{inbox}");
    let ack = ["send", "coder@taichi", "understood", "--type", "ack", "--agent", "tester", "--reply-to"];
    let understood = aorus.json(&[&ack[..], &[&calm]].concat())["id"].as_str().unwrap().to_owned();
    eventually("the thread has two messages", || {
        let thread = taichi.json(&["history", "--thread", &calm]);
        holds(thread["messages"].as_array().is_some_and(|messages| messages.len() == 2), thread)
    });
    assert_eq!(taichi.refused(&["ack", &understood, "--agent", "coder"]).1["code"], "conflict");
    assert_eq!(taichi.refused(&["send", "tester", "x", "--expires", "10m"]).1["code"], "invalid");
    assert_eq!(taichi.cli(&["attention", "set", "sleeping"]).code, 2);
}
