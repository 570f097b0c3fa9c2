//! A note that two nodes write together through the command line, also while they are apart.

use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

#[test]
fn two_nodes_write_one_note_together_and_apart() {
    let world = World::new();
    let [mut taichi, mut aorus] = world.mesh(["taichi", "aorus"]);
    taichi.cli(&["note", "append", "plan", "owner: nobody\nstate: open", "--agent", "coder"]).ok();
    let see = |node: &fedp2p_tests::node::Node, wanted: &[&str]| {
        eventually("the note reads as it should", || {
            let shown = node.cli(&["note", "show", "plan", "--json"]);
            holds(shown.code == 0 && wanted.iter().all(|part| shown.stdout.contains(part)), shown)
        });
    };
    see(&aorus, &["owner: nobody\\nstate: open\\n"]);
    aorus.down();
    taichi.cli(&["note", "edit", "plan", "--replace", "nobody", "--with", "coder", "--agent", "coder"]).ok();
    taichi.down();
    aorus.up(&[]);
    aorus.cli(&["note", "edit", "plan", "--replace", "open", "--with", "closed", "--agent", "tester"]).ok();
    taichi.up(&[]);
    for node in [&taichi, &aorus] {
        see(node, &["owner: coder\\nstate: closed\\n"]);
    }
    assert_eq!(taichi.json(&["note", "show", "plan"])["digest"], aorus.json(&["note", "show", "plan"])["digest"]);
    let history = aorus.json(&["note", "history", "plan"]);
    let by: Vec<&str> = history["edits"].as_array().unwrap().iter().map(|edit| edit["by"].as_str().unwrap()).collect();
    assert!(by.len() == 3 && by[0] == "coder@taichi" && by.contains(&"tester@aorus"), "{history}");
    let first = history["edits"][0]["version"].as_str().unwrap().to_owned();
    aorus.cli(&["note", "restore", "plan", &first[..12]]).ok();
    see(&taichi, &["owner: nobody\\nstate: open\\n"]);
    assert_eq!(
        taichi.refused(&["note", "edit", "plan", "--replace", "elsewhere", "--with", "x"]).1["code"],
        "not_found"
    );
    let hint = taichi.refused(&["note", "show", "plam"]).1;
    assert_eq!(hint["suggestions"][0], "plan", "{hint}");
    assert!(taichi.cli(&["note", "list"]).ok().stdout.contains("plan"));
}
