//! Approvals through the command line of two nodes: an agent asks and waits, a person answers.

use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

#[test]
fn an_agent_waits_for_the_approval_of_a_person_on_another_node() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.wait_for_agents(&["ada@aorus".to_owned()]);
    let set = aorus.cli_with_input(&["pin", "--pin-stdin"], b"correct horse\n");
    assert_eq!(set.code, 0, "{set:?}");
    let ask = ["approve", "ask", "Delete the old data?", "--id", "wipe", "--of", "ada@aorus"];
    let mut waiting = taichi.follow(&[&ask[..], &["--agent", "coder", "--wait", "--json"]].concat());
    eventually("the person is asked", || {
        let inbox = aorus.cli(&["inbox", "--peek"]).ok().stdout;
        holds(inbox.contains("Delete the old data?"), inbox)
    });
    let none = aorus.cli(&["approve", "wipe", "--agent", "helper", "--pin-stdin"]);
    assert_eq!(none.code, 2, "{none:?}");
    for (words, pin) in [(&["--agent", "helper"][..], "correct horse\n"), (&[], "guess\n")] {
        let refused = aorus.cli_with_input(&[&["approve", "wipe", "--pin-stdin"], words].concat(), pin.as_bytes());
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    assert_eq!(aorus.refused(&["vote", "cast", "wipe", "approve"]).1["code"], "forbidden");
    let yes = ["approve", "wipe", "--reason", "backups are checked", "--pin-stdin"];
    let given = aorus.cli_with_input(&yes, b"correct horse\n");
    assert_eq!(given.code, 0, "{given:?}");
    waiting.wait_for("\"winner\":\"approve\"");
    assert_eq!(waiting.wait_for_end(), 0);
    eventually("the answer is in the inbox of the agent", || {
        let inbox = taichi.cli(&["inbox", "--agent", "coder", "--peek"]).ok().stdout;
        holds(inbox.contains("approved: Delete the old data?") && inbox.contains("backups are checked"), inbox)
    });
    assert_eq!(taichi.json(&["approve", "list"])["proposals"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_vote_of_a_person_takes_the_pin_where_people_are_asked_and_lists_come_in_pages() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.wait_for_agents(&["ada@aorus".to_owned()]);
    assert_eq!(aorus.cli_with_input(&["pin", "--pin-stdin"], b"correct horse\n").code, 0);
    for id in ["one", "two", "three"] {
        taichi.cli(&["vote", "new", "Delete it?", "yes", "no", "--id", id, "--electorate", "people"]).ok();
    }
    eventually("aorus sees the questions", || {
        let shown = aorus.cli(&["vote", "show", "three"]);
        holds(shown.code == 0, shown)
    });
    let (code, refused) = aorus.refused(&["vote", "cast", "one", "yes"]);
    assert_eq!((code, &refused["code"]), (1, &"forbidden".into()), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("--pin"), "{refused}");
    let cast = aorus.cli_with_input(&["vote", "cast", "one", "yes", "--pin-stdin"], b"correct horse\n");
    assert_eq!(cast.code, 0, "{cast:?}");
    eventually("taichi sees that a person voted", || {
        let shown = taichi.json(&["vote", "show", "one"]);
        let words = taichi.cli(&["vote", "show", "one"]).ok().stdout;
        holds(shown["ballots"][0]["proven"] == true && words.contains("PIN"), (shown, words))
    });

    let first = taichi.cli(&["vote", "list", "--limit", "2"]).ok();
    assert!(first.stderr.contains("1 more, use --after two"), "{first:?}");
    let second = taichi.json(&["vote", "list", "--limit", "2", "--after", "two"]);
    let found: Vec<_> = second["proposals"].as_array().unwrap().iter().map(|proposal| &proposal["id"]).collect();
    assert_eq!(found, ["three"], "{second}");
    assert_eq!(second["more"], 0, "{second}");
}
