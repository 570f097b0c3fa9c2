//! Joining: the handshake with a ticket, and its ends.

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::joining::{Answer, Turned};
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::ticket::Ticket;
use libp2p::Multiaddr;

use super::super::{Command, Event, JoinFailure, Joined, join};
use super::peers::{Node, chain, config, organisation};

const SECRET: [u8; 32] = [5; 32];
const JOINER: [u8; 32] = [20; 32];

fn ticket(inviter: NodeId, address: &Multiaddr) -> Ticket {
    Ticket {
        organisation: organisation(1),
        organisation_name: "acme".parse().unwrap(),
        issuer: inviter,
        secret: SECRET,
        expires: u64::MAX,
        // The first leads nowhere: the port is closed.
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned(), address.to_string()],
    }
}

/// Invites with `secret` and gives every joiner the same answer.
async fn inviter(mut node: Node, secret: Option<[u8; 32]>, answer: Answer) {
    loop {
        match node.event().await {
            Event::TicketShown { exchange, .. } => {
                node.net.send(Command::TicketSecret(exchange, secret)).unwrap();
            }
            Event::JoinRequested { exchange, peer, request, .. } => {
                assert_eq!(request.name.as_str(), "baby");
                assert_eq!(peer, NodeKey::from_seed(JOINER).id());
                node.net.send(Command::JoinAnswer(exchange, Box::new(answer.clone()))).unwrap();
            }
            _ => {}
        }
    }
}

async fn joins(secret: Option<[u8; 32]>, answer: Answer) -> Result<Joined, JoinFailure> {
    let mut node = Node::start(config(1, 10));
    let address = node.listening().await;
    let ticket = ticket(node.id, &address);
    let inviting = tokio::spawn(inviter(node, secret, answer));
    let joined = join(JOINER, &ticket, "baby".parse().unwrap()).await;
    if let Ok(joined) = &joined {
        assert_eq!(joined.address, address);
    }
    inviting.abort();
    joined
}

fn admitted(number: u8) -> Answer {
    Answer::Admitted {
        chain: chain(number, NodeKey::from_seed(JOINER).id()),
        inviter: chain(1, NodeKey::from_seed([10; 32]).id()),
    }
}

#[tokio::test]
async fn a_holder_of_a_ticket_becomes_a_member() {
    let joined = joins(Some(SECRET), admitted(1)).await.unwrap();
    assert_eq!(joined.chain.subject(), NodeKey::from_seed(JOINER).id());
    assert_eq!(joined.inviter.subject(), NodeKey::from_seed([10; 32]).id());
}

#[tokio::test]
async fn every_reason_to_be_turned_away_is_told() {
    let turned = |reason| joins(Some(SECRET), Answer::Turned(reason));
    assert!(matches!(turned(Turned::Expired).await, Err(JoinFailure::Expired)));
    assert!(matches!(turned(Turned::Used).await, Err(JoinFailure::Used)));
    assert!(matches!(turned(Turned::Unable).await, Err(JoinFailure::Unable)));
    let free: fedp2p_protocols::name::NodeName = "baby-2".parse().unwrap();
    let failure = turned(Turned::NameTaken { free: free.clone() }).await;
    assert!(matches!(failure, Err(JoinFailure::NameTaken { free: found }) if found == free));
}

#[tokio::test]
async fn an_inviter_that_does_not_know_the_ticket_says_nothing() {
    assert!(matches!(joins(None, admitted(1)).await, Err(JoinFailure::Unknown)));
}

#[tokio::test]
async fn an_inviter_with_another_secret_learns_and_gives_nothing() {
    assert!(matches!(joins(Some([6; 32]), admitted(1)).await, Err(JoinFailure::Protocol(_))));
}

#[tokio::test]
async fn a_certificate_of_another_organisation_is_not_taken() {
    assert!(matches!(joins(Some(SECRET), admitted(2)).await, Err(JoinFailure::Protocol(_))));
}

#[tokio::test]
async fn an_inviter_that_is_not_there_is_named_with_every_address() {
    let nobody = NodeKey::from_seed([10; 32]).id();
    let ticket = ticket(nobody, &"/ip4/127.0.0.1/tcp/2".parse().unwrap());
    let failure = join(JOINER, &ticket, "baby".parse().unwrap()).await.unwrap_err();
    let JoinFailure::Unreachable { tried } = failure else {
        panic!("{failure}");
    };
    let addresses: Vec<&str> = tried.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!(addresses, ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]);
}

#[tokio::test]
async fn another_node_at_the_inviters_address_is_not_shown_the_ticket() {
    let mut other = Node::start(config(1, 11));
    let address = other.listening().await;
    let ticket = ticket(NodeKey::from_seed([10; 32]).id(), &address);
    let failure = join(JOINER, &ticket, "baby".parse().unwrap()).await.unwrap_err();
    assert!(matches!(failure, JoinFailure::Unreachable { .. }), "{failure}");
}

#[tokio::test]
async fn a_ticket_without_a_usable_address_is_unreachable_at_once() {
    let mut ticket = ticket(NodeKey::from_seed([10; 32]).id(), &"/ip4/127.0.0.1/tcp/2".parse().unwrap());
    ticket.addresses = vec!["nonsense".to_owned()];
    let failure = join(JOINER, &ticket, "baby".parse().unwrap()).await.unwrap_err();
    assert!(matches!(failure, JoinFailure::Unreachable { .. }), "{failure}");
}
