//! Which claims hold, which give way to which, and what a node may promise.

use std::collections::BTreeMap;

use fedp2p_crdt::claim::{Claims, State, claims};
use fedp2p_crdt::content::Content;
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::claim::{Acknowledgement, Claim, Confirmation, End, Ended, Fence, Mode, Replaced, Resource};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_COUNTER_LEAP;

use crate::edits::{agent, node};

/// What five nodes say.
#[derive(Default)]
struct Mesh(BTreeMap<NodeId, Content>);

fn files(globs: &[&str]) -> Resource {
    let globs = globs.iter().map(|glob| glob.parse().unwrap()).collect();
    Resource::Files { repository: "fedp2p".parse().unwrap(), globs }
}

pub(crate) fn claim(glob: &str) -> Claim {
    Claim {
        resource: files(&[glob]),
        by: agent("coder"),
        mode: Mode::Exclusive,
        ttl_s: 60,
        why: None,
        salt: 7,
        replaces: Vec::new(),
        taken: 1,
        renewals: 0,
        renewed: 1,
        confirmed: None,
        ended: None,
    }
}

fn fence(counter: u64, at: u8) -> Fence {
    Fence { counter, node: node(at) }
}

fn over(older: Fence, renewals: u32) -> Vec<Replaced> {
    vec![Replaced { fence: older, renewals }]
}

impl Mesh {
    fn claim(&mut self, fence: Fence, claim: Claim) {
        self.0.entry(fence.node).or_default().claims.insert(fence.counter, claim);
    }

    fn of(&mut self, fence: Fence) -> &mut Claim {
        self.0.get_mut(&fence.node).unwrap().claims.get_mut(&fence.counter).unwrap()
    }

    fn acknowledge(&mut self, fence: Fence, by: &[u8]) {
        let hash = self.of(fence).hash();
        for &at in by {
            let acknowledged = &mut self.0.entry(node(at)).or_default().acknowledged;
            acknowledged.insert(fence, Acknowledgement { claim: hash, at: 1 });
        }
    }

    /// Confirms a claim with these acknowledgements, of five members.
    fn confirm(&mut self, fence: Fence, by: &[u8]) {
        self.acknowledge(fence, by);
        self.of(fence).confirmed = Some(Confirmation { acknowledged: by.len() as u32, members: 5, at: 1 });
    }

    fn claims(&self) -> Claims<'_> {
        claims(&Picture::of(self.0.iter().map(|(&node, content)| (node, content))))
    }

    fn state(&self, fence: Fence) -> State {
        self.claims().get(&fence).unwrap().state
    }

    fn may(&self, at: u8, fence: Fence, run_out: bool) -> bool {
        self.claims().may_acknowledge(&node(at), &fence, |_| run_out)
    }
}

#[test]
fn a_claim_is_confirmed_once_its_node_says_so_and_it_is_borne_out() {
    let mut mesh = Mesh::default();
    let one = fence(1, 1);
    mesh.claim(one, claim("src"));
    mesh.acknowledge(one, &[1, 2]);
    assert_eq!(mesh.state(one), State::Tentative);
    mesh.of(one).confirmed = Some(Confirmation { acknowledged: 3, members: 5, at: 1 });
    assert_eq!(mesh.state(one), State::Tentative, "two acknowledge it, not three");
    mesh.acknowledge(one, &[3]);
    assert_eq!(mesh.state(one), State::Confirmed);
    // Acknowledgements are for what they were given for.
    mesh.of(one).resource = files(&["**/*.rs"]);
    assert_eq!(mesh.state(one), State::Tentative);
}

#[test]
fn of_two_made_at_once_the_lower_number_holds() {
    let mut mesh = Mesh::default();
    let (low, high) = (fence(1, 1), fence(1, 2));
    mesh.claim(low, claim("src/*.rs"));
    mesh.claim(high, claim("src/a*"));
    assert_eq!(mesh.state(low), State::Tentative);
    assert_eq!(mesh.state(high), State::Lost { to: low });
    assert!(mesh.may(3, low, false) && !mesh.may(3, high, false));
    // Who promised the other first must wait until that gives way.
    mesh.acknowledge(high, &[3]);
    assert!(!mesh.may(3, low, false) && mesh.may(4, low, false));
    mesh.of(high).ended = Some(Ended { cause: End::Lost, to: Some(low), at: 1 });
    assert!(mesh.may(3, low, false));
    assert_eq!(mesh.claims().next_counter(), 2);
}

#[test]
fn what_is_confirmed_holds_against_what_is_not_and_more_against_fewer() {
    let mut mesh = Mesh::default();
    let (two, one, none) = (fence(9, 3), fence(8, 2), fence(1, 1));
    for fence in [two, one, none] {
        mesh.claim(fence, claim("src"));
    }
    mesh.confirm(one, &[2]);
    assert_eq!(mesh.state(none), State::Lost { to: one });
    mesh.confirm(two, &[3, 4]);
    assert_eq!(mesh.state(one), State::Lost { to: two });
    assert_eq!(mesh.state(two), State::Confirmed);
}

#[test]
fn sharers_keep_out_only_who_would_be_alone() {
    let mut mesh = Mesh::default();
    let shared = Claim { mode: Mode::Shared, ..claim("**") };
    let (one, two, three) = (fence(1, 1), fence(2, 2), fence(3, 3));
    mesh.claim(one, shared.clone());
    mesh.claim(two, shared);
    mesh.claim(three, claim("src/a.rs"));
    assert_eq!(mesh.state(one), State::Tentative);
    assert_eq!(mesh.state(two), State::Tentative);
    assert_eq!(mesh.state(three), State::Lost { to: one });
    assert_eq!(mesh.claims().live_on(&files(&["docs"])).len(), 2);
}

#[test]
fn a_lease_that_ran_out_is_taken_over_by_most_members_for_good() {
    let mut mesh = Mesh::default();
    let (old, new) = (fence(1, 1), fence(2, 2));
    mesh.claim(old, claim("src"));
    mesh.confirm(old, &[1, 2, 3]);
    mesh.claim(new, Claim { replaces: over(old, 0), ..claim("src/a") });
    // Until it is confirmed, both are there; only who saw the lease run out acknowledges the new one.
    assert_eq!((mesh.state(old), mesh.state(new)), (State::Confirmed, State::Tentative));
    assert!(mesh.may(3, new, true) && !mesh.may(3, new, false));
    mesh.confirm(new, &[2, 3, 4]);
    assert_eq!((mesh.state(old), mesh.state(new)), (State::Lost { to: new }, State::Confirmed));
    // That the old holder goes on renewing where it was cut off changes nothing any more.
    mesh.of(old).renewals = 5;
    assert_eq!(mesh.state(old), State::Lost { to: new });
    mesh.of(new).ended = Some(Ended { cause: End::Released, to: None, at: 1 });
    assert_eq!(mesh.state(old), State::Lost { to: new });
}

#[test]
fn who_was_taken_over_in_a_part_only_holds_on_if_it_was_renewed() {
    let mut mesh = Mesh::default();
    let (old, new) = (fence(1, 1), fence(2, 5));
    mesh.claim(old, claim("src"));
    mesh.confirm(old, &[1, 2, 3]);
    mesh.claim(new, Claim { replaces: over(old, 3), ..claim("src") });
    mesh.of(old).renewals = 3;
    mesh.confirm(new, &[4, 5]);
    assert_eq!((mesh.state(old), mesh.state(new)), (State::Lost { to: new }, State::Confirmed));
    mesh.of(old).renewals = 4;
    assert_eq!((mesh.state(old), mesh.state(new)), (State::Confirmed, State::Lost { to: old }));
}

#[test]
fn nobody_promises_against_what_was_confirmed_without_it() {
    let mut mesh = Mesh::default();
    let (held, new) = (fence(5, 1), fence(1, 2));
    mesh.claim(held, claim("src"));
    mesh.claim(new, claim("src"));
    assert!(mesh.may(4, new, false));
    mesh.confirm(held, &[1, 2, 3]);
    assert!(!mesh.may(4, new, true));
}

#[test]
fn one_agent_may_widen_what_it_holds() {
    let mut mesh = Mesh::default();
    let (narrow, wide) = (fence(1, 1), fence(2, 1));
    mesh.claim(narrow, claim("src/a.rs"));
    mesh.confirm(narrow, &[1, 2, 3]);
    mesh.claim(wide, claim("src"));
    assert_eq!(mesh.state(wide), State::Tentative);
    assert!(mesh.may(2, wide, false));
}

#[test]
fn numbers_cannot_be_used_up() {
    let mut mesh = Mesh::default();
    let (one, far) = (fence(1, 1), fence(2 + MAX_COUNTER_LEAP, 2));
    mesh.claim(one, claim("src"));
    mesh.claim(far, claim("docs"));
    assert!(mesh.claims().get(&far).is_none());
    assert_eq!(mesh.claims().next_counter(), 2);
    mesh.claim(fence(2, 3), claim("docs"));
    assert!(mesh.claims().get(&far).is_some());
}

#[test]
fn a_number_that_most_members_have_seen_stands_when_those_below_it_are_taken_away() {
    let mut mesh = Mesh::default();
    let (far, next) = (fence(MAX_COUNTER_LEAP, 1), fence(1 + MAX_COUNTER_LEAP, 2));
    mesh.claim(far, claim("docs"));
    mesh.claim(next, claim("src"));
    mesh.acknowledge(next, &[2, 3]);
    mesh.0.get_mut(&node(1)).unwrap().claims.clear();
    assert_eq!(mesh.state(next), State::Tentative);
    assert_eq!(mesh.claims().next_counter(), next.counter + 1);
    // One for another is not enough: two that break the rules would use up the numbers.
    mesh.0.get_mut(&node(3)).unwrap().acknowledged.clear();
    assert!(mesh.claims().get(&next).is_none());
}

#[test]
fn there_are_as_many_members_as_say_anything_whatever_a_claim_says() {
    let mut mesh = Mesh::default();
    let (held, alone) = (fence(1, 1), fence(2, 4));
    mesh.claim(held, claim("src"));
    mesh.confirm(held, &[1, 2, 3]);
    mesh.claim(alone, claim("src"));
    mesh.confirm(alone, &[4]);
    mesh.of(alone).confirmed.as_mut().unwrap().members = 1;
    assert_eq!((mesh.state(held), mesh.state(alone)), (State::Confirmed, State::Lost { to: held }));
}

#[test]
fn nobody_is_taken_over_by_naming_more_renewals_than_there_were() {
    let mut mesh = Mesh::default();
    let (old, new) = (fence(1, 1), fence(2, 5));
    mesh.claim(old, claim("src"));
    mesh.confirm(old, &[1, 2, 3]);
    mesh.claim(new, Claim { replaces: over(old, u32::MAX), ..claim("src") });
    mesh.confirm(new, &[4, 5]);
    assert_eq!((mesh.state(old), mesh.state(new)), (State::Confirmed, State::Lost { to: old }));
}

#[test]
fn who_takes_over_the_newest_claim_of_an_agent_takes_over_all_that_it_has_on_the_same() {
    let mut mesh = Mesh::default();
    let olds: Vec<Fence> = (1..=20).map(|counter| fence(counter, 1)).collect();
    for (at, old) in olds.iter().enumerate() {
        mesh.claim(*old, Claim { ttl_s: 60 + at as u32, salt: at as u64, ..claim("src") });
        mesh.confirm(*old, &[1, 2, 3]);
    }
    let wish = Claim { by: agent("tester"), ..claim("src/a.rs") };
    let in_the_way =
        |mesh: &Mesh| mesh.claims().in_the_way(node(2), &wish).map(|claim| claim.fence).collect::<Vec<_>>();
    assert_eq!(in_the_way(&mesh), [fence(20, 1)]);
    let new = fence(21, 2);
    mesh.claim(new, Claim { replaces: over(fence(20, 1), 0), ..wish.clone() });
    assert!(mesh.may(3, new, true) && !mesh.may(3, new, false));
    mesh.of(fence(20, 1)).renewals = 1;
    assert!(!mesh.may(3, new, true), "the newest was renewed since");
    mesh.of(fence(20, 1)).renewals = 0;
    mesh.confirm(new, &[2, 3, 4]);
    assert!(olds.iter().all(|old| mesh.state(*old) == State::Lost { to: new }));
    assert_eq!(mesh.state(new), State::Confirmed);
    assert_eq!(mesh.claims().in_the_way(node(3), &claim("src")).map(|claim| claim.fence).collect::<Vec<_>>(), [new]);
}
