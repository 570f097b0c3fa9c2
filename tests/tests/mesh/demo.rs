//! The first thing that anybody runs.

use fedp2p_tests::world::World;

#[test]
fn the_demo_ends_with_nothing_lost() {
    let world = World::new();
    let shown = world.lone_node("somebody").cli(&["demo"]).ok();
    assert!(shown.stdout.contains("All went as it should"), "{}", shown.stdout);
}
