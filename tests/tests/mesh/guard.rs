//! Claims through the command line of two nodes, and the guard in a real git repository.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fedp2p_tests::node::{Node, Output};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

/// A repository with one commit, in which an agent works beside a node.
struct Checkout<'a> {
    node: &'a Node,
    folder: PathBuf,
}

impl<'a> Checkout<'a> {
    fn new(node: &'a Node, folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("src")).unwrap();
        let checkout = Self { node, folder };
        checkout.git(&["init", "-q", "-b", "main"]).ok();
        checkout.git(&["remote", "add", "origin", "https://example.org/team/parser.git"]).ok();
        checkout.write("README.md", "read me\n");
        checkout.git(&["add", "."]).ok();
        checkout.git(&["commit", "-q", "-m", "first"]).ok();
        checkout
    }

    fn git_as(&self, agent: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let identity = [
            ("GIT_AUTHOR_NAME", "x"),
            ("GIT_AUTHOR_EMAIL", "x@example.org"),
            ("GIT_COMMITTER_NAME", "x"),
            ("GIT_COMMITTER_EMAIL", "x@example.org"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("FEDP2P_AGENT", agent),
        ];
        self.node.beside("git", &self.folder, arguments, &[&identity[..], variables].concat())
    }

    fn git(&self, arguments: &[&str]) -> Output {
        self.git_as("tester", arguments, &[])
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.join(path), text).unwrap();
    }

    /// Changes a file and commits it as the tester.
    fn commit(&self, path: &str, text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Output {
        self.write(path, text);
        self.git(&["add", path]).ok();
        self.git_as("tester", &[&["commit", "-q", "-m", text], flags].concat(), variables)
    }

    fn guard(&self, arguments: &[&str]) -> Output {
        let folder = self.folder.to_str().unwrap();
        self.node.cli(&[&["guard"], arguments, &["--repo", folder]].concat())
    }

    fn commits(&self) -> usize {
        self.git(&["log", "--oneline"]).ok().stdout.lines().count()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_guard_stops_a_commit_of_what_another_holds_and_lets_it_pass_after_the_release() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    checkout.guard(&["install"]).ok();

    let claim = ["claim", "take", "src", "--repository", "parser", "--why", "new grammar", "--agent", "coder"];
    let taken = aorus.json(&claim);
    assert_eq!((taken["state"].as_str(), taken["majority"].as_bool()), (Some("confirmed"), Some(true)), "{taken}");
    eventually("taichi knows the claim", || {
        let listed = taichi.cli(&["claim", "list"]).ok().stdout;
        holds(listed.contains("coder@aorus") && listed.contains("parser:src"), listed)
    });

    let stopped = checkout.commit("src/a.rs", "one", &[], &[]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    for words in ["src/a.rs", "coder@aorus", "for another 14m", "new grammar", "held by others"] {
        assert!(stopped.stderr.contains(words), "{words}: {}", stopped.stderr);
    }
    assert_eq!(checkout.commits(), 1);
    checkout.git(&["reset", "-q"]).ok();
    checkout.commit("README.md", "elsewhere", &[], &[]).ok();

    // It passes if it is told to, and the holder hears of it.
    checkout.commit("src/a.rs", "two", &[("FEDP2P_GUARD", "off")], &[]).ok();
    checkout.commit("src/a.rs", "three", &[], &["--no-verify"]).ok();
    eventually("the holder is told twice", || {
        let inbox = aorus.cli(&["inbox", "--peek", "--agent", "coder"]).ok().stdout;
        holds(inbox.matches("went past the guard").count() == 2 && inbox.contains("tester@taichi"), inbox)
    });

    aorus.cli(&["claim", "release", "--all", "--agent", "coder"]).ok();
    eventually("taichi knows the release", || {
        let listed = taichi.json(&["claim", "list"]);
        holds(listed["claims"].as_array().is_some_and(Vec::is_empty), listed)
    });
    checkout.commit("src/a.rs", "four", &[], &[]).ok();
    assert_eq!(checkout.commits(), 5);
}

#[test]
fn the_guard_stops_patches_from_a_mailbox_and_a_name_that_is_none_does_not_blind_it() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    checkout.guard(&["install"]).ok();
    checkout.commit("src/a.rs", "from elsewhere", &[], &[]).ok();
    let patch = checkout.git(&["format-patch", "-1", "--stdout"]).ok().stdout;
    checkout.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    fs::write(world.path("a.patch"), patch).unwrap();
    let path = world.path("a.patch");
    taichi.cli(&["claim", "take", "src", "--repository", "parser", "--agent", "coder"]).ok();

    let stopped = checkout.git(&["am", "-q", path.to_str().unwrap()]);
    assert!(stopped.code != 0 && stopped.stderr.contains("coder@taichi"), "{stopped:?}");
    checkout.git(&["am", "--abort"]).ok();
    assert_eq!(checkout.commits(), 1);
    fs::create_dir_all(checkout.folder.join("src")).unwrap();
    checkout.write("src/a.rs", "by nobody");
    checkout.git(&["add", "src/a.rs"]).ok();
    let stopped = checkout.git_as("!!bad", &["commit", "-q", "-m", "by nobody"], &[]);
    assert!(stopped.code == 1 && stopped.stderr.contains("coder@taichi"), "{stopped:?}");
    checkout.git(&["reset", "-q", "--hard"]).ok();

    checkout.git_as("tester", &["am", "-q", path.to_str().unwrap()], &[("FEDP2P_GUARD", "off")]).ok();
    assert_eq!(checkout.commits(), 2);
    eventually("the holder is told", || {
        let inbox = taichi.cli(&["inbox", "--peek", "--agent", "coder"]).ok().stdout;
        holds(inbox.matches("went past the guard").count() == 1, inbox)
    });
}

#[test]
fn the_guard_stops_merges_that_combine_and_amended_commits_of_what_another_holds() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    let lines = |first: &str, last: &str| format!("{first}\n{}{last}\n", "same\n".repeat(20));
    checkout.commit("src/a.rs", &lines("one", "two"), &[], &[]).ok();
    checkout.git(&["checkout", "-q", "-b", "side"]).ok();
    checkout.commit("src/a.rs", &lines("one", "changed here"), &[], &[]).ok();
    checkout.commit("src/side.rs", "side", &[], &[]).ok();
    checkout.git(&["checkout", "-q", "main"]).ok();
    checkout.guard(&["install"]).ok();
    aorus.json(&["claim", "take", "src", "--repository", "parser", "--agent", "coder"]);
    let known = |held: bool| {
        eventually("taichi knows what is held", || {
            let listed = taichi.cli(&["claim", "list"]).ok().stdout;
            holds(listed.contains("coder@aorus") == held, listed)
        });
    };
    known(true);
    // Files that a merge takes as they stand on one side are nobody's edit.
    checkout.commit("README.md", "elsewhere", &[], &[]).ok();
    let merge =
        |flags: &[&str]| checkout.git_as("tester", &[&["merge", "-q", "--no-edit", "side"], flags].concat(), &[]);
    merge(&["--no-commit"]).ok();
    checkout.git(&["commit", "-q", "--no-edit"]).ok();
    checkout.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    // One that both sides changed is.
    aorus.cli(&["claim", "release", "--all", "--agent", "coder"]).ok();
    known(false);
    checkout.commit("src/a.rs", &lines("changed there", "two"), &[], &[]).ok();
    aorus.json(&["claim", "take", "src/a.rs", "--repository", "parser", "--agent", "coder"]);
    known(true);
    let stopped = merge(&[]);
    assert_ne!(stopped.code, 0, "{stopped:?}");
    assert!(stopped.stderr.contains("src/a.rs") && stopped.stderr.contains("coder@aorus"), "{stopped:?}");
    assert!(!stopped.stderr.contains("src/side.rs"), "{stopped:?}");
    let by_hand = checkout.git(&["commit", "-q", "--no-edit"]);
    assert_eq!(by_hand.code, 1, "{by_hand:?}");
    checkout.git(&["merge", "--abort"]).ok();

    // The last commit changed what is held by now.
    for flags in [&["--amend", "--no-edit"][..], &["--amend", "-m", "again"]] {
        let stopped = checkout.git(&[&["commit", "-q"], flags].concat());
        assert_eq!(stopped.code, 1, "{stopped:?}");
        assert!(stopped.stderr.contains("src/a.rs"), "{stopped:?}");
    }
    // What went past the guard is told once for each commit.
    merge(&["--no-verify"]).ok();
    checkout.git(&["commit", "-q", "--amend", "--no-edit", "--no-verify"]).ok();
    eventually("the holder is told twice", || {
        let inbox = aorus.cli(&["inbox", "--peek", "--agent", "coder"]).ok().stdout;
        holds(inbox.matches("went past the guard").count() == 2, inbox)
    });
    aorus.cli(&["claim", "release", "--all", "--agent", "coder"]).ok();
    known(false);
    checkout.git(&["commit", "-q", "--amend", "-m", "again"]).ok();
}

#[test]
fn hooks_that_were_there_are_run_first_and_come_back_byte_for_byte() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    let hook = checkout.folder.join(".git/hooks/pre-commit");
    let before = b"#!/bin/sh\nprintf ran >> hook-ran\n[ ! -e forbid ] # \xff".to_vec();
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, &before).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o750)).unwrap();

    checkout.guard(&["install"]).ok();
    let again = checkout.guard(&["install"]).ok();
    assert!(again.stdout.contains("set already"), "{again:?}");
    checkout.commit("a", "one", &[], &[]).ok();
    assert_eq!(fs::read_to_string(checkout.folder.join("hook-ran")).unwrap(), "ran");
    checkout.write("forbid", "");
    assert_eq!(checkout.commit("a", "two", &[], &[]).code, 1);

    // Without a daemon nothing can be asked, and nobody is stopped.
    fs::remove_file(checkout.folder.join("forbid")).unwrap();
    taichi.cli(&["down"]).ok();
    let passed = checkout.commit("a", "three", &[], &[]).ok();
    assert!(passed.stderr.contains("nothing was checked"), "{passed:?}");

    checkout.guard(&["remove"]).ok();
    assert_eq!((fs::read(&hook).unwrap(), mode(&hook)), (before, 0o750));
    let left: Vec<_> = fs::read_dir(hook.parent().unwrap()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("fedp2p") || name == "post-commit" || name == "post-merge"),
        "{left:?}"
    );
    let nothing = checkout.guard(&["remove"]).ok();
    assert!(nothing.stdout.contains("not there"), "{nothing:?}");
}

#[test]
fn a_second_claim_on_the_same_files_is_refused_with_who_holds_them() {
    let world = World::new();
    let [taichi, aorus] = world.mesh(["taichi", "aorus"]);
    taichi.cli(&["claim", "take", "crdt/src", "--repository", "parser", "--agent", "coder"]).ok();
    eventually("aorus knows the claim", || {
        let listed = aorus.cli(&["claim", "list"]).ok().stdout;
        holds(listed.contains("coder@taichi"), listed)
    });
    let (code, error) = aorus.refused(&["claim", "take", "**/*.rs", "--repository", "parser", "--agent", "tester"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("conflict")));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("coder@taichi holds \"parser:crdt/src\" since"), "{message}");
    for (words, code) in [
        (&["claim", "take", "**", "--repository", "parser"][..], 1),
        (&["claim", "take", "/etc", "--repository", "parser"], 1),
        (&["claim", "take"], 2),
        (&["claim", "take", "x", "--repository", "parser", "--ttl", "1s"], 1),
        (&["claim", "release", "99"], 1),
        (&["claim", "release", "1", "--agent", "tester"], 1),
    ] {
        assert_eq!(aorus.cli(words).code, code, "{words:?}");
    }
}

#[test]
fn a_message_that_speaks_of_amending_amends_nothing_and_a_holder_hears_how_to_commit_as_itself() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    checkout.commit("src/a.rs", "one", &[], &[]).ok();
    checkout.guard(&["install"]).ok();
    taichi.json(&["claim", "take", "src", "--repository", "parser", "--agent", "coder"]);
    checkout.commit("README.md", "explain the --amend flag", &[], &[]).ok();
    checkout.git(&["commit", "-q", "--amend", "-m", "once more"]).ok();

    checkout.write("src/a.rs", "two");
    checkout.git(&["add", "."]).ok();
    let commit = |agent: &str| checkout.git_as(agent, &["commit", "-q", "-m", "mine"], &[]);
    let other = commit("tester");
    assert!(other.code == 1 && !other.stderr.contains("commit as it"), "{other:?}");
    let person = checkout.node.beside(
        "env",
        &checkout.folder,
        &[
            "-u",
            "FEDP2P_AGENT",
            "GIT_AUTHOR_NAME=x",
            "GIT_AUTHOR_EMAIL=x@example.org",
            "GIT_COMMITTER_NAME=x",
            "GIT_COMMITTER_EMAIL=x@example.org",
            "git",
            "commit",
            "-q",
            "-m",
            "mine",
        ],
        &[],
    );
    assert_eq!(person.code, 1, "{person:?}");
    assert!(person.stderr.contains("if you are coder, commit as it: FEDP2P_AGENT=coder git commit ..."), "{person:?}");
    commit("coder").ok();
}

#[test]
fn what_goes_past_the_guard_while_a_rebase_waits_is_told_and_what_it_only_picks_is_not() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let checkout = Checkout::new(&taichi, world.path("work"));
    checkout.commit("src/a.rs", "one", &[], &[]).ok();
    checkout.commit("src/b.rs", "two", &[], &[]).ok();
    checkout.guard(&["install"]).ok();
    taichi.json(&["claim", "take", "src", "--repository", "parser", "--agent", "coder"]);

    let stop = [("GIT_SEQUENCE_EDITOR", "sed -i.bak 1s/pick/edit/")];
    checkout.git_as("tester", &["rebase", "-q", "-i", "HEAD~2"], &stop).ok();
    checkout.write("src/a.rs", "changed");
    checkout.git(&["add", "src/a.rs"]).ok();
    let amend = ["commit", "-q", "--amend", "--no-edit"];
    let stopped = checkout.git(&amend);
    assert!(stopped.code == 1 && stopped.stderr.contains("src/a.rs"), "{stopped:?}");
    checkout.git_as("tester", &amend, &[("FEDP2P_GUARD", "off")]).ok();
    checkout.git(&["rebase", "--continue"]).ok();
    assert_eq!(checkout.commits(), 3);
    assert!(!checkout.folder.join(".git/fedp2p-passed").exists());

    let inbox = taichi.cli(&["inbox", "--peek", "--agent", "coder"]).ok().stdout;
    assert_eq!(inbox.matches("went past the guard").count(), 1, "{inbox}");
    assert!(inbox.contains("src/a.rs") && !inbox.contains("src/b.rs"), "{inbox}");
}
