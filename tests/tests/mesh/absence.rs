//! A cut that lasts until each side takes the other for gone. It takes longer than any other test, so it is in the module
//! that is run first.

use fedp2p_protocols::api::Presence;
use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_tests::lab::{self, Lab};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

use super::partitions::{agree, node};

#[test]
fn a_long_cut_is_noticed_on_both_sides_and_healed_soon_after_it_ends() {
    if !lab::is_available() {
        return;
    }
    let (world, lab) = (World::new(), Lab::new(&["taichi", "aorus"]));
    let mut taichi = node(&world, &lab, 0, "taichi");
    let mut aorus = node(&world, &lab, 1, "aorus");
    taichi.up(&[]);
    aorus.up(&["--join", &taichi.invite()]);
    let both = ["ada@taichi".to_owned(), "ada@aorus".to_owned()];
    for node in [&taichi, &aorus] {
        node.wait_for_peers(1);
        node.wait_for_agents(&both);
    }
    lab.cut(0);
    let ids = [taichi.send(&["ada@aorus"], "to the other side"), aorus.send(&["ada@taichi"], "to the other side")];
    for node in [&taichi, &aorus] {
        eventually(&format!("{} takes the other for gone", node.name()), || {
            let presence = node.peers().remove(0).presence;
            holds(presence == Presence::Gone, presence)
        });
        assert!(node.cli(&["agents"]).ok().stdout.contains("gone"));
    }
    lab.mend(0);
    taichi.wait_for_delivery(&ids[0], DeliveryState::Stored);
    aorus.wait_for_delivery(&ids[1], DeliveryState::Stored);
    for node in [&taichi, &aorus] {
        let presence = node.peers().remove(0).presence;
        assert_eq!(presence, Presence::Reachable);
    }
    agree(&[&taichi, &aorus]);
}
