//! What is compared with what changes nothing in what is decided, and stays little whatever members claim.

use fedp2p_protocols::claim::{Acknowledgement, Ended};
use fedp2p_protocols::task::TaskKey;

use super::*;
use crate::content::Content;

const NODES: u8 = 4;
const PATTERNS: [&str; 12] =
    ["src", "src/a", "src/a/b", "src/*.rs", "src/a?", "docs", "docs/**", "*", "**/x", "?rc/a", "d*", "README.md"];

/// Numbers that seem random, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    /// One below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn fence(&mut self) -> Fence {
        Fence { counter: 1 + self.below(30), node: node(1 + self.below(NODES.into()) as u8) }
    }

    fn resource(&mut self) -> Resource {
        if self.one_in(6) {
            let id = ["one", "two"][self.below(2) as usize].parse().unwrap();
            return Resource::Task(TaskKey { node: node(1), id });
        }
        let count = 1 + self.below(3);
        let patterns: Vec<&str> = (0..count).map(|_| PATTERNS[self.below(12) as usize]).collect();
        files(["ours", "theirs"][usize::from(self.one_in(5))], &patterns)
    }

    fn claim(&mut self) -> Claim {
        let replaced = |numbers: &mut Self| Replaced { fence: numbers.fence(), renewals: numbers.below(2) as u32 };
        let confirmed = Confirmation { acknowledged: self.below(4) as u32, members: NODES.into(), at: 1 };
        let ended = Ended { cause: End::Released, to: None, at: 1 };
        Claim {
            resource: self.resource(),
            by: ["coder", "tester"][self.below(2) as usize].parse().unwrap(),
            mode: if self.one_in(3) { Mode::Shared } else { Mode::Exclusive },
            replaces: if self.one_in(4) { vec![replaced(self)] } else { Vec::new() },
            renewals: self.below(2) as u32,
            confirmed: self.one_in(2).then_some(confirmed),
            ended: self.one_in(5).then_some(ended),
            ..claim(files("ours", &["src"]))
        }
    }
}

fn node(at: u8) -> NodeId {
    NodeId::from_bytes([at; 32])
}

fn files<T: AsRef<str>>(repository: &str, globs: &[T]) -> Resource {
    let globs = globs.iter().map(|glob| glob.as_ref().parse().unwrap()).collect();
    Resource::Files { repository: repository.parse().unwrap(), globs }
}

fn claim(resource: Resource) -> Claim {
    Claim {
        resource,
        by: "coder".parse().unwrap(),
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

/// What some nodes say that claim and acknowledge at random.
fn random(seed: u64) -> BTreeMap<NodeId, Content> {
    let mut numbers = Numbers(seed);
    let mut contents: BTreeMap<NodeId, Content> = (1..=NODES).map(|at| (node(at), Content::default())).collect();
    for _ in 0..40 {
        let (fence, claim) = (numbers.fence(), numbers.claim());
        for content in contents.values_mut() {
            if numbers.one_in(2) {
                content.acknowledged.insert(fence, Acknowledgement { claim: claim.hash(), at: 1 });
            }
        }
        contents.get_mut(&fence.node).unwrap().claims.insert(fence.counter, claim);
    }
    contents
}

fn picture(contents: &BTreeMap<NodeId, Content>) -> Picture<'_> {
    Picture::of(contents.iter().map(|(&node, content)| (node, content)))
}

/// Everything before it is decided which claims hold.
fn undecided<'a>(picture: &Picture<'a>) -> Claims<'a> {
    let mut claims = gather(picture);
    claims.acknowledge(picture);
    claims.leave_out_leaps();
    let older = claims.find_newest();
    claims.bury(&older);
    claims
}

/// Which claims hold, each being compared with all.
fn decide_plainly(claims: &mut Claims<'_>) {
    let mut live: Vec<Standing<'_>> = claims.iter().filter(|claim| claim.is_live()).cloned().collect();
    live.sort_by_key(|claim| claim.rank());
    let mut hold: Vec<Standing<'_>> = Vec::new();
    for claim in live {
        let wins =
            |held: &&Standing<'_>| held.excludes(&claim) && !(claim.confirmation().is_none() && claim.takes_over(held));
        let state = match hold.iter().find(wins) {
            Some(winner) => State::Lost { to: winner.fence },
            None if claim.confirmation().is_some() => State::Confirmed,
            None => State::Tentative,
        };
        claims.standings.get_mut(&claim.fence).unwrap().state = state;
        if !matches!(state, State::Lost { .. }) {
            hold.push(claim);
        }
    }
}

#[test]
fn the_outcome_is_as_if_each_claim_had_been_compared_with_all() {
    let mut lost = 0;
    for seed in 0..300 {
        let contents = random(seed);
        let picture = picture(&contents);
        let claims = claims(&picture);
        let mut plain = undecided(&picture);
        decide_plainly(&mut plain);
        assert_eq!(claims.standings, plain.standings, "seed {seed}");
        assert_eq!(claims.outcome().of(&picture), claims, "seed {seed}");
        lost += claims.iter().filter(|claim| matches!(claim.state, State::Lost { .. })).count();
        let wish = Numbers(seed).claim();
        let mut live: Vec<&Standing<'_>> = claims.iter().collect();
        live.retain(|other| other.is_live() && other.claim.resource.overlaps(&wish.resource));
        live.sort_by_key(|standing| standing.rank());
        assert_eq!(claims.live_on(&wish.resource), live, "seed {seed}");
        let in_the_way = |other: &&Standing<'_>| {
            let own = other.fence.node == node(1) && other.claim.by == wish.by;
            other.is_open() && other.is_newest() && !own && other.claim.excludes(&wish)
        };
        let found: Vec<Fence> = claims.in_the_way(node(1), &wish).map(|other| other.fence).collect();
        let all: Vec<Fence> = claims.iter().filter(in_the_way).map(|other| other.fence).collect();
        assert_eq!(found, all, "seed {seed}");
    }
    assert!(lost > 1_000, "{lost} have lost: too few to tell");
}

/// What two members say of whom each has so many claims on eight patterns, made of a number that is given once only.
fn two_members(claims: u64, pattern: impl Fn(u64) -> String) -> BTreeMap<NodeId, Content> {
    let mut contents: BTreeMap<NodeId, Content> = BTreeMap::new();
    for at in 1..=2 {
        for counter in 1..=claims {
            let number = |of: u64| (u64::from(at) * claims + counter) * 8 + of;
            let globs: Vec<String> = (0..8).map(|of| pattern(number(of))).collect();
            let by = format!("agent-{counter}").parse().unwrap();
            let claim = Claim { by, ..claim(files("ours", &globs)) };
            contents.entry(node(at)).or_default().claims.insert(counter, claim);
        }
    }
    contents
}

/// How often a pattern may be compared with one of another claim to decide which claims hold.
fn comparisons(contents: &BTreeMap<NodeId, Content>) -> usize {
    let mut compared = 0;
    undecided(&picture(contents)).settle(|held, claim| {
        compared += held.claim.resource.count_globs().0 * claim.claim.resource.count_globs().0;
        held.excludes(claim)
    });
    compared
}

#[test]
fn what_is_compared_is_bounded_whatever_two_members_claim() {
    let any = "?".repeat(57);
    let wild = comparisons(&two_members(256, |number| format!("{any}{number}")));
    assert!((1..=(2 * MAX_CLAIMED_WILDCARDS).pow(2) / 2).contains(&wild), "{wild}");
    let one_folder = comparisons(&two_members(256, |number| format!("src/{number}")));
    assert!((1..=(2 * MAX_CLAIMED_GLOBS).pow(2) / 2).contains(&one_folder), "{one_folder}");
    assert_eq!(comparisons(&two_members(256, |number| format!("{number}/src"))), 0);
}

#[test]
fn of_too_many_patterns_only_the_first_claims_count() {
    let mut contents = two_members(9, |number| format!("{number}*"));
    contents.entry(node(3)).or_default().claims.insert(1, claim(files("ours", &["9*"])));
    let numbers = |contents: &BTreeMap<NodeId, Content>| -> Vec<u64> {
        let claims = claims(&picture(contents));
        claims.iter().filter(|claim| claim.fence.node == node(1)).map(|claim| claim.fence.counter).collect()
    };
    assert_eq!(numbers(&contents), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(claims(&picture(&contents)).get(&Fence { counter: 1, node: node(3) }).is_some());
    let first = contents.get_mut(&node(1)).unwrap().claims.get_mut(&1).unwrap();
    first.ended = Some(Ended { cause: End::Released, to: None, at: 1 });
    assert_eq!(numbers(&contents), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(claims(&picture(&two_members(65, |number| format!("{number}")))).iter().count(), 2 * 64);
}
