//! Questions with rules, asked and answered through the command line of two nodes.

use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

#[test]
fn a_ranked_question_waits_for_acknowledgements_and_closes_by_itself() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    aorus.cli(&["state", "--agent", "tester", "--summary", "here"]).ok();
    eventually("taichi knows the tester", || {
        let agents = taichi.cli(&["agents"]).ok().stdout;
        holds(agents.contains("tester@aorus"), agents)
    });
    let new = ["vote", "new", "Where?", "Rome", "Oslo", "Lima", "--id", "where", "--mechanism", "ranked", "--early"];
    let asked = ["--electorate", "ada@taichi,tester@aorus", "--acknowledge", "10m"];
    let opened = taichi.json(&[&new[..], &asked].concat());
    assert_eq!((opened["phase"].as_str(), opened["rules"]["eligible"].as_u64()), (Some("acknowledging"), Some(2)));
    eventually("aorus sees the question", || {
        let shown = aorus.cli(&["vote", "show", "where"]);
        holds(shown.code == 0, shown)
    });
    assert_eq!(aorus.refused(&["vote", "cast", "where", "Oslo", "--agent", "tester"]).1["code"], "conflict");
    assert_eq!(aorus.refused(&["vote", "ack", "where"]).1["code"], "forbidden");
    aorus.cli(&["vote", "ack", "where", "--agent", "tester"]).ok();
    aorus.cli(&["vote", "cast", "where", "Oslo", "Rome", "--agent", "tester"]).ok();
    eventually("voting is open at taichi", || {
        let shown = taichi.json(&["vote", "show", "where"]);
        holds(shown["phase"] == "open" && shown["votes"]["Oslo"] == 1, shown)
    });
    taichi.cli(&["vote", "cast", "where", "oslo", "lima"]).ok();
    for node in [&taichi, &aorus] {
        eventually("the question closes by itself", || {
            let shown = node.json(&["vote", "show", "where"]);
            holds(shown["open"] == false && shown["cause"] == "settled" && shown["winner"] == "Oslo", shown)
        });
    }
    let words = aorus.cli(&["vote", "show", "where"]).ok().stdout;
    assert!(words.contains("Oslo has won") && words.contains("could not change any more"), "{words}");
}

#[test]
fn shares_times_and_voters_that_make_no_sense_are_refused() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    for (words, code) in [
        (&["--threshold", "4/3"][..], 2),
        (&["--quorum", "half"], 2),
        (&["--deadline", "soon"], 2),
        (&["--mechanism", "guess"], 2),
        (&["--deadline", "400d"], 1),
        (&["--electorate", "nobody-knows"], 1),
        (&["--acknowledge", "2h", "--deadline", "1h"], 1),
    ] {
        let answer = taichi.cli(&[&["vote", "new", "Ok?", "yes", "no"][..], words].concat());
        assert_eq!(answer.code, code, "{words:?}: {answer:?}");
    }
    assert_eq!(taichi.json(&["vote", "list", "--all"])["proposals"].as_array().map(Vec::len), Some(0));
}
