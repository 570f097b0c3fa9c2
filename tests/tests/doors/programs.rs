//! Agents that are programs.

use std::collections::BTreeMap;

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::{agents, history, send};
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::State;
use fedp2p_tests::{eventually, holds};
use serde_json::{Value, json};

use crate::team::Team;

#[test]
fn a_script_works_through_twenty_tasks_though_one_hangs_and_one_crashes() {
    let team = Team::new();
    let script = team.script(
        "work.sh",
        r#"case $doc in
          *'"title":"do t7"'*) echo stuck >&2; sleep 1000 ;;
          *'"try":1,'*'"title":"do t13"'*) kill -SEGV $$ ;;
          *'"title":"do t4"'*) echo '{"by": "'$FEDP2P_AGENT'"}' ; exit ;;
        esac
        echo done"#,
    );
    team.make((1..=20).map(|number| format!("t{number}")));
    let mut runner =
        team.run(&["--name", "worker", "--concurrency", "4", "--timeout", "4s", "--retries", "1", "--", &script]);
    let tasks: BTreeMap<String, Task> = team.wait_for_all().into_iter().map(|task| (task.id.clone(), task)).collect();
    assert_eq!(tasks.len(), 20);
    for (id, task) in &tasks {
        let state = if id == "t7" { State::Failed } else { State::Completed };
        assert_eq!(task.state, state, "{task:?}");
        assert!(task.statements.iter().all(|said| said.by.to_string() == "worker@taichi"), "{task:?}");
    }
    assert_eq!(tasks["t13"].result.as_deref(), Some("done"), "it is tried again");
    assert_eq!(tasks["t4"].result.as_deref(), Some("{\"by\":\"worker\"}"));
    let note = tasks["t7"].note.as_deref().unwrap();
    assert!(note.contains("longer than 4 s") && note.contains("stuck"), "{note}");
    runner.wait_for("\"why\":\"killed by signal 11\"");
    assert_eq!(runner.interrupt(), 0);
    runner.wait_for("\"event\":\"stopped\",\"failed\":1,\"handed_back\":0");
    let agents = team.node.call(agents::Request::default()).agents;
    let worker = agents.iter().find(|agent| agent.address.to_string() == "worker@taichi").unwrap();
    assert_eq!((worker.kind, worker.status.as_deref()), (AgentKind::Ai, Some("STOPPED")));
}

#[test]
fn every_task_of_a_runner_that_is_killed_is_done_in_the_end() {
    let team = Team::new();
    let script = team.script(
        "work.sh",
        r#"echo $$ > "$here/$FEDP2P_AGENT-$$.new" && mv "$here/$FEDP2P_AGENT-$$.new" "$here/$FEDP2P_AGENT-$$"
        while ! test -e "$here/go"; do sleep 0.05; done
        echo "$FEDP2P_AGENT""#,
    );
    let begun = |agent: &str, count: usize| {
        eventually(&format!("{agent} works on {count}"), || {
            let files = std::fs::read_dir(team.here()).unwrap().flatten();
            let names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
            let begun = names.iter().filter(|name| name.starts_with(agent) && !name.ends_with(".new")).count();
            holds(begun >= count, names)
        });
    };
    let run =
        |name: &str| team.run(&["--name", name, "--concurrency", "3", "--lease", "10s", "--tasks", "--", &script]);
    team.make((1..=6).map(|number| format!("t{number}")));
    let mut first = run("one");
    begun("one", 3);
    first.kill();
    // The same agent takes up again what it held.
    let mut again = run("one");
    again.wait_for("\"resumed\":true");
    let (code, error) =
        team.node.refused(&["agent", "run", "--name", "one", "--model", "http://127.0.0.1:1", "--model-name", "m"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("conflict")), "nobody else speaks as it meanwhile");
    begun("one", 6);
    again.kill();
    // Another takes over once the leases have run out, without having heard of anything but that.
    let mut other = run("two");
    begun("two", 3);
    team.touch("go");
    let tasks = team.wait_for_all();
    assert!(
        tasks.iter().all(|task| task.state == State::Completed && task.result.as_deref() == Some("two")),
        "{tasks:#?}"
    );
    assert_eq!(other.interrupt(), 0);
}

#[test]
fn a_runner_outlasts_its_daemon() {
    let mut team = Team::new();
    let script =
        team.script("work.sh", "touch \"$here/begun\"; while ! test -e \"$here/go\"; do sleep 0.05; done; echo ok");
    team.make(["t1", "t2"].map(str::to_owned));
    let mut runner = team.run(&["--name", "worker", "--", &script]);
    team.wait_for_file("begun");
    team.node.kill();
    runner.wait_for("daemon_gone");
    team.touch("go");
    team.node.up(&[]);
    runner.wait_for("daemon_back");
    let tasks = team.wait_for_all();
    assert!(tasks.iter().all(|task| task.state == State::Completed), "{tasks:#?}");
    assert_eq!(runner.interrupt(), 0);
}

#[test]
fn messages_are_answered_once_they_were_handled_and_not_before() {
    let team = Team::new();
    let script = team.script(
        "answer.sh",
        r#"case $doc in
          *'"text":"wait"'*) touch "$here/begun"; while ! test -e "$here/go"; do sleep 0.05; done ;;
          *'"text":"fail"'*) echo no such thing >&2; exit 3 ;;
          *'"text":"quiet"'*) exit 0 ;;
          *'"text":"count"'*) echo '{"count": 3}'; exit 0 ;;
        esac
        echo "answer of $FEDP2P_AGENT""#,
    );
    let run = || team.run(&["--name", "clerk", "--messages", "--retries", "0", "--", &script]);
    let mut runner = run();
    runner.wait_for("started");
    let waits = team.node.send(&["clerk"], "wait");
    team.wait_for_file("begun");
    team.node.wait_for_delivery(&waits, DeliveryState::Stored);
    runner.kill();
    let runner = run();
    runner.wait_for("received");
    team.node.wait_for_delivery(&waits, DeliveryState::Stored);
    team.touch("go");
    team.node.wait_for_delivery(&waits, DeliveryState::Surfaced);

    let others: Vec<_> = ["fail", "count", "quiet"].map(|text| team.node.send(&["clerk"], text)).into_iter().collect();
    let status = send::Request {
        to: vec!["clerk".to_owned()],
        kind: MessageType::Status,
        text: "news".to_owned(),
        ..Default::default()
    };
    let status = team.node.call(status).id;
    team.node.wait_for_delivery(&status, DeliveryState::Surfaced);
    runner.wait_for("passed_over");
    team.node.wait_for_delivery(&others[2], DeliveryState::Acknowledged);
    let answers = team.node.call(history::Request { from: Some("clerk".to_owned()), ..Default::default() }).messages;
    let answers: Vec<(Option<String>, MessageType, &str, Option<&Value>)> = answers
        .iter()
        .map(|answer| {
            let to = answer.reply_to.map(|id| id.to_string());
            (to, answer.kind, answer.text.as_str(), answer.data.as_ref())
        })
        .collect();
    let count = json!({ "count": 3 });
    assert_eq!(
        answers,
        [
            (Some(waits.to_string()), MessageType::Result, "answer of clerk", None),
            (Some(others[0].to_string()), MessageType::Error, "exit code 3: no such thing", None),
            (Some(others[1].to_string()), MessageType::Result, "", Some(&count)),
        ]
    );
}

#[test]
fn a_task_that_needs_input_goes_on_with_the_answer() {
    let team = Team::new();
    let script = team.script(
        "ask.sh",
        r#"case $doc in
          *'"text":"the debug build"'*) echo "profiled" ;;
          *) echo "Which build?"; exit 66 ;;
        esac"#,
    );
    team.make(["profile".to_owned()]);
    let mut runner = team.run(&["--name", "worker", "--", &script]);
    let task = team.wait_for_task("profile", State::InputRequired);
    assert_eq!(task.note.as_deref(), Some("Which build?"));
    let question = eventually("ada is asked", || {
        let request = history::Request { from: Some("worker".to_owned()), ..Default::default() };
        team.node.call(request).messages.pop().ok_or_else(|| "no question".to_owned())
    });
    assert_eq!((question.kind, question.correlation.as_deref()), (MessageType::Chat, Some("profile")));
    let answer = send::Request {
        to: vec!["worker".to_owned()],
        text: "the debug build".to_owned(),
        reply_to: Some(question.id.to_string()),
        correlation: Some("profile".to_owned()),
        ..Default::default()
    };
    team.node.call(answer);
    let task = team.wait_for_task("profile", State::Completed);
    assert_eq!(task.result.as_deref(), Some("profiled"));
    assert_eq!(runner.interrupt(), 0);
}

#[test]
fn what_one_hands_back_another_takes_and_a_role_decides_who_may() {
    let team = Team::new();
    let refuses = team.script("refuse.sh", "echo I have no valgrind; exit 75");
    let works = team.script("work.sh", "echo ok");
    team.make(["profile".to_owned()]);
    let mut one = team.run(&["--name", "one", "--tasks", "--", &refuses]);
    one.wait_for("handed_back");
    let task = team.wait_for_task("profile", State::Submitted);
    assert_eq!(task.note.as_deref(), Some("I have no valgrind"));
    let mut two = team.run(&["--name", "two", "--role", "reviewer", "--tasks", "--", &works]);
    team.wait_for_task("profile", State::Completed);
    team.node.cli(&["task", "new", "Review it", "--id", "review", "--to", "role:reviewer"]).ok();
    let task = team.wait_for_task("review", State::Completed);
    assert_eq!(task.statements.last().unwrap().by.to_string(), "two@taichi");
    assert_eq!((one.interrupt(), two.interrupt()), (0, 0));
}

#[test]
fn a_result_that_is_too_long_is_cut_with_a_mark_and_comes_as_a_message() {
    let team = Team::new();
    let script = team.script("long.sh", "head -c 20000 /dev/zero | tr '\\0' x");
    team.make(["long".to_owned()]);
    let _runner = team.run(&["--name", "worker", "--", &script]);
    let task = team.wait_for_task("long", State::Completed);
    let result = task.result.unwrap();
    assert!(result.len() <= 8192 && result.ends_with("of 20000 bytes]"), "{}", &result[result.len() - 50..]);
    let messages = team.node.call(history::Request { correlation: Some("long".to_owned()), ..Default::default() });
    assert_eq!((messages.messages[0].kind, messages.messages[0].text.len()), (MessageType::Result, 20000));
}

#[test]
fn what_cannot_be_run_is_refused_with_a_hint() {
    let team = Team::new();
    let away = team.world.node("away");
    for (node, words, code) in [
        (&team.node, &["--name", "worker", "--", "/nowhere/program"][..], 2),
        (&team.node, &["--", "true"], 2),
        (&away, &["--name", "worker", "--", "true"], 3),
    ] {
        let output = node.cli(&[&["--json", "agent", "run"], words].concat());
        assert_eq!(output.code, code, "{output:#?}");
        assert!(output.envelope()["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{output:#?}");
    }
}
