//! A real endpoint: llama.cpp's server with a tiny model of random weights.
//!
//! It needs Python with the packages `xllamacpp` (llama.cpp's server, prebuilt) and `gguf`, as `python3` or as what
//! `FEDP2P_TEST_PYTHON` names. Without them the test says so and passes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_protocols::api::task_new;
use fedp2p_protocols::task::State;

use crate::team::Team;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/endpoint");

/// The server, killed when this is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn python() -> Command {
    Command::new(std::env::var_os("FEDP2P_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Starts the server, if it can be had here.
fn serve(team: &Team) -> Option<Server> {
    let quiet =
        |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !quiet(python().args(["-c", "import xllamacpp, gguf"])).is_ok_and(|status| status.success()) {
        // Not by a macro: the test runner would keep the words of a test that passes to itself.
        drop(writeln!(std::io::stderr(), "skipped: a real endpoint needs Python with xllamacpp and gguf"));
        return None;
    }
    let model = team.world.path("tiny.gguf");
    assert!(quiet(python().arg(format!("{SCRIPTS}/make.py")).arg(&model)).unwrap().success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = python();
    command.arg(format!("{SCRIPTS}/serve.py")).arg(&model).arg(port.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.map_while(Result::ok).find(|line| line.starts_with("http://"));
    Some(Server { child, url: url.expect("the server says where it is") })
}

#[test]
fn a_real_model_works_through_twenty_tasks_and_answers_messages() {
    let team = Team::new();
    let Some(server) = serve(&team) else { return };
    let mut session = team.node.session();
    for number in 1..=20 {
        // One is far longer than the model can read.
        let text = (number == 7).then(|| "far too long ".repeat(600));
        let (title, id) = (format!("do t{number}"), Some(format!("t{number}")));
        session.call(task_new::Request { title, id, text, ..Default::default() }).unwrap();
    }
    let run = ["--name", "helper", "--model", &server.url, "--concurrency", "2", "--answer-tokens", "32"];
    let mut runner = team.run(&[&run[..], &["--context-tokens", "2048"]].concat());
    let tasks = team.wait_for_all();
    assert_eq!(tasks.len(), 20);
    for task in &tasks {
        assert_eq!(task.state, State::Completed, "{task:?}");
        assert!(task.result.as_deref().is_some_and(|result| !result.is_empty()), "{task:?}");
    }
    let asked = team.node.send(&["helper"], "What do you think?");
    team.node.wait_for_delivery(&asked, DeliveryState::Surfaced);
    assert_eq!(runner.interrupt(), 0);
}
