//! Home folders that are read-only, full, half-written, from a newer version, somebody else's, or in use.

use std::fs;

use fedp2p_node::client::CallError;
use fedp2p_protocols::api::ErrorCode;
use fedp2p_protocols::id::OpId;
use fedp2p_tests::lab::{self, Disk};
use fedp2p_tests::node::{Output, message};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

/// The code of the error that a daemon printed as its last words.
#[track_caller]
fn last_words(output: &Output) -> (i32, String, String) {
    let envelope: serde_json::Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
    let error = &envelope["error"];
    let text = |field: &str| error[field].as_str().unwrap_or_else(|| panic!("{output:#?}")).to_owned();
    assert!(!text("hint").is_empty());
    (output.code, text("code"), text("message") + "; " + &text("hint"))
}

#[test]
fn a_home_in_use_is_refused_and_its_process_named() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let pid = taichi.status().pid;
    let second = taichi.cli(&["up", "--listen", "127.0.0.1:0", "--no-mdns"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&format!("process {pid}")), "{second:#?}");
    assert!(second.hint().contains("down"), "{second:#?}");
    // Without the socket the lock still holds.
    fs::remove_file(taichi.folders().socket()).unwrap();
    let third = taichi.cli(&["up", "--listen", "127.0.0.1:0", "--no-mdns"]);
    assert_eq!(third.code, 1);
    assert!(third.hint().contains(&pid.to_string()), "{third:#?}");
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let world = World::new();
    let taichi = world.node("taichi");
    for transport in ["tcp", "udp"] {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = std::net::UdpSocket::bind(address).unwrap();
        match transport {
            "tcp" => drop(udp),
            _ => drop(tcp),
        }
        let refused = taichi.cli(&["up", "--listen", &address.to_string(), "--no-mdns"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(&format!("/{transport}/{}", address.port())), "{refused:#?}");
        assert!(refused.stderr.contains("in use"), "{refused:#?}");
        assert!(refused.hint().contains("--listen IP:PORT"), "{refused:#?}");
    }
}

#[test]
fn a_damaged_key_a_lost_key_and_an_open_key_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let id = taichi.status().node.id;
    taichi.down();
    let path = taichi.folders().node_key();
    let key = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    fs::write(&path, &key[..20]).unwrap();
    let (code, kind, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!((code, kind.as_str()), (1, "storage"));
    assert!(words.contains("does not hold a key"), "{words}");

    fs::remove_file(&path).unwrap();
    let (code, kind, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!((code, kind.as_str()), (1, "not_found"));
    assert!(words.contains("put it back"), "{words}");
    assert!(!path.exists(), "no new key was made for an old database");

    fs::write(&path, &key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!(code, 1);
    assert!(words.contains("644"), "{words}");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    taichi.up(&[]);
    assert_eq!(taichi.status().node.id, id);
}

#[test]
fn an_interrupted_first_start_is_finished_by_the_next() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    let other = {
        let [mut other] = world.mesh(["other"]);
        other.down();
        other
    };
    // The keys were written, the database was not.
    fs::create_dir(taichi.home()).unwrap();
    for name in ["node.key", "organisation.key"] {
        fs::copy(other.home().join(name), taichi.home().join(name)).unwrap();
    }
    fs::write(taichi.home().join("node.new"), "half a k").unwrap();
    fs::write(taichi.home().join("fedp2p.db"), "").unwrap();
    taichi.up(&[]);
    assert_eq!(taichi.status().node.name.as_str(), "taichi");
}

#[test]
fn a_database_of_a_newer_version_and_a_foreign_file_are_not_touched() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    taichi.down();
    let path = taichi.folders().database();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    let (code, kind, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!((code, kind.as_str()), (1, "storage"));
    assert!(words.contains("newer") && words.contains("update fedp2p"), "{words}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let foreign = b"dear diary, ".repeat(1000);
    fs::write(&path, &foreign).unwrap();
    let (code, _, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!(code, 1);
    assert!(words.contains("not a database of fedp2p"), "{words}");
    assert_eq!(fs::read(&path).unwrap(), foreign);

    fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE diary (day); PRAGMA user_version = 1")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let (_, _, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert!(words.contains("not a database of fedp2p"), "{words}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_where_the_home_should_be_is_refused() {
    let world = World::new();
    fs::write(world.path("taichi"), "a file").unwrap();
    let mut taichi = world.node("taichi");
    let (code, _, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!(code, 1, "{words}");
    assert_eq!(taichi.cli(&["up", "--detach"]).code, 1);
    assert_eq!(fs::read(world.path("taichi")).unwrap(), b"a file");
}

#[test]
fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    if !lab::is_available() {
        return;
    }
    let world = World::new();
    let disk = Disk::new(&world.path("taichi"), 8 * 1024);
    let [mut taichi] = world.mesh(["taichi"]);
    let text = "x".repeat(20_000);
    let mut session = taichi.session();
    let mut sent: Vec<OpId> = Vec::new();
    sent.push(session.call(message(&[], &text)).unwrap().id);
    let filler = disk.fill();
    let refusal = loop {
        assert!(sent.len() < 400, "a full disk takes anything");
        match session.call(message(&[], &text)) {
            Ok(reply) => sent.push(reply.id),
            Err(CallError::Refused(refusal)) => break refusal,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refusal.code, ErrorCode::Storage);
    assert!(refusal.hint.as_deref().unwrap().contains("space"), "{refusal:?}");
    let output = taichi.cli(&["send", "--all", &text]);
    assert_eq!((output.code, output.hint().contains("space")), (1, true), "{output:#?}");
    assert_eq!(taichi.cli(&["state", "--summary", &"y".repeat(1_000), "--thinking", &"y".repeat(1_000)]).code, 1);
    assert_eq!(taichi.cli(&["history", "--limit", "1"]).code, 0, "reading goes on");
    assert!(taichi.is_running());

    fs::remove_file(filler).unwrap();
    sent.push(session.call(message(&[], "room again")).unwrap().id);
    taichi.cli(&["state", "--summary", "room again"]).ok();
    let ids =
        |node: &fedp2p_tests::node::Node| -> Vec<OpId> { node.history().iter().map(|message| message.id).collect() };
    assert_eq!(ids(&taichi), sent);
    taichi.down();
    taichi.up(&[]);
    assert_eq!(ids(&taichi), sent);
    assert!(taichi.json(&["pulse"]).to_string().contains("room again"));
    assert!(taichi.cli(&["log", "verify"]).ok().stdout.contains("all as signed"));
    taichi.kill();
    drop(disk);
}

#[test]
fn a_read_only_home_is_refused_at_the_start_and_while_running() {
    if !lab::is_available() {
        return;
    }
    let world = World::new();
    let disk = Disk::new(&world.path("taichi"), 8 * 1024);
    let mut taichi = world.node("taichi");
    disk.read_only();
    let (code, kind, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!((code, kind.as_str()), (1, "storage"), "{words}");
    let detached = taichi.cli(&["up", "--detach"]);
    assert_eq!(detached.code, 1, "{detached:#?}");
    assert!(!detached.hint().is_empty(), "{detached:#?}");
    disk.writable();
    taichi.up(&[]);
    taichi.send(&[], "before");
    taichi.down();
    disk.read_only();
    let (code, _, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!(code, 1, "{words}");
    disk.writable();
    taichi.up(&[]);
    assert_eq!(taichi.history().len(), 1);
    taichi.kill();
    drop(disk);
}

#[test]
fn a_disk_that_is_full_from_the_start_leaves_nothing_half_made() {
    if !lab::is_available() {
        return;
    }
    let world = World::new();
    let disk = Disk::new(&world.path("taichi"), 4 * 1024);
    let filler = disk.fill();
    let mut taichi = world.node("taichi");
    let (code, kind, words) = last_words(&taichi.try_up(&[]).unwrap_err());
    assert_eq!((code, kind.as_str()), (1, "storage"), "{words}");
    let detached = taichi.cli(&["up", "--detach"]);
    assert_eq!((detached.code, detached.hint().is_empty()), (1, false), "{detached:#?}");
    fs::remove_file(filler).unwrap();
    taichi.up(&[]);
    taichi.send(&[], "room");
    taichi.kill();
    drop(disk);
}

#[test]
fn a_quiet_node_makes_its_log_file_ready_for_the_next_entry() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let database = rusqlite::Connection::open(taichi.folders().database()).unwrap();
    let tidied = || -> u64 {
        let rows =
            database.query_row("SELECT coalesce(max(value), 0) FROM meta WHERE key = 'tidied'", (), |row| row.get(0));
        rows.unwrap()
    };
    let before = tidied();
    taichi.send(&[], "hello");
    eventually("the log file is started over", || holds(tidied() > before, before));
}
