//! Tools that hand on little of their environment to the servers and hooks that they start.

use std::path::Path;

use fedp2p_tests::binary;
use fedp2p_tests::node::{Node, Output};
use fedp2p_tests::world::World;

/// Runs a shell line with what every tool hands on, and nothing else.
fn run(node: &Node, world: &World, more: &[&str], line: &str) -> Output {
    let home = format!("HOME={}", world.path("").display());
    let environment = ["-i", &home, "LOGNAME=ada", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "TERM=dumb", "USER=ada"];
    node.beside("env", &world.path("run"), &[&environment[..], more, &["sh", "-c", line]].concat(), &[])
}

fn program(home: &Path) -> String {
    format!("'{}' --home '{}'", binary::fedp2p().display(), home.display())
}

#[test]
fn a_server_without_the_environment_of_the_daemon_reaches_it() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let program = program(taichi.home());
    run(&taichi, &world, &[], &format!("{program} status")).ok();
    let requests = [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"federation_pulse","arguments":{}}}"#,
    ];
    let line = format!("printf '%s\\n' '{}' | {program} mcp --client codex", requests.join("' '"));
    let answered = run(&taichi, &world, &[], &line).ok();
    let last = answered.stdout.lines().last().unwrap();
    assert!(last.contains("\"id\":2") && last.contains("structuredContent"), "{answered:#?}");
    assert!(!last.contains("\"isError\":true") && !last.contains("another daemon"), "{last}");
    // A second daemon is not started from there.
    let second = run(&taichi, &world, &[], &format!("{program} up --detach"));
    assert!(second.code == 0 && second.stderr.contains("already running"), "{second:#?}");
    taichi.down();
    assert_eq!(run(&taichi, &world, &[], &format!("{program} status")).code, 3);
}

#[test]
fn a_home_that_only_the_environment_names_is_named_in_what_is_written() {
    let world = World::new();
    let node = world.node("taichi");
    let shown = |more: &[&str]| {
        run(&node, &world, more, &format!("'{}' setup codex --dry-run", binary::fedp2p().display())).ok().stdout
    };
    assert!(!shown(&[]).contains("--home"));
    for (variable, home) in [("XDG_DATA_HOME", "data/fedp2p"), ("FEDP2P_HOME", "data")] {
        let text = shown(&[&format!("{variable}={}", world.path("data").display())]);
        let home = world.path(home).display().to_string();
        assert!(text.contains(&format!("\"--home\", \"{home}\"")), "{text}");
        assert!(text.contains(&format!("--home {home} hook codex Stop")), "{text}");
    }
}
