//! The client against a daemon that is played here.

use std::future::Future;

use fedp2p_protocols::api::{ErrorCode, Reply, Request, ack, agents, down, send};
use fedp2p_protocols::pulse::AgentKind;
use tokio::net::UnixListener;

use super::*;

struct Fake {
    home: Home,
    listener: UnixListener,
    _temp: tempfile::TempDir,
}

/// The daemon's end of one connection.
struct Peer {
    reader: frame::Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Fake {
    fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(&temp.path().join("home"), temp.path().join("run")).unwrap();
        home.open_runtime_dir().unwrap();
        let listener = UnixListener::bind(home.socket()).unwrap();
        Self { home, listener, _temp: temp }
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let (reader, writer) = stream.into_split();
        Peer { reader: frame::Reader::new(reader, MAX_REQUEST_BYTES), writer }
    }

    async fn accept_and_greet(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.say(&greeting(api::VERSION)).await;
        peer
    }

    /// Connects with `play` as the daemon.
    async fn connect<F: Future>(&self, play: F) -> (Result<Client, ConnectError>, F::Output) {
        tokio::join!(Client::connect(&self.home, caller()), play)
    }

    /// Connects to a daemon that greets properly.
    async fn talk(&self) -> (Client, Peer) {
        let (client, peer) = self.connect(self.accept_and_greet()).await;
        (client.unwrap(), peer)
    }
}

impl Peer {
    async fn say<T: serde::Serialize>(&mut self, value: &T) {
        frame::write_json(&mut self.writer, value, MAX_REPLY_BYTES).await.unwrap();
    }

    async fn hear(&mut self) -> Call {
        self.reader.read_json().await.unwrap().unwrap()
    }
}

fn greeting(api: u32) -> Greeting {
    Greeting { fedp2p: "9.9.9".to_owned(), api }
}

fn caller() -> Caller {
    Caller { name: "ada".parse().unwrap(), kind: AgentKind::Person }
}

fn notice(text: &str) -> watch::Event {
    watch::Event::Notice { text: text.to_owned() }
}

#[tokio::test]
async fn call_carries_the_caller_and_returns_the_reply() {
    let fake = Fake::start();
    let (mut client, mut peer) = fake.talk().await;
    assert_eq!(client.daemon_version(), "9.9.9");
    let answer = async {
        let call = peer.hear().await;
        assert_eq!(call.caller, caller());
        assert_eq!(call.request, Request::Down(down::Request {}));
        peer.say(&Answer::Ok(Reply::Down(down::Reply { pid: 7 }))).await;
    };
    let (reply, ()) = tokio::join!(client.call(down::Request {}), answer);
    assert_eq!(reply.unwrap().pid, 7);
}

#[tokio::test]
async fn refusal_leaves_the_connection_usable() {
    let fake = Fake::start();
    let (mut client, mut peer) = fake.talk().await;
    let answer = async {
        peer.hear().await;
        let refusal = api::Error::new(ErrorCode::NotFound, "nobody is called so");
        peer.say(&Answer::Error(refusal)).await;
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Agents(agents::Reply { agents: Vec::new(), more: 0, next: None }))).await;
    };
    let calls = async {
        let refused = client.call(ack::Request::default()).await;
        assert!(matches!(refused, Err(CallError::Refused(e)) if e.code == ErrorCode::NotFound));
        assert!(client.call(agents::Request::default()).await.unwrap().agents.is_empty());
    };
    tokio::join!(calls, answer);
}

#[tokio::test]
async fn no_socket_and_a_socket_that_nobody_listens_at_are_no_daemon() {
    let fake = Fake::start();
    let (home, _temp) = (fake.home.clone(), fake._temp);
    drop(fake.listener);
    let refused = Client::connect(&home, caller()).await;
    assert!(matches!(refused, Err(ConnectError::NoDaemon)), "{refused:?}");
    std::fs::remove_dir_all(home.runtime_dir()).unwrap();
    let absent = Client::connect(&home, caller()).await;
    assert!(matches!(absent, Err(ConnectError::NoDaemon)), "{absent:?}");
}

#[tokio::test]
async fn other_versions_are_told_apart() {
    let fake = Fake::start();
    for (api, expected) in [(api::VERSION - 1, Age::Older), (api::VERSION + 1, Age::Newer)] {
        let play = async { fake.accept().await.say(&greeting(api)).await };
        let (result, ()) = fake.connect(play).await;
        match result {
            Err(ConnectError::Version { daemon, age, .. }) => {
                assert_eq!((daemon.as_str(), age), ("9.9.9", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn daemon_of_another_version_can_be_stopped_and_is_seen_to_stop() {
    let fake = Fake::start();
    let play = async {
        let mut peer = fake.accept().await;
        peer.say(&greeting(api::VERSION + 1)).await;
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Down(down::Reply { pid: 7 }))).await;
    };
    let stop = async {
        let mut client = Client::connect_any_version(&fake.home, caller()).await.unwrap();
        assert_eq!(client.call(down::Request {}).await.unwrap().pid, 7);
        assert!(client.closed(Duration::from_secs(60)).await);
    };
    tokio::join!(play, stop);
}

#[tokio::test]
async fn what_is_no_greeting_is_a_protocol_error_and_a_refusal_is_a_refusal() {
    let fake = Fake::start();
    let play = async { fake.accept().await.say(&"HTTP/1.1 400").await };
    let (result, ()) = fake.connect(play).await;
    assert!(matches!(result, Err(ConnectError::Protocol(_))), "{result:?}");
    let busy = Answer::Error(api::Error::new(ErrorCode::Busy, "too many clients"));
    let play = async { fake.accept().await.say(&busy).await };
    let (result, ()) = fake.connect(play).await;
    assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
}

#[tokio::test]
async fn connection_closed_after_the_request_leaves_the_outcome_unknown() {
    let fake = Fake::start();
    let (mut client, mut peer) = fake.talk().await;
    let close = async {
        peer.hear().await;
        drop(peer);
    };
    let (lost, ()) = tokio::join!(client.call(send::Request::default()), close);
    assert!(matches!(lost, Err(CallError::Lost { access: Access::Write })), "{lost:?}");
    let next = client.call(agents::Request::default()).await;
    assert!(matches!(next, Err(CallError::NotSent(_))), "{next:?}");
}

#[tokio::test]
async fn answer_that_takes_too_long_leaves_the_outcome_unknown() {
    let fake = Fake::start();
    let (mut client, _peer) = fake.talk().await;
    client.set_patience(Duration::ZERO);
    let lost = client.call(send::Request::default()).await;
    assert!(matches!(lost, Err(CallError::Lost { .. })), "{lost:?}");
}

#[tokio::test]
async fn request_over_the_limit_is_not_sent_and_the_next_one_is() {
    let fake = Fake::start();
    let (mut client, mut peer) = fake.talk().await;
    let request = send::Request { text: "x".repeat(MAX_REQUEST_BYTES), ..send::Request::default() };
    let large = client.call(request).await;
    assert!(matches!(large, Err(CallError::TooLarge { .. })), "{large:?}");
    let answer = async {
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Down(down::Reply { pid: 1 }))).await;
    };
    let (reply, ()) = tokio::join!(client.call(down::Request {}), answer);
    assert!(reply.is_ok());
}

#[tokio::test]
async fn reply_to_another_question_is_a_protocol_error() {
    let fake = Fake::start();
    let (mut client, mut peer) = fake.talk().await;
    let answer = async {
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Down(down::Reply { pid: 1 }))).await;
    };
    let (reply, ()) = tokio::join!(client.call(agents::Request::default()), answer);
    assert!(matches!(reply, Err(CallError::Protocol(None))), "{reply:?}");
}

#[tokio::test]
async fn watch_yields_events_until_the_daemon_stops() {
    let fake = Fake::start();
    let (client, mut peer) = fake.talk().await;
    let play = async {
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Watch(watch::Reply {}))).await;
        for text in ["one", "two"] {
            peer.say(&Answer::Event(notice(text))).await;
        }
        drop(peer);
    };
    let check = async {
        let mut watch = client.watch(watch::Request::default()).await.unwrap();
        assert_eq!(watch.next().await.unwrap(), Some(notice("one")));
        assert_eq!(watch.next().await.unwrap(), Some(notice("two")));
        assert_eq!(watch.next().await.unwrap(), None);
    };
    tokio::join!(check, play);
}

#[tokio::test]
async fn watch_that_does_not_keep_up_is_told() {
    let fake = Fake::start();
    let (client, mut peer) = fake.talk().await;
    let play = async {
        peer.hear().await;
        peer.say(&Answer::Ok(Reply::Watch(watch::Reply {}))).await;
        let cut = api::Error::new(ErrorCode::Busy, "events were not read fast enough");
        peer.say(&Answer::Error(cut)).await;
    };
    let check = async {
        let mut watch = client.watch(watch::Request::default()).await.unwrap();
        assert!(matches!(watch.next().await, Err(CallError::Refused(_))));
    };
    tokio::join!(check, play);
}
