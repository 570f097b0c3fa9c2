//! Something at the socket that is not the daemon of this user and version.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;

use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use serde_json::json;

/// Answers each connection with these bytes, for as long as the test process lives.
fn impostor(node: &Node, bytes: Vec<u8>) {
    let folders = node.folders();
    folders.open_runtime_dir().unwrap();
    let listener = UnixListener::bind(folders.socket()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.write_all(&bytes));
            drop(stream.read(&mut [0; 4096]));
        }
    });
}

fn frame(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

#[test]
fn a_daemon_of_another_version_is_named_with_what_to_do() {
    let world = World::new();
    for (api, age) in [(0, "older"), (99, "newer")] {
        let node = world.node(age);
        impostor(&node, frame(&json!({ "fedp2p": "9.8.7", "api": api }).to_string()));
        let (code, error) = node.refused(&["status"]);
        assert_eq!((code, error["code"].as_str()), (1, Some("version")));
        assert!(error["message"].as_str().unwrap().contains("9.8.7"), "{error}");
        assert!(
            error["hint"].as_str().unwrap().contains(age) && error["hint"].as_str().unwrap().contains("down"),
            "{error}"
        );
        assert_eq!(node.cli(&["up", "--detach"]).code, 1);
    }
}

#[test]
fn nonsense_at_the_socket_is_no_daemon_of_ours() {
    let world = World::new();
    let answers = [frame("{}"), frame("nonsense"), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![0xff; 64]];
    for (number, answer) in answers.into_iter().enumerate() {
        let node = world.node(&format!("n{number}"));
        impostor(&node, answer);
        let (code, error) = node.refused(&["status"]);
        assert_eq!((code, error["code"].as_str()), (1, Some("protocol")), "{error}");
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_no_daemon_and_does_not_keep_one_from_starting() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.folders().open_runtime_dir().unwrap();
    drop(UnixListener::bind(node.folders().socket()).unwrap());
    assert_eq!(node.cli(&["status"]).code, 3);
    node.up(&[]);
    assert_eq!(node.cli(&["status"]).code, 0);
}

#[test]
fn a_runtime_folder_that_others_can_enter_is_refused() {
    let world = World::new();
    let mut node = world.node("taichi");
    let folder = node.folders().runtime_dir().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, error) = node.refused(&["status"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("home")));
    assert!(error["hint"].as_str().unwrap().contains("chmod 700"), "{error}");
    assert_eq!(node.try_up(&[]).unwrap_err().code, 1);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    node.up(&[]);
}

#[test]
fn another_users_runtime_folder_and_home_are_not_ours() {
    if !fedp2p_tests::lab::is_available() {
        return;
    }
    let world = World::new();
    let mut node = world.lone_node("taichi");
    node.folders().open_runtime_dir().unwrap();
    chown(node.folders().runtime_dir(), Some(65_534), None).unwrap();
    let (code, error) = node.refused(&["status"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("other_user")));
    assert!(error["message"].as_str().unwrap().contains("65534"), "{error}");
    assert_eq!(node.try_up(&[]).unwrap_err().code, 1);

    let home = world.lone_node("aorus");
    fs::create_dir(home.home()).unwrap();
    chown(home.home(), Some(65_534), None).unwrap();
    let (code, error) = home.refused(&["status"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("other_user")));
}

#[test]
fn the_socket_and_everything_secret_is_for_its_user_only() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let folders = taichi.folders();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(folders.runtime_dir()), mode(&folders.socket())), (0o700, 0o600));
    assert_eq!(mode(taichi.home()), 0o700);
    for path in [folders.node_key(), folders.organisation_key(), folders.database()] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
