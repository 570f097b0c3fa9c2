//! Tickets: used once, by one node, in time.

use super::*;
use fedp2p_protocols::joining::{Answer as Joined, Turned};
use fedp2p_protocols::ticket::Ticket;

fn ticket(world: &mut World) -> Ticket {
    world.give(0, Input::Listening(vec!["/ip4/127.0.0.1/tcp/4801".to_owned()]));
    world.ask(0, api::invite::Request::default()).ticket.parse().unwrap()
}

fn join(world: &mut World, node: u8, ticket: &Ticket, name: &str) -> Joined {
    let (exchange, peer) = (Exchange(u64::from(node)), key(node).id());
    let request = joining::Request { name: name.parse().unwrap() };
    world.give(0, Input::JoinRequested { exchange, peer, ticket: ticket.id(), request });
    world.hosts[0].joined.pop().expect("every request to join is answered")
}

#[test]
fn a_ticket_admits_the_node_that_shows_it() {
    let mut world = World::new(1);
    let ticket = ticket(&mut world);
    world.give(0, Input::TicketShown { exchange: Exchange(1), ticket: ticket.id() });
    assert_eq!(world.hosts[0].secrets, [Some(ticket.secret)]);
    let Joined::Admitted { chain, inviter } = join(&mut world, 9, &ticket, "taichi") else { panic!() };
    assert_eq!(Chain::decode(&chain.encode()), Ok(chain.clone()));
    assert_eq!(chain.check(&key(9).id(), &ticket.organisation), Ok(()));
    assert_eq!(inviter.subject(), world.id(0));
    assert_eq!(world.status(0).members, 1);
    world.restart(0);
    assert_eq!(world.status(0).members, 1);
}

#[test]
fn a_used_ticket_admits_nobody_else_and_its_user_again() {
    let mut world = World::new(1);
    let ticket = ticket(&mut world);
    assert!(matches!(join(&mut world, 9, &ticket, "taichi"), Joined::Admitted { .. }));
    assert_eq!(join(&mut world, 10, &ticket, "aorus"), Joined::Turned(Turned::Used));
    world.restart(0);
    assert_eq!(join(&mut world, 10, &ticket, "aorus"), Joined::Turned(Turned::Used));
    assert!(matches!(join(&mut world, 9, &ticket, "taichi"), Joined::Admitted { .. }));
}

#[test]
fn an_expired_ticket_admits_nobody_and_still_says_so() {
    let mut world = World::new(1);
    let ticket = ticket(&mut world);
    world.wait(Duration::from_secs(3601));
    world.give(0, Input::TicketShown { exchange: Exchange(1), ticket: ticket.id() });
    assert_eq!(world.hosts[0].secrets, [Some(ticket.secret)]);
    assert_eq!(join(&mut world, 9, &ticket, "taichi"), Joined::Turned(Turned::Expired));
}

#[test]
fn an_unknown_ticket_opens_nothing() {
    let mut world = World::new(1);
    let unknown = fedp2p_protocols::id::TicketId::of(&[5; 32]);
    world.give(0, Input::TicketShown { exchange: Exchange(1), ticket: unknown });
    assert_eq!(world.hosts[0].secrets, [None]);
    let forged = Ticket { secret: [5; 32], ..ticket(&mut world) };
    assert_eq!(join(&mut world, 9, &forged, "taichi"), Joined::Turned(Turned::Unable));
}

#[test]
fn a_name_that_is_taken_is_answered_with_a_free_one() {
    let mut world = World::new(1);
    let ticket = ticket(&mut world);
    let free = "n0-2".parse().unwrap();
    assert_eq!(join(&mut world, 9, &ticket, "n0"), Joined::Turned(Turned::NameTaken { free }));
    assert!(matches!(join(&mut world, 9, &ticket, "n0-2"), Joined::Admitted { .. }));
}

#[test]
fn nobody_is_admitted_by_what_could_not_be_stored() {
    let mut world = World::new(1);
    let ticket = ticket(&mut world);
    world.hosts[0].disk.full = true;
    assert_eq!(join(&mut world, 9, &ticket, "taichi"), Joined::Turned(Turned::Unable));
    world.hosts[0].disk.full = false;
    assert!(matches!(join(&mut world, 9, &ticket, "taichi"), Joined::Admitted { .. }));
}

#[test]
fn a_member_may_not_invite() {
    let mut world = World::connected(2);
    world.give(1, Input::Listening(vec!["/ip4/127.0.0.1/tcp/4801".to_owned()]));
    refusal(world.call(1, Request::Invite(api::invite::Request::default())), ErrorCode::Forbidden);
}

#[test]
fn certificates_renew_themselves() {
    let mut world = World::connected(2);
    let before = world.status(1).certificate_expires;
    world.skew_ms = 25 * 24 * 3600 * 1000;
    world.wait(Duration::from_secs(700));
    let after = world.status(1).certificate_expires;
    assert!(after > before);
    assert_eq!(world.hosts[1].chain.not_after(), after);
    let Ok(Reply::Peers(peers)) = world.call(0, Request::Peers(api::peers::Request {})) else { panic!() };
    assert_eq!(peers.peers[0].certificate_expires, after);
    world.wait(Duration::from_secs(40));
    world.assert_agreed();
}
