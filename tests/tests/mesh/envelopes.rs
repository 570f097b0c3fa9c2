//! What programs rely on: exit codes, the versioned envelope, hints.

use std::collections::BTreeSet;

use fedp2p_tests::world::World;
use serde_json::Value;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_reply_comes_in_a_versioned_envelope_under_the_name_of_its_operation() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let check = |arguments: &[&str], operation: &str, fields: &[&str]| {
        let output = taichi.cli(&[arguments, &["--json"]].concat()).ok();
        assert_eq!(output.stderr, "", "{arguments:?}");
        let envelope = output.envelope();
        assert_eq!(keys(&envelope), BTreeSet::from(["fedp2p", operation]), "{arguments:?}");
        for field in fields {
            assert!(envelope[operation].get(field).is_some(), "{arguments:?} has no {field}: {envelope}");
        }
        envelope[operation].clone()
    };
    let status = check(
        &["status"],
        "status",
        &["version", "node", "home", "pid", "listening", "members", "reachable", "conversations", "forks", "warnings"],
    );
    for field in ["ops", "ops_digest", "picture_digest", "pending"] {
        assert!(status["conversations"][0].get(field).is_some(), "{status}");
    }
    check(&["peers"], "peers", &["peers"]);
    check(&["agents"], "agents", &["agents"]);
    check(&["invite"], "invite", &["ticket", "id", "expires"]);
    let sent = check(&["send", "ada", "hello"], "send", &["id", "at", "deliveries"]);
    check(&["inbox"], "inbox", &["messages", "cursor", "more"]);
    check(&["ack", sent["id"].as_str().unwrap()], "ack", &["acknowledged"]);
    check(&["history"], "history", &["messages", "before"]);
    check(&["state", "--summary", "testing"], "state", &["pulse", "at"]);
    check(&["pulse"], "pulse", &["agents"]);
    check(&["vote", "new", "Ok?", "yes", "no", "--id", "ok"], "vote_new", &["winner", "votes", "ballots", "revision"]);
    check(&["vote", "cast", "ok", "yes"], "vote_cast", &["winner", "votes"]);
    check(&["vote", "show", "ok"], "vote_show", &["winner", "votes"]);
    check(&["vote", "list"], "vote_list", &["proposals"]);
    check(&["vote", "close", "ok"], "vote_close", &["winner", "votes"]);
    check(&["log", "verify"], "log_verify", &["ops", "logs", "broken", "took_ms"]);
    check(&["down"], "down", &["pid"]);
}

#[test]
fn refusals_have_a_code_a_hint_and_suggestions() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    taichi.cli(&["state", "--agent", "coder", "--status", "IDLE"]).ok();
    let (code, error) = taichi.refused(&["send", "codre", "hello"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("not_found")));
    assert_eq!(error["suggestions"][0], "coder@taichi");
    let words = taichi.cli(&["send", "codre", "hello"]);
    assert_eq!((words.code, words.stdout.as_str()), (1, ""));
    assert!(words.stderr.starts_with("error: "), "{words:#?}");
    assert!(words.stderr.contains("did you mean coder@taichi?"), "{words:#?}");
    assert!(words.hint().contains("agents"), "{words:#?}");
    assert!(!words.stderr.contains('\u{1b}'), "no colour without a terminal");
    for arguments in [
        &["send", "coder@nowhere", "hello"][..],
        &["send", "co der", "hello"],
        &["send", "coder@taichi.elsewhere", "hello"],
        &["ack", "zzzzzzzz"],
        &["ack", "a b"],
        &["history", "aaaaaaaa"],
        &["history", "--from", "nobody"],
        &["history", "--conversation", "attic"],
        &["vote", "show", "nothing"],
        &["vote", "cast", "nothing", "yes"],
        &["vote", "new", "Same?", "yes", "yes"],
        &["send", "coder", "hello", "--reply-to", "aaaaaaaa"],
    ] {
        assert_eq!(taichi.refused(arguments).0, 1, "{arguments:?}");
        assert!(!taichi.cli(arguments).hint().is_empty(), "{arguments:?}");
    }
    assert!(taichi.history().is_empty(), "nothing of this was done");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let world = World::new();
    let taichi = world.node("taichi");
    for arguments in [
        &["statsu"][..],
        &["send"],
        &["send", "hello"],
        &["send", "ada", "x", "--data", "{broken"],
        &["send", "ada", "x", "--type", "poem"],
        &["--agent", "Not.A.Name", "status"],
        &["vote", "new", "one option only", "yes"],
        &["history", "--limit", "0"],
        &["history", "--since", "the other day"],
        &["state"],
    ] {
        let (code, error) = taichi.refused(arguments);
        assert_eq!((code, error["code"].as_str()), (2, Some("usage")), "{arguments:?}");
        let words = taichi.cli(arguments);
        assert!(words.code == 2 && words.stdout.is_empty() && words.stderr.contains("hint: "), "{words:#?}");
    }
    assert!(taichi.refused(&["statsu"]).1["suggestions"].to_string().contains("status"));
    assert!(!taichi.home().exists(), "asking makes nothing");
}

#[test]
fn without_a_daemon_every_command_exits_with_3_and_says_how_to_start_one() {
    let world = World::new();
    let taichi = world.node("taichi");
    for arguments in [
        &["status"][..],
        &["peers"],
        &["agents"],
        &["invite"],
        &["send", "ada", "x"],
        &["inbox"],
        &["inbox", "--watch"],
        &["ack", "aaaaaaaa"],
        &["history"],
        &["state", "--summary", "x"],
        &["pulse"],
        &["vote", "list"],
        &["down"],
    ] {
        let (code, error) = taichi.refused(arguments);
        assert_eq!((code, error["code"].as_str()), (3, Some("no_daemon")), "{arguments:?}");
        let words = taichi.cli(arguments);
        assert!(words.hint().contains(" up\""), "{words:#?}");
    }
    assert!(!taichi.home().exists(), "asking makes nothing");
}

#[test]
fn addresses_that_are_none_are_refused_before_anything_is_made() {
    let world = World::new();
    for words in
        [["--listen", "nonsense"], ["--listen", "/ip4/1.2.3"], ["--peer", "nonsense"], ["--peer", "127.0.0.1:99999"]]
    {
        let mut taichi = world.node("taichi").listening(&["--no-mdns"]);
        let output = taichi.try_up(&words).unwrap_err();
        assert!(output.code == 1 || output.code == 2, "{output:#?}");
        assert!(output.stdout.contains("\"hint\""), "{output:#?}");
    }
    let mut taichi = world.node("taichi").listening(&["--no-mdns", "--listen", "192.0.2.1:4801"]);
    let output = taichi.try_up(&[]).unwrap_err();
    assert_eq!(output.code, 1, "an address of another machine: {output:#?}");
}

#[test]
fn completions_are_printed_for_every_shell_and_help_and_version_go_to_stdout() {
    let world = World::new();
    let taichi = world.node("taichi");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = taichi.cli(&["completions", shell]).ok().stdout;
        assert!(script.contains("fedp2p") && script.contains("history"), "{shell}");
    }
    assert!(taichi.cli(&["--version"]).ok().stdout.starts_with("fedp2p "));
    for arguments in [&["help"][..], &["--help"], &["send", "--help"], &["vote", "cast", "--help"]] {
        let help = taichi.cli(arguments).ok();
        assert!(help.stdout.contains("Usage:") && help.stderr.is_empty(), "{help:#?}");
    }
}
