//! Strangers and peers that follow no rules: each costs itself its stream or connection and nobody else anything.

use fedp2p_protocols::hello::Knock;
use fedp2p_protocols::limits::MAX_FRAME_BYTES;
use futures::StreamExt as _;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{Stream, SwarmEvent};

use super::super::streams::Kind;
use super::super::{Command, Event, address, behaviour, frames};
use super::peers::{Node, PATIENCE, Rogue, both_connected, config, knowing, organisation};

/// The victim works if a member can connect and talk.
async fn still_works(victim: &mut Node, at: &libp2p::Multiaddr) {
    let mut member = Node::start(knowing(config(1, 77), at));
    let id = member.id;
    let connected = victim.until(|event| match event {
        Event::Connected { peer, .. } if peer == id => Some(()),
        _ => None,
    });
    tokio::join!(connected, member.connected());
    member.send(victim.id, b"well?");
    let frame = victim.until(|event| match event {
        Event::Frame { peer, frame, .. } if peer == id => Some(frame),
        _ => None,
    });
    assert_eq!(frame.await, b"well?");
}

async fn ends(stream: &mut Stream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset is an end like any other.
    let _reset = stream.read_to_end(&mut heard).await;
    heard
}

fn garbage() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0; 4],
        vec![0xff; 1000],
        [&48_u32.to_be_bytes()[..], &[3; 48]].concat(),
        [&60_u32.to_be_bytes()[..], &[3; 60]].concat(),
        [&16_000_u32.to_be_bytes()[..], &[9; 16_000]].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ]
}

#[tokio::test]
async fn garbage_instead_of_a_hello_or_a_handshake_ends_the_stream_in_silence() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let id = victim.id;
    for kind in [Kind::Hello, Kind::Join] {
        for (number, bytes) in (0..).zip(garbage()) {
            let mut rogue = Rogue::new(100 + number);
            let (peer, connection) = rogue.dial(id, &at).await;
            let mut stream = rogue.open(peer, connection, kind).await.unwrap();
            let work = async {
                // The other end may have had enough before we are through.
                let _written = stream.write_all(&bytes).await;
                let _closed = stream.close().await;
                ends(&mut stream).await
            };
            let said = tokio::select! {
                said = rogue.with(work) => said,
                () = answer_tickets(&mut victim) => unreachable!(),
            };
            assert_eq!(said, b"", "{kind:?} {bytes:?}");
        }
    }
    still_works(&mut victim, &at).await;
}

async fn answer_tickets(node: &mut Node) {
    loop {
        if let Event::TicketShown { exchange, .. } = node.event().await {
            node.net.send(Command::TicketSecret(exchange, None)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_stranger_gets_no_answer_and_its_connection_is_closed() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let mut rogue = Rogue::new(100);
    let (peer, connection) = rogue.dial(victim.id, &at).await;
    let mut stream = rogue.open(peer, connection, Kind::Hello).await.unwrap();
    let knock = Knock::new(&organisation(2), [1; 16], &rogue.id, &victim.id).encode();
    let said = rogue
        .with(async {
            frames::write(&mut stream, &knock).await.unwrap();
            ends(&mut stream).await
        })
        .await;
    assert_eq!(said, b"");
    rogue.closed().await;
    assert_eq!(victim.net.counters().strangers(), 1);
    assert!(!matches!(victim.events.try_recv(), Ok(Event::Hello { .. } | Event::Connected { .. })));
}

#[tokio::test]
async fn nodes_of_two_organisations_never_connect() {
    let mut a = Node::start(config(1, 10));
    let at = a.listening().await;
    let mut b = Node::start(knowing(config(2, 11), &at));
    let refused = b.until(|event| match event {
        Event::Notice(text) if text.contains("no answer") => Some(()),
        Event::Connected { .. } | Event::Hello { .. } => panic!("{event:?}"),
        _ => None,
    });
    refused.await;
    while let Ok(event) = a.events.try_recv() {
        assert!(!matches!(event, Event::Hello { .. } | Event::Connected { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn a_knower_of_the_organisation_with_the_certificate_of_another_node_is_closed() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let mut rogue = Rogue::new(100);
    let (peer, connection) = rogue.dial(victim.id, &at).await;
    let mut stream = rogue.open(peer, connection, Kind::Hello).await.unwrap();
    let knock = Knock::new(&organisation(1), [1; 16], &rogue.id, &victim.id).encode();
    let stolen = fedp2p_protocols::op::NodeKey::from_seed([10; 32]).id();
    let welcome = fedp2p_protocols::hello::Welcome { chain: super::peers::chain(1, stolen), addresses: vec![] };
    let said = rogue
        .with(async {
            frames::write(&mut stream, &knock).await.unwrap();
            frames::read(&mut stream, 10_000).await.unwrap();
            frames::write(&mut stream, &welcome.encode()).await.unwrap();
            ends(&mut stream).await
        })
        .await;
    assert_eq!(said, b"");
    rogue.closed().await;
    still_works(&mut victim, &at).await;
}

#[tokio::test]
async fn a_node_that_the_core_does_not_admit_is_closed() {
    let mut a = Node::start(config(1, 10));
    a.admits = false;
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    let refused = b.until(|event| match event {
        Event::Notice(text) if text.contains("the hello with") => Some(()),
        Event::Connected { .. } => panic!("connected"),
        _ => None,
    });
    let asked = a.until(|event| match event {
        Event::Hello { .. } => Some(()),
        Event::Connected { .. } => panic!("connected"),
        _ => None,
    });
    tokio::join!(refused, asked);
}

#[tokio::test]
async fn a_stranger_that_speaks_gossip_is_refused_it() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    victim.subscribe("fedp2p/1/topic");
    let peer = address::peer_of(&victim.id).unwrap();
    let key = libp2p::identity::Keypair::ed25519_from_bytes([100; 32]).unwrap();
    let gossip = super::super::gossip::new().unwrap();
    let mut swarm = behaviour::patient(&key, gossip).unwrap();
    swarm.dial(DialOpts::peer_id(peer).addresses(vec![at.clone()]).build()).unwrap();
    let refused = async {
        loop {
            let event = swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(event) = event {
                assert!(matches!(event, libp2p::gossipsub::Event::GossipsubNotSupported { .. }), "{event:?}");
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    still_works(&mut victim, &at).await;
}

#[tokio::test]
async fn a_sync_stream_before_the_hello_is_dropped() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let mut rogue = Rogue::new(100);
    let (peer, connection) = rogue.dial(victim.id, &at).await;
    let mut stream = rogue.open(peer, connection, Kind::Sync).await.unwrap();
    assert_eq!(rogue.with(ends(&mut stream)).await, b"");
    still_works(&mut victim, &at).await;
}

#[tokio::test]
async fn a_member_that_sends_an_oversized_frame_is_disconnected() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let id = victim.id;
    let mut rogue = Rogue::new(100);
    let watching = async {
        let hello = victim.until(|event| matches!(event, Event::Connected { .. }).then_some(()));
        hello.await;
        victim.disconnected().await
    };
    let attacking = async {
        let (peer, connection) = rogue.greet(1, id, &at).await;
        let mut stream = rogue.open(peer, connection, Kind::Sync).await.unwrap();
        let length = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
        let attack = async {
            stream.write_all(&length.to_be_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            ends(&mut stream).await
        };
        rogue.with(attack).await;
        rogue.closed().await;
        rogue.id
    };
    let (gone, attacker) = tokio::join!(watching, attacking);
    assert_eq!(gone, attacker);
    still_works(&mut victim, &at).await;
}

#[tokio::test]
async fn a_member_that_opens_many_sync_streams_and_leaves_them_half_said_does_no_harm() {
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let id = victim.id;
    let mut rogue = Rogue::new(100);
    let attacking = async {
        let (peer, connection) = rogue.greet(1, id, &at).await;
        for _ in 0..50 {
            let Some(mut stream) = rogue.open(peer, connection, Kind::Sync).await else {
                return;
            };
            rogue.with(async { drop(stream.write_all(&[0, 0, 1]).await) }).await;
        }
    };
    tokio::select! {
        () = attacking => {}
        () = async { loop { victim.event().await; } } => unreachable!(),
    }
    still_works(&mut victim, &at).await;
}

#[tokio::test]
async fn gossip_that_is_judged_bad_again_and_again_does_not_reach_others_and_stops_nobody() {
    let mut a = Node::start(config(1, 10));
    let at = a.listening().await;
    let mut b = Node::start(knowing(config(1, 11), &at));
    both_connected(&mut a, &mut b).await;
    a.subscribe("fedp2p/1/topic");
    b.subscribe("fedp2p/1/topic");
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(10));
    let mut rejected = 0;
    let mut number = 0_u32;
    while rejected < 5 {
        tokio::select! {
            _tick = ticks.tick() => {
                number += 1;
                b.publish("fedp2p/1/topic", &number.to_be_bytes());
            }
            event = a.event() => if let Event::Gossip { id, .. } = event {
                rejected += 1;
                a.net.send(Command::Judge(id, fedp2p_core::Verdict::Reject)).unwrap();
            }
        }
    }
    still_works(&mut a, &at).await;
    drop(b);
}

#[tokio::test]
async fn bytes_that_are_no_libp2p_at_all_are_counted_and_forgotten() {
    use tokio::io::AsyncWriteExt as _;
    let mut victim = Node::start(config(1, 10));
    let at = victim.listening().await;
    let port = at.to_string().rsplit('/').next().unwrap().to_owned();
    for _ in 0..10 {
        let mut socket = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        socket.write_all(&[0xff; 4096]).await.unwrap();
    }
    still_works(&mut victim, &at).await;
    assert!(victim.net.counters().refused() > 0);
}
