#![allow(missing_docs, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
//! The program against a daemon that is played here: what it prints where, how it exits, and when it marks what.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use fedp2p_node::home::Home;
use fedp2p_protocols::api::message::{Delivery, DeliveryState, Message};
use fedp2p_protocols::api::{
    self, Answer, Call, Error, ErrorCode, Greeting, Reply, Request, ack, agents, down, history, inbox, log_verify,
    send, status, surfaced, watch,
};
use fedp2p_protocols::id::{ConversationId, LogEpochId, NodeId, OpId, OrganisationId};
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::AgentKind;
use tempfile::TempDir;

/// A home, its runtime folder, and maybe a daemon in a thread.
struct Place {
    temp: TempDir,
    home: Home,
    calls: Option<Receiver<Call>>,
}

impl Place {
    fn empty() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(&temp.path().join("home"), temp.path().join("run/fedp2p")).unwrap();
        Self { temp, home, calls: None }
    }

    /// A place with a daemon of API version `version` that answers with `play`, or hangs up where that returns nothing.
    fn with_daemon(version: u32, play: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let mut place = Self::empty();
        place.home.open_runtime_dir().unwrap();
        let listener = UnixListener::bind(place.home.socket()).unwrap();
        let (heard, calls) = channel();
        place.calls = Some(calls);
        std::thread::spawn(move || {
            let play = &play;
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    let (mut stream, heard) = (stream.unwrap(), heard.clone());
                    scope.spawn(move || {
                        let greeting = Greeting { fedp2p: "9.9.9".to_owned(), api: version };
                        write(&mut stream, &greeting);
                        while let Some(call) = read(&mut stream) {
                            let last = matches!(call.request, Request::Down(_) | Request::Watch(_));
                            let answer = play(&call.request);
                            drop(heard.send(call));
                            match answer {
                                Some(answer) => write(&mut stream, &answer),
                                None => break,
                            }
                            if last {
                                break;
                            }
                        }
                    });
                }
            });
        });
        place
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fedp2p"));
        command.env_clear().env("XDG_RUNTIME_DIR", self.temp.path().join("run")).env("USER", "ada");
        command.arg("--home").arg(self.home.root()).args(line).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// The names of the operations that the daemon was asked for so far.
    fn heard(&self) -> Vec<&'static str> {
        self.calls.as_ref().unwrap().try_iter().map(|call| call.request.name()).collect()
    }
}

fn write(stream: &mut UnixStream, value: &impl serde::Serialize) {
    let json = serde_json::to_vec(value).unwrap();
    let length = u32::try_from(json.len()).unwrap().to_be_bytes();
    // A client that has gone away is what some of the tests are about.
    drop(stream.write_all(&[&length[..], &json].concat()));
}

fn read(stream: &mut UnixStream) -> Option<Call> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut json = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn message(text: &str) -> Message {
    Message {
        id: OpId::from_bytes([7; 32]),
        conversation: ConversationId::from_bytes([1; 16]),
        from: "taichi@taichi".parse().unwrap(),
        from_node: NodeId::from_bytes([2; 32]),
        organisation: None,
        from_kind: Some(AgentKind::Ai),
        verified: true,
        to: Vec::new(),
        kind: MessageType::Chat,
        text: text.to_owned(),
        data: None,
        reply_to: None,
        correlation: None,
        urgent: false,
        expires: None,
        covers: Vec::new(),
        at: 0,
        position: 1,
        deliveries: Vec::new(),
    }
}

fn with_inbox(text: &'static str) -> Place {
    Place::with_daemon(api::VERSION, move |request| {
        Some(match request {
            Request::Inbox(_) => Answer::Ok(Reply::Inbox(inbox::Reply {
                messages: vec![message(text)],
                cursor: 7,
                more: 0,
                held: 0,
                with_held: true,
            })),
            Request::Watch(_) => Answer::Ok(Reply::Watch(watch::Reply {})),
            Request::Surfaced(request) => Answer::Ok(Reply::Surfaced(surfaced::Reply { cursor: request.cursor })),
            other => panic!("{other:?}"),
        })
    })
}

fn refusing(error: Error) -> Place {
    Place::with_daemon(api::VERSION, move |_| Some(Answer::Error(error.clone())))
}

#[test]
fn without_a_daemon_commands_exit_with_3_and_say_how_to_start_one() {
    let place = Place::empty();
    let output = place.run(&["pulse"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).is_empty());
    let home = place.home.root().display().to_string();
    assert_eq!(
        stderr(&output),
        format!("error: no daemon is running\nhint: start it with \"fedp2p --home {home} up\"\n")
    );
}

#[test]
fn failures_are_envelopes_for_programs() {
    let output = Place::empty().run(&["pulse", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).is_empty());
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["fedp2p"], 1);
    assert_eq!(envelope["error"]["code"], "no_daemon");
}

#[test]
fn a_command_line_that_is_not_valid_exits_with_2_and_a_hint() {
    let place = Place::empty();
    let output = place.run(&["statsu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'status'") && stderr(&output).contains("hint: "), "{}", stderr(&output));
    let output = place.run(&["statsu", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["error"]["code"], "usage");
    let output = place.run(&["send", "only a text"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn refusals_exit_with_1_and_ask_what_was_meant() {
    let refusal = Error::new(ErrorCode::NotFound, "no agent is called babby").suggest(vec!["baby@baby".to_owned()]);
    let output = refusing(refusal).run(&["send", "babby", "Hello"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("error: no agent is called babby\n  did you mean baby@baby?\nhint: "), "{said}");
}

#[test]
fn a_person_speaks_as_the_user_and_an_agent_as_itself() {
    let place = Place::with_daemon(api::VERSION, |_| {
        Some(Answer::Ok(Reply::Agents(agents::Reply { agents: Vec::new(), more: 0, next: None })))
    });
    place.run(&["agents"]);
    place.run(&["agents", "--agent", "coder"]);
    place.command(&["agents"]).env("FEDP2P_AGENT", "tester").output().unwrap();
    let calls = place.calls.as_ref().unwrap();
    let callers: Vec<_> = calls.try_iter().map(|call| (call.caller.name.to_string(), call.caller.kind)).collect();
    let expected = [("ada", AgentKind::Person), ("coder", AgentKind::Ai), ("tester", AgentKind::Ai)];
    assert_eq!(callers, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn a_tool_whose_model_runs_the_program_is_not_taken_for_the_person() {
    let place = Place::with_daemon(api::VERSION, |_| {
        Some(Answer::Ok(Reply::Agents(agents::Reply { agents: Vec::new(), more: 0, next: None })))
    });
    let in_tool = |line: &[&str], agent: Option<&str>| {
        let mut command = place.command(line);
        command.env("CLAUDECODE", "1").envs(agent.map(|agent| ("FEDP2P_AGENT", agent)));
        command.output().unwrap();
        place.calls.as_ref().unwrap().try_iter().next().unwrap().caller
    };
    let caller = in_tool(&["agents"], None);
    assert!(caller.name.as_str().starts_with("claude-code-") && caller.kind == AgentKind::Ai, "{caller:?}");
    assert_eq!(in_tool(&["agents"], Some("tester")).name.as_str(), "tester");
    assert_eq!(in_tool(&["agents", "--agent", "coder"], Some("tester")).name.as_str(), "coder");
}

#[test]
fn inbox_marks_what_it_has_printed() {
    let place = with_inbox("Hello");
    let output = place.run(&["inbox"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("taichi@taichi → everybody  chat"), "{}", stdout(&output));
    assert!(stdout(&output).contains("\n  │ Hello\n"), "{}", stdout(&output));
    assert_eq!(place.heard(), ["inbox", "surfaced"]);
}

#[test]
fn inbox_marks_nothing_when_peeking_or_when_nobody_reads_the_output() {
    let place = with_inbox("Hello");
    place.run(&["inbox", "--peek"]);
    assert_eq!(place.heard(), ["inbox"]);
    for line in [&["inbox"][..], &["inbox", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(line).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(place.heard(), ["inbox"], "{line:?}");
    }
}

#[test]
fn a_watched_inbox_prints_marks_and_says_when_the_daemon_has_stopped() {
    let place = with_inbox("Hello");
    let output = place.run(&["inbox", "--watch", "--json"]);
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["watch"]["event"], "message");
    assert_eq!(lines[0]["watch"]["data"]["text"], "Hello");
    assert_eq!(lines[1]["error"]["code"], "no_daemon");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(place.heard(), ["watch", "inbox", "surfaced"]);
}

fn running() -> Place {
    Place::with_daemon(api::VERSION, |_| {
        Some(Answer::Ok(Reply::Status(status::Reply {
            version: "9.9.9".to_owned(),
            node: api::NodeInfo {
                id: NodeId::from_bytes([1; 32]),
                name: "taichi".parse().unwrap(),
                organisation: OrganisationId::from_bytes([2; 32]),
                organisation_name: "federation".parse().unwrap(),
            },
            home: "/home".to_owned(),
            pid: 7,
            uptime_ms: 1,
            listening: Vec::new(),
            reachable: 0,
            members: 0,
            log_epoch: LogEpochId::from_bytes([3; 16]),
            certificate_expires: 0,
            admin: true,
            pin: false,
            conversations: Vec::new(),
            forks: Vec::new(),
            warnings: Vec::new(),
        })))
    })
}

#[test]
fn a_daemon_that_runs_already_is_enough_unless_something_else_was_asked_for() {
    let place = running();
    let output = place.run(&["up", "--detach", "--name", "taichi"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("already running"));
    assert!(stdout(&output).contains("taichi"), "{}", stdout(&output));
    for line in [&["up"][..], &["up", "--detach", "--name", "baby"], &["up", "--detach", "--no-mdns"]] {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(stderr(&output).contains("already running (process 7)\nhint: talk to it"), "{}", stderr(&output));
    }
    let output = place.run(&["up", "--join", "ticket"]);
    assert!(stderr(&output).contains("join TICKET"), "{}", stderr(&output));
}

#[test]
fn a_broken_history_is_shown_and_is_a_failure() {
    let place = Place::with_daemon(api::VERSION, |_| {
        Some(Answer::Ok(Reply::LogVerify(log_verify::Reply {
            ops: 9,
            logs: 1,
            broken: Some(log_verify::Broken {
                position: 4,
                author: None,
                log: None,
                seq: None,
                problem: "the signature is not valid".to_owned(),
            }),
            took_ms: 1,
        })))
    });
    let output = place.run(&["log", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: entry 4 in order of arrival"), "{}", stderr(&output));
    let output = place.run(&["log", "verify", "--json"]);
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["log_verify"]["broken"]["position"], 4);
    assert_eq!(envelope["error"]["code"], "storage");
    assert!(stderr(&output).is_empty());
}

#[test]
fn text_of_peers_is_harmless_for_people_and_whole_for_programs() {
    let evil = "\u{1b}[2Jgone\u{202e}\nerror: forged";
    let place = with_inbox(evil);
    let output = place.run(&["inbox", "--color", "always"]);
    let shown = stdout(&output);
    assert!(shown.contains("  │ \\u{1b}[2Jgone\\u{202e}\n  │ error: forged\n"), "{shown}");
    let json = stdout(&place.run(&["inbox", "--json"]));
    assert!(!json.contains('\u{1b}'));
    let envelope: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(envelope["inbox"]["messages"][0]["text"], evil);
}

#[test]
fn colour_is_not_for_pipes() {
    let place = with_inbox("Hello");
    assert!(!stdout(&place.run(&["inbox"])).contains('\u{1b}'));
    assert!(stdout(&place.run(&["inbox", "--color", "always"])).contains('\u{1b}'));
}

#[test]
fn a_write_without_an_answer_exits_with_4() {
    let place = Place::with_daemon(api::VERSION, |_| None);
    let output = place.run(&["ack", "4f6h2k3a"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("hint: it may have been done"), "{}", stderr(&output));
    assert_eq!(place.run(&["agents"]).status.code(), Some(1));
}

#[test]
fn another_version_is_refused_but_can_be_stopped() {
    let place = Place::with_daemon(api::VERSION + 1, |request| match request {
        Request::Down(_) => Some(Answer::Ok(Reply::Down(down::Reply { pid: 7 }))),
        _ => None,
    });
    let output = place.run(&["agents"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: the daemon is newer"), "{}", stderr(&output));
    assert!(place.heard().is_empty());
    let output = place.run(&["down"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "stopped (process 7)\n"));
}

#[test]
fn waiting_for_a_delivery_ends_when_it_is_there_or_the_time_is_up() {
    let delivered = |state| vec![Delivery { to: "baby@baby".parse().unwrap(), state }];
    let place = Place::with_daemon(api::VERSION, move |request| {
        Some(match request {
            Request::Send(_) => Answer::Ok(Reply::Send(send::Reply {
                id: OpId::from_bytes([7; 32]),
                at: 0,
                deliveries: delivered(DeliveryState::Queued),
            })),
            Request::History(_) => {
                let mut message = message("x");
                message.deliveries = delivered(DeliveryState::Stored);
                let messages = vec![message];
                Answer::Ok(Reply::History(history::Reply { messages, before: None }))
            }
            other => panic!("{other:?}"),
        })
    });
    let output = place.run(&["send", "baby", "x", "--wait", "stored"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("baby@baby stored after"), "{}", stdout(&output));
    let output = place.run(&["send", "baby", "x", "--wait", "surfaced", "--timeout", "20ms", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["send"]["deliveries"][0]["state"], "stored");
    assert_eq!(envelope["error"]["code"], "not_yet");
}

#[test]
fn ids_reach_the_daemon_as_typed() {
    let place = Place::with_daemon(api::VERSION, |request| match request {
        Request::Ack(ack::Request { ids }) if ids == &["4f6h", "7XQ2"] => {
            Some(Answer::Ok(Reply::Ack(ack::Reply { acknowledged: vec![OpId::from_bytes([7; 32])] })))
        }
        _ => None,
    });
    let output = place.run(&["ack", "4f6h", "7XQ2"]);
    assert_eq!(stdout(&output), format!("acknowledged {}\n", OpId::from_bytes([7; 32]).short()));
}
