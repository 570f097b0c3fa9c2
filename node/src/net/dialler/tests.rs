//! The dialler without a network.

use super::*;

fn address(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

fn dialler() -> (Dialler, Instant) {
    let now = Instant::now();
    (Dialler::new(PeerId::random(), 1, now), now)
}

/// Lets every dial go unanswered for `timeout` over so much time; returns when each began.
fn unanswered(dialler: &mut Dialler, from: Instant, time: Duration, timeout: Duration) -> Vec<Instant> {
    let (mut now, mut begun, mut pending) = (from, Vec::new(), std::collections::VecDeque::new());
    loop {
        while let Some(dial) = dialler.next(now) {
            begun.push(now);
            pending.push_back((now + timeout, dial.connection_id()));
        }
        let ends = pending.front().map(|(at, _)| *at);
        now = dialler.deadline(now).into_iter().chain(ends).min().unwrap();
        if now > from + time {
            pending.into_iter().for_each(|(_, dial)| dialler.failed(dial, now));
            return begun;
        }
        while let Some((_, dial)) = pending.pop_front_if(|(at, _)| *at <= now) {
            dialler.failed(dial, now);
        }
    }
}

fn longest_gap(begun: &[Instant]) -> Duration {
    begun.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

fn member(dialler: &mut Dialler, port: u16, now: Instant) -> PeerId {
    let peer = PeerId::random();
    dialler.learn(peer, vec![address(port)], Standing::Member, now);
    peer
}

fn connect(dialler: &mut Dialler, peer: PeerId, now: Instant) {
    dialler.connected(ConnectionId::new_unchecked(usize::MAX), peer, &address(1), now);
    dialler.admitted(&peer, now);
}

#[test]
fn a_lost_member_is_tried_twice_a_second_for_a_day_and_then_seldom_but_for_ever() {
    let (mut dialler, now) = dialler();
    member(&mut dialler, 1, now);
    let begun = unanswered(&mut dialler, now, Duration::from_secs(3600), Duration::from_secs(2));
    assert!(longest_gap(&begun) <= Duration::from_millis(600), "{:?}", longest_gap(&begun));
    let later = now + LONG_LOST;
    let begun = unanswered(&mut dialler, later, Duration::from_secs(3600), Duration::from_secs(2));
    assert!((80..200).contains(&begun.len()), "{}", begun.len());
}

#[test]
fn a_member_that_was_away_for_days_is_tried_often_again_once_it_is_heard_of() {
    let (mut dialler, now) = dialler();
    let peer = member(&mut dialler, 1, now);
    let later = now + LONG_LOST * 2;
    unanswered(&mut dialler, later, Duration::from_secs(60), Duration::ZERO);
    let heard = later + Duration::from_secs(61);
    dialler.learn(peer, vec![address(1)], Standing::Hint, heard);
    let begun = unanswered(&mut dialler, heard, Duration::from_secs(60), Duration::ZERO);
    assert!(begun[0] == heard && longest_gap(&begun) <= Duration::from_millis(600));
}

#[test]
fn many_lost_members_share_the_pace_and_none_is_forgotten() {
    let (mut dialler, now) = dialler();
    let peers: Vec<PeerId> = (1..=200).map(|port| member(&mut dialler, port, now)).collect();
    let minute = Duration::from_secs(60);
    unanswered(&mut dialler, now, minute, Duration::from_secs(2));
    let later = now + minute;
    let begun = unanswered(&mut dialler, later, minute, Duration::from_secs(2));
    let pace = minute.as_millis() / PACE.as_millis();
    assert!((begun.len() as u128) <= pace + BURST.as_millis() / PACE.as_millis(), "{}", begun.len());
    assert!((begun.len() as u128) > pace * 9 / 10, "{}", begun.len());
    let attempts: Vec<u32> = peers.iter().map(|peer| dialler.targets[peer].attempts).collect();
    assert!(attempts.iter().max().unwrap() - attempts.iter().min().unwrap() <= 2, "{attempts:?}");
}

#[test]
fn when_one_member_is_back_all_others_are_due_at_once() {
    let (mut dialler, now) = dialler();
    let peers: Vec<PeerId> = (1..=50).map(|port| member(&mut dialler, port, now)).collect();
    let hour = Duration::from_secs(3600);
    unanswered(&mut dialler, now, hour, Duration::ZERO);
    let back = now + hour;
    connect(&mut dialler, peers[7], back);
    let dialled = std::iter::from_fn(|| dialler.next(back)).count();
    assert_eq!(dialled, 49);
}

#[test]
fn a_member_that_answers_and_refuses_is_left_alone_ever_longer() {
    let (mut dialler, mut now) = dialler();
    let peer = member(&mut dialler, 1, now);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let dial = dialler.next(now).unwrap();
        dialler.connected(dial.connection_id(), peer, &address(1), now);
        dialler.disconnected(&peer, now);
        let due = dialler.deadline(now).unwrap();
        waits.push(due - now);
        now = due;
    }
    assert!(waits[0] <= Duration::from_millis(300) && waits[0] >= Duration::from_millis(200));
    assert!(waits[19] <= Duration::from_secs(10) && waits[19] >= Duration::from_secs(6));
}

#[test]
fn a_connection_in_doubt_is_tried_anew_beside_it_until_it_is_not() {
    let (mut dialler, now) = dialler();
    let peer = member(&mut dialler, 1, now);
    connect(&mut dialler, peer, now);
    let later = now + Duration::from_secs(60);
    assert!(dialler.next(later).is_none());
    dialler.set_doubt(&peer, true, later);
    let begun = unanswered(&mut dialler, later, Duration::from_secs(10), Duration::from_secs(2));
    assert!(begun[0] == later && longest_gap(&begun) <= Duration::from_millis(600));
    dialler.set_doubt(&peer, false, later + Duration::from_secs(10));
    assert!(dialler.next(later + Duration::from_secs(60)).is_none() && dialler.deadline(later).is_none());
}

#[test]
fn a_connection_whose_hello_hangs_does_not_keep_others_back() {
    let (mut dialler, now) = dialler();
    let peer = member(&mut dialler, 1, now);
    let dial = dialler.next(now).unwrap();
    dialler.connected(dial.connection_id(), peer, &address(1), now);
    assert!(dialler.next(now + GREETING / 2).is_none());
    assert!(dialler.next(now + GREETING).is_some());
}

#[test]
fn quic_is_tried_now_and_then_and_takes_no_turn_of_tcp() {
    let (mut dialler, now) = dialler();
    let peer = member(&mut dialler, 1, now);
    let quic: Multiaddr = "/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap();
    dialler.learn(peer, vec![quic.clone()], Standing::Member, now);
    let (mut tcp, mut others, mut at) = (Vec::new(), 0, now);
    for _ in 0..40 {
        let chosen = dialler.targets[&peer].choose();
        let dial = dialler.next(at).unwrap();
        dialler.failed(dial.connection_id(), at);
        if chosen == [quic.clone()] {
            others += 1
        } else {
            tcp.push(at)
        }
        at = dialler.deadline(at).unwrap();
    }
    assert_eq!(others, 5);
    assert!(longest_gap(&tcp) <= Duration::from_millis(600));
}

#[test]
fn a_connected_peer_is_not_dialled_and_a_lost_one_is_at_once() {
    let (mut dialler, now) = dialler();
    let peer = member(&mut dialler, 1, now);
    connect(&mut dialler, peer, now);
    assert!(dialler.next(now).is_none() && dialler.deadline(now).is_none());
    let later = now + Duration::from_secs(60);
    dialler.disconnected(&peer, later);
    assert!(dialler.deadline(later).unwrap() <= later + Duration::from_millis(200));
}

#[test]
fn strangers_on_the_network_are_dialled_slowly_and_members_are_not_held_up_by_them() {
    let (mut dialler, now) = dialler();
    for port in 1..1000 {
        dialler.learn(PeerId::random(), vec![address(port)], Standing::Hint, now);
    }
    assert_eq!(dialler.targets.len(), MAX_HINTS);
    assert!(dialler.next(now).is_some());
    assert!(dialler.next(now).is_none());
    dialler.learn(PeerId::random(), vec![address(1)], Standing::Member, now);
    assert!(dialler.next(now).is_some());
    assert_eq!(dialler.deadline(now), Some(now + HINT_SPACING));
}

#[test]
fn only_so_many_dials_are_under_way() {
    let (mut dialler, now) = dialler();
    for port in 1..100 {
        dialler.learn(PeerId::random(), vec![address(port)], Standing::Member, now);
    }
    assert_eq!(std::iter::from_fn(|| dialler.next(now)).count(), MAX_DIALS);
    assert_eq!(dialler.deadline(now), None);
}

/// What is due is late by so much for a while, until `now`.
fn busy(dialler: &mut Dialler, late: Duration, now: Instant) {
    (1..=100).rev().for_each(|before| dialler.was_late(late, now - Duration::from_millis(50) * before));
}

#[test]
fn a_node_that_does_not_keep_up_dials_fewer_and_waits_longer_for_each() {
    let (mut dialler, now) = dialler();
    let now = now + Duration::from_secs(60);
    busy(&mut dialler, Duration::from_secs(1), now);
    member(&mut dialler, 1, now);
    dialler.next(now).unwrap();
    let again = dialler.deadline(now).unwrap() - now;
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&again), "{again:?}");
    for port in 2..100 {
        member(&mut dialler, port, now);
    }
    let more = std::iter::from_fn(|| dialler.next(now)).count();
    assert!((2..8).contains(&(1 + more)), "{more}");
    // What nobody answers keeps the others back for some seconds only.
    let later = dialler.deadline(now).unwrap();
    assert!(later > now && later < now + Duration::from_secs(5));
    assert!(dialler.next(later).is_some());
}

#[test]
fn what_kept_a_node_busy_is_soon_forgotten() {
    let (mut dialler, now) = dialler();
    let now = now + Duration::from_secs(60);
    busy(&mut dialler, Duration::from_secs(1), now);
    let later = now + Duration::from_secs(5);
    member(&mut dialler, 1, later);
    let begun = unanswered(&mut dialler, later, Duration::from_secs(60), Duration::from_secs(2));
    assert!(longest_gap(&begun) <= Duration::from_millis(600), "{:?}", longest_gap(&begun));
}

#[test]
fn having_slept_once_is_no_reason_to_dial_less() {
    let (mut dialler, now) = dialler();
    for port in 1..=20 {
        member(&mut dialler, port, now);
    }
    dialler.was_late(Duration::from_secs(3600), now);
    assert!(std::iter::from_fn(|| dialler.next(now)).count() >= 16);
    let later = now + Duration::from_secs(1);
    let begun = unanswered(&mut dialler, later, Duration::from_secs(60), Duration::from_secs(2));
    assert!((begun.len() as u128) > Duration::from_secs(60).as_millis() / PACE.as_millis(), "{}", begun.len());
}

#[test]
fn lost_members_do_not_make_each_other_wait() {
    let (mut dialler, now) = dialler();
    for port in 1..=20 {
        member(&mut dialler, port, now);
    }
    let begun = unanswered(&mut dialler, now, Duration::from_secs(60), Duration::from_secs(2));
    assert!((begun.len() as u128) > Duration::from_secs(60).as_millis() / PACE.as_millis(), "{}", begun.len());
}

#[test]
fn members_that_come_back_together_do_not_each_make_all_others_due() {
    let (mut dialler, now) = dialler();
    let peers: Vec<PeerId> = (1..=20).map(|port| member(&mut dialler, port, now)).collect();
    unanswered(&mut dialler, now, Duration::from_secs(60), Duration::from_secs(2));
    let back = now + Duration::from_secs(60);
    let remote = address(1);
    for peer in &peers[..2] {
        dialler.connected(ConnectionId::new_unchecked(usize::MAX), *peer, &remote, back);
    }
    dialler.admitted(&peers[0], back);
    assert_eq!(std::iter::from_fn(|| dialler.next(back)).count(), 18);
    dialler.admitted(&peers[1], back);
    assert!(dialler.next(back).is_none());
}

#[test]
fn hearsay_does_not_push_out_where_a_member_was_found() {
    let (mut dialler, now) = dialler();
    let peer = PeerId::random();
    dialler.learn(peer, vec![address(1)], Standing::Member, now);
    let false_ones = |from: u16| (from..from + 20).map(address).collect();
    dialler.learn(peer, false_ones(100), Standing::Hint, now);
    dialler.learn(peer, false_ones(200), Standing::Hint, now);
    let known = &dialler.targets[&peer].addresses;
    assert!(known.contains(&address(1)) && known.contains(&address(200)));
    assert_eq!(known.len(), MAX_ADDRESSES);
    dialler.learn(peer, vec![address(2)], Standing::Member, now);
    assert_eq!(dialler.targets[&peer].addresses[0], address(2));
}

#[test]
fn a_banished_peer_is_left_alone_even_if_heard_of_again() {
    let (mut dialler, now) = dialler();
    let peer = PeerId::random();
    dialler.learn(peer, vec![address(1)], Standing::Member, now);
    let until = now + Duration::from_secs(60);
    dialler.banish(&peer, until);
    dialler.disconnected(&peer, now);
    dialler.learn(peer, vec![address(2)], Standing::Local, now);
    assert_eq!(dialler.deadline(now), Some(until));
}
