//! Networks of our own: discovery by mDNS alone, cut cables, strangers on the same network.

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_tests::lab::{self, Lab};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

pub(super) fn node(world: &World, lab: &Lab, index: usize, name: &str) -> Node {
    world.lone_node(name).in_namespace(lab.namespace(index))
}

fn sees_text(node: &Node, text: &str) {
    eventually(&format!("{} reads {text:?}", node.name()), || {
        let texts: Vec<String> = node.history().into_iter().map(|message| message.text).collect();
        holds(texts.iter().any(|here| here == text), texts)
    });
}

pub(super) fn agree(nodes: &[&Node]) {
    eventually("all hold the same ops and byte-equal pictures", || {
        let digests: Vec<_> = nodes
            .iter()
            .map(|node| {
                let status = node.json(&["status"]);
                let lobby = &status["conversations"][0];
                (lobby["ops_digest"].to_string(), lobby["picture_digest"].to_string())
            })
            .collect();
        holds(digests.iter().all(|digest| *digest == digests[0]), &digests)
    });
}

#[test]
fn two_machines_find_each_other_by_mdns_and_a_stranger_learns_nothing() {
    if !lab::is_available() {
        return;
    }
    let (world, lab) = (World::new(), Lab::new(&["taichi", "aorus", "stranger"]));
    let mut taichi = node(&world, &lab, 0, "taichi");
    let mut aorus = node(&world, &lab, 1, "aorus");
    let mut stranger = node(&world, &lab, 2, "stranger");
    stranger.up(&[]);
    stranger.send(&[], "a secret of the stranger");
    taichi.up(&[]);
    aorus.up(&["--join", &taichi.invite()]);
    for node in [&taichi, &aorus] {
        node.wait_for_peers(1);
        node.wait_for_agents(&["ada@taichi".to_owned(), "ada@aorus".to_owned()]);
    }

    // Both start anew with nothing but what mDNS says: the remembered addresses are of no use, the ports are others.
    for node in [&mut taichi, &mut aorus] {
        node.down();
        let database = rusqlite::Connection::open(node.home().join("fedp2p.db")).unwrap();
        database.execute_batch("DELETE FROM peers; DELETE FROM meta WHERE key = 'port'").unwrap();
    }
    taichi.up(&[]);
    aorus.up(&[]);
    for node in [&taichi, &aorus] {
        node.wait_for_peers(1);
        // Where both have dialled, one of two connections takes over from the other.
        let address =
            eventually("it is connected", || node.peers().remove(0).address.ok_or("it is between two".into()));
        assert!(address.contains("/ip4/10.77.0."), "{address}");
    }
    talk_both_ways(&taichi, &aorus);

    for (node, others) in [(&taichi, 1), (&aorus, 1), (&stranger, 0)] {
        let status = node.status();
        assert_eq!((status.members, status.reachable), (others, others), "{status:#?}");
        assert_eq!(node.peers().len(), others as usize);
    }
    let foreign = stranger.cli(&["pulse", "--json"]).ok().stdout + &stranger.cli(&["history"]).ok().stdout;
    assert!(!foreign.contains("taichi") && !foreign.contains("aorus"), "{foreign}");
    assert!(taichi.history().iter().all(|message| !message.text.contains("stranger")));
}

fn talk_both_ways(taichi: &Node, aorus: &Node) {
    for (from, to) in [(taichi, aorus), (aorus, taichi)] {
        let id = from.send(&[&format!("ada@{}", to.name())], &format!("from {}", from.name()));
        from.wait_for_delivery(&id, DeliveryState::Stored);
        assert_eq!(to.take_inbox(), [format!("from {}", from.name())]);
        from.cli(&["state", "--summary", &format!("work of {}", from.name())]).ok();
        eventually("the pulse is seen", || {
            let pulse = to.json(&["pulse"]).to_string();
            holds(pulse.contains(&format!("work of {}", from.name())), pulse)
        });
        let question = format!("q-{}", from.name());
        from.cli(&["vote", "new", "Ship?", "yes", "no", "--id", &question]).ok();
        eventually("the question is seen", || {
            let shown = to.cli(&["vote", "cast", &question, "yes"]);
            holds(shown.code == 0, shown)
        });
        eventually("the ballot is counted", || {
            let shown = from.json(&["vote", "show", &question]);
            holds(shown["winner"] == "yes" && shown["votes"]["yes"] == 1, shown)
        });
    }
}

#[test]
fn halves_of_a_cut_network_go_on_and_are_one_again_when_it_heals() {
    if !lab::is_available() {
        return;
    }
    let (world, lab) = (World::new(), Lab::new(&["taichi", "aorus", "baby"]));
    let mut nodes = [0, 1, 2].map(|index| node(&world, &lab, index, ["taichi", "aorus", "baby"][index]));
    nodes[0].up(&[]);
    for index in [1, 2] {
        let ticket = nodes[0].invite();
        nodes[index].up(&["--join", &ticket]);
    }
    let [taichi, aorus, baby] = &nodes;
    for node in &nodes {
        node.wait_for_peers(2);
    }
    taichi.cli(&["vote", "new", "Which?", "A", "B", "--id", "which"]).ok();
    agree(&[taichi, aorus, baby]);

    // One cable is pulled out of the switch, which nobody at the node is told.
    lab.cut(2);
    let queued = baby.send(&["ada@taichi"], "from the island");
    taichi.cli(&["send", "--all", "from the mainland"]).ok();
    sees_text(aorus, "from the mainland");
    baby.cli(&["state", "--summary", "alone"]).ok();
    aorus.cli(&["state", "--summary", "together"]).ok();
    baby.cli(&["vote", "cast", "which", "B"]).ok();
    taichi.cli(&["vote", "cast", "which", "A"]).ok();
    aorus.cli(&["vote", "cast", "which", "A"]).ok();
    assert_eq!(baby.deliveries(&queued), [("ada@taichi".to_owned(), DeliveryState::Queued)]);
    agree(&[taichi, aorus]);
    assert_ne!(taichi.status().conversations[0].ops_digest, baby.status().conversations[0].ops_digest);

    lab.mend(2);
    baby.wait_for_delivery(&queued, DeliveryState::Stored);
    agree(&[taichi, aorus, baby]);
    for node in &nodes {
        sees_text(node, "from the island");
        sees_text(node, "from the mainland");
        let shown = node.json(&["vote", "show", "which"]);
        assert_eq!((&shown["votes"]["A"], &shown["votes"]["B"]), (&2.into(), &1.into()));
    }

    // Now the interface itself goes, so that every address and route is gone too.
    lab.interface_down(2);
    let queued = baby.send(&["ada@aorus"], "again from the island");
    taichi.cli(&["send", "--all", "again from the mainland"]).ok();
    lab.interface_up(2);
    baby.wait_for_delivery(&queued, DeliveryState::Stored);
    agree(&[taichi, aorus, baby]);
}
