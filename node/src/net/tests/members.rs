//! Nodes of one organisation find each other, talk and come back.

use fedp2p_core::Verdict;
use fedp2p_protocols::op::NodeKey;
use libp2p::Multiaddr;

use super::super::streams::Kind;
use super::super::{Command, Event, frames};
use super::peers::{Node, Rogue, both_connected, config, in_registry, knowing};

async fn gossip(node: &mut Node) -> Vec<u8> {
    let (id, data) = node
        .until(|event| match event {
            Event::Gossip { id, data } => Some((id, data)),
            _ => None,
        })
        .await;
    node.net.send(Command::Judge(id, Verdict::Accept)).unwrap();
    data
}

/// Publishes until it arrives: gossip before the other's subscription is known goes nowhere, by design.
async fn gossip_arrives(from: &mut Node, to: &mut Node, topic: &str) {
    let mut number = 0_u32;
    let received = gossip(to);
    tokio::pin!(received);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    let data = loop {
        tokio::select! {
            data = &mut received => break data,
            _tick = ticks.tick() => {
                number += 1;
                from.publish(topic, format!("message {number}").as_bytes());
            }
        }
    };
    assert!(data.starts_with(b"message "));
}

#[tokio::test]
async fn two_members_find_each_other_by_the_registry_and_exchange_gossip_and_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut a = Node::start(in_registry(config(1, 10), folder.path()));
    let mut b = Node::start(in_registry(config(1, 11), folder.path()));
    both_connected(&mut a, &mut b).await;
    a.subscribe("fedp2p/1/topic");
    b.subscribe("fedp2p/1/topic");
    gossip_arrives(&mut a, &mut b, "fedp2p/1/topic").await;
    gossip_arrives(&mut b, &mut a, "fedp2p/1/topic").await;
    a.send(b.id, b"from a");
    b.send(a.id, &vec![7; 64 * 1024]);
    assert_eq!(b.frame().await, (a.id, b"from a".to_vec()));
    assert_eq!(a.frame().await, (b.id, vec![7; 64 * 1024]));
    a.shut_down().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    b.disconnected().await;
}

#[tokio::test]
async fn a_third_member_gets_gossip_that_the_second_passes_on() {
    let mut a = Node::start(config(1, 10));
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    let at_b = b.listening().await;
    both_connected(&mut a, &mut b).await;
    let mut c = Node::start(knowing(config(1, 12), &at_b));
    both_connected(&mut b, &mut c).await;
    for node in [&a, &b, &c] {
        node.subscribe("fedp2p/1/topic");
    }
    let through_b = tokio::spawn(async move {
        loop {
            gossip(&mut b).await;
        }
    });
    gossip_arrives(&mut a, &mut c, "fedp2p/1/topic").await;
    through_b.abort();
}

#[tokio::test]
async fn first_contact_between_nodes_that_have_only_their_certificates_ends_connected() {
    let mut a = Node::start(config(1, 10));
    let address = a.listening().await;
    let mut b = Node::start(knowing(config(1, 11), &address));
    both_connected(&mut a, &mut b).await;
    a.subscribe("fedp2p/1/topic");
    b.subscribe("fedp2p/1/topic");
    gossip_arrives(&mut b, &mut a, "fedp2p/1/topic").await;
}

#[tokio::test]
async fn two_that_dial_each_other_at_once_are_connected_once() {
    // Ports are found first, so that each can know the other's address from the start.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (free(), free());
    let address = |listener: &std::net::TcpListener| -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()).parse().unwrap()
    };
    let (at_a, at_b) = (address(&one), address(&two));
    drop((one, two));
    let (mut a, mut b) = (knowing(config(1, 10), &at_b), knowing(config(1, 11), &at_a));
    a.listen = vec![at_a];
    b.listen = vec![at_b];
    let (mut a, mut b) = (Node::start(a), Node::start(b));
    both_connected(&mut a, &mut b).await;
    for number in 0..100_u8 {
        a.send(b.id, &[number]);
        b.send(a.id, &[number]);
        let (at_b, at_a) = tokio::join!(b.frame(), a.frame());
        assert_eq!((at_b.1, at_a.1), (vec![number], vec![number]));
    }
    assert_eq!((a.connects, b.connects), (1, 1));
    a.subscribe("fedp2p/1/topic");
    b.subscribe("fedp2p/1/topic");
    gossip_arrives(&mut a, &mut b, "fedp2p/1/topic").await;
    gossip_arrives(&mut b, &mut a, "fedp2p/1/topic").await;
}

#[tokio::test]
async fn a_peer_that_restarts_on_the_same_port_is_connected_again() {
    let mut a = Node::start(config(1, 10));
    let at_a = a.listening().await;
    let mut b = Node::start(knowing(config(1, 11), &at_a));
    both_connected(&mut a, &mut b).await;
    a.shut_down().await;
    b.disconnected().await;
    let mut again = config(1, 10);
    again.listen = vec![at_a];
    let mut a = Node::start(again);
    both_connected(&mut a, &mut b).await;
    b.send(a.id, b"hello again");
    assert_eq!(a.frame().await.1, b"hello again");
}

#[tokio::test]
async fn a_remembered_member_is_dialled() {
    let mut a = Node::start(config(1, 10));
    let mut remembering = config(1, 11);
    remembering.remembered = vec![(a.id, vec![a.listening().await.to_string()])];
    let mut b = Node::start(remembering);
    both_connected(&mut a, &mut b).await;
}

#[tokio::test]
async fn an_address_at_which_somebody_else_answers_now_does_not_keep_two_apart() {
    let (mut a, mut other) = (Node::start(config(1, 10)), Node::start(config(2, 12)));
    let (at_a, elsewhere) = (a.listening().await, other.listening().await);
    let mut remembering = config(1, 11);
    remembering.remembered = vec![(a.id, vec![elsewhere.to_string(), at_a.to_string()])];
    let mut b = Node::start(remembering);
    both_connected(&mut a, &mut b).await;
}

#[tokio::test]
async fn members_connect_over_quic() {
    let mut over_quic = config(1, 10);
    over_quic.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    let mut a = Node::start(over_quic);
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    both_connected(&mut a, &mut b).await;
    a.send(b.id, b"over quic");
    assert_eq!(b.frame().await.1, b"over quic");
    a.subscribe("fedp2p/1/topic");
    b.subscribe("fedp2p/1/topic");
    gossip_arrives(&mut a, &mut b, "fedp2p/1/topic").await;
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_an_old_one_but_not_of_the_session() {
    // The end with the smaller id opens the stream of the session.
    let mut seeds = [10, 11];
    seeds.sort_by_key(|seed| NodeKey::from_seed([*seed; 32]).id());
    let mut b = Rogue::new(seeds[0]);
    let mut a = Node::start(config(1, seeds[1]));
    let at_a = a.listening().await;
    let (id, heard) = (a.id, tokio::spawn(async move { a.frame().await }));
    let (peer, first) = b.greet(1, id, &at_a).await;
    let mut session = b.open(peer, first, Kind::Sync).await.unwrap();
    // As after a cut: those that were dialled before are never closed by the end that dialled them.
    let mut last = first;
    for _ in 0..12 {
        last = b.greet(1, id, &at_a).await.1;
        assert!(b.swarm.connected_peers().any(|connected| *connected == peer));
    }
    assert_ne!(first, last);
    b.with(frames::write(&mut session, b"still there")).await.unwrap();
    let heard = b.with(heard).await.unwrap();
    assert_eq!(heard, (b.id, b"still there".to_vec()));
}

#[tokio::test]
async fn a_node_without_a_network_to_search_still_works() {
    let mut searching = config(1, 10);
    searching.mdns = true;
    let mut a = Node::start(searching);
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    both_connected(&mut a, &mut b).await;
}

#[tokio::test]
async fn a_node_that_is_disconnected_is_gone_at_both_ends() {
    let mut a = Node::start(config(1, 10));
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    both_connected(&mut a, &mut b).await;
    let reason = "it is the test's wish".to_owned();
    b.net.send(Command::Disconnect { peer: a.id, reason }).unwrap();
    let (at_a, at_b) = tokio::join!(a.disconnected(), b.disconnected());
    assert_eq!((at_a, at_b), (b.id, a.id));
}

#[tokio::test]
async fn frames_sent_to_nobody_are_counted() {
    let a = Node::start(config(1, 10));
    let stranger = fedp2p_protocols::op::NodeKey::from_seed([99; 32]).id();
    a.send(stranger, b"anybody there");
    let (told, done) = tokio::sync::oneshot::channel();
    a.net.send(Command::Shutdown(told)).unwrap();
    done.await.unwrap();
    assert_eq!(a.net.counters().frames_unsent(), 1);
}

#[tokio::test]
async fn a_loop_that_does_not_keep_up_slows_its_peer_down_and_loses_no_frame() {
    const FRAMES: u32 = 1500;
    let mut a = Node::start(config(1, 10));
    let mut b = Node::start(knowing(config(1, 11), &a.listening().await));
    both_connected(&mut a, &mut b).await;
    // More than the queue of events holds and fewer than the session's queue and the buffers on the way.
    for number in 0..FRAMES {
        b.send(a.id, &number.to_be_bytes());
        if number % 500 == 499 {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..FRAMES {
        assert_eq!(a.frame().await.1, number.to_be_bytes());
    }
}
