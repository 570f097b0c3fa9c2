//! Counting: from ballots to a result, as a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{Base, Mechanism, Rules};

/// Why there is a winner, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// An option has what it takes.
    Decided,
    /// Nobody has voted.
    #[default]
    Empty,
    /// Several options lead.
    Tie {
        /// They.
        between: Vec<String>,
    },
    /// No option reaches the threshold.
    Short {
        /// What the best one has.
        votes: u32,
        /// What it needs.
        needed: u32,
    },
    /// Too few have voted.
    NoQuorum {
        /// How many have.
        cast: u32,
        /// How many must.
        needed: u32,
    },
    /// The asker took the question back.
    Withdrawn,
    /// An approval that is closed counts answers that nobody gave to just this question.
    Unfounded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided => f.write_str("decided"),
            Self::Empty => f.write_str("no votes"),
            Self::Withdrawn => f.write_str("withdrawn"),
            Self::Unfounded => f.write_str("what the asker counts is not borne out by signed answers"),
            Self::Tie { between } => write!(f, "a tie between {}", between.join(", ")),
            Self::Short { votes, needed } => write!(f, "{votes} of the {needed} votes that an option needs"),
            Self::NoQuorum { cast, needed } => write!(f, "{cast} of the {needed} ballots that the quorum needs"),
        }
    }
}

/// What the ballots say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// The option that wins, or would if nobody else voted.
    pub winner: Option<String>,
    /// Votes for each option; in a ranked vote, first places in the first round.
    pub votes: BTreeMap<String, u32>,
    /// Why there is a winner or not.
    pub outcome: Outcome,
    /// The rounds of a ranked vote: the first places of each option that was still in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<BTreeMap<String, u32>>,
}

/// What is counted: the options, the rules, and how many may vote.
#[derive(Debug, Clone, Copy)]
pub struct Count<'a> {
    /// The options in the asker's order; ballots name them by their place.
    pub options: &'a [String],
    /// The rules.
    pub rules: &'a Rules,
    /// How many may vote.
    pub eligible: u32,
}

/// The choices of one ballot, by their place among the options. In a ranked vote the best comes first.
pub type Choices = Vec<usize>;

impl Count<'_> {
    /// Whether choices can be counted: there is one, or several where that is allowed, each is an option, none comes twice.
    pub fn is_valid(&self, choices: &[usize]) -> bool {
        let most = match self.rules.mechanism {
            Mechanism::Poll | Mechanism::Vote | Mechanism::Signoff => 1,
            Mechanism::Approval | Mechanism::Ranked => self.options.len(),
        };
        let distinct: BTreeSet<&usize> = choices.iter().collect();
        (1..=most).contains(&choices.len())
            && distinct.len() == choices.len()
            && choices.iter().all(|choice| *choice < self.options.len())
    }

    /// Counts the valid ones of `ballots`.
    pub fn tally(&self, ballots: &[Choices]) -> Tally {
        let ballots: Vec<&Choices> = ballots.iter().filter(|choices| self.is_valid(choices)).collect();
        if self.rules.mechanism == Mechanism::Signoff {
            return self.signoff(&ballots);
        }
        let (rounds, stuck) = self.rounds(&ballots);
        let first = self.votes(&ballots, None);
        let last = rounds.last().unwrap_or(&first);
        let leaders = if stuck { last.keys().copied().collect() } else { leaders(last) };
        let cast = u32::try_from(ballots.len()).unwrap_or(u32::MAX);
        let outcome = self.outcome(cast, last, &leaders, stuck);
        let winner = match (&outcome, leaders.as_slice()) {
            (Outcome::Decided, [winner]) => Some(self.options[*winner].clone()),
            _ => None,
        };
        let rounds = rounds.iter().map(|votes| self.named(votes)).collect();
        Tally { winner, votes: self.named(&first), outcome, rounds }
    }

    /// One refusal is enough to refuse; else it takes as many who grant as the threshold says.
    fn signoff(&self, ballots: &[&Choices]) -> Tally {
        let votes = self.votes(ballots, None);
        let count = |place: usize| votes.get(&place).copied().unwrap_or(0);
        let needed = self.rules.threshold().map_or(1, |threshold| threshold.needed(self.eligible));
        let (winner, outcome) = match (count(0), count(1)) {
            (_, refused) if refused > 0 => (self.options.get(1), Outcome::Decided),
            (granted, _) if granted >= needed => (self.options.first(), Outcome::Decided),
            (0, _) => (None, Outcome::Empty),
            (votes, _) => (None, Outcome::Short { votes, needed }),
        };
        Tally { winner: winner.cloned(), votes: self.named(&votes), outcome, rounds: Vec::new() }
    }

    fn outcome(&self, cast: u32, votes: &BTreeMap<usize, u32>, leaders: &[usize], stuck: bool) -> Outcome {
        let quorum = self.rules.quorum.map_or(0, |quorum| quorum.needed(self.eligible));
        let most = votes.values().copied().max().unwrap_or(0);
        let base = match self.rules.of {
            Base::Voting => cast,
            Base::Electorate => self.eligible.max(cast),
        };
        let needed = self.rules.threshold().map_or(1, |threshold| threshold.needed(base));
        if cast == 0 {
            Outcome::Empty
        } else if cast < quorum {
            Outcome::NoQuorum { cast, needed: quorum }
        } else if most < needed && !stuck {
            Outcome::Short { votes: most, needed }
        } else if leaders.len() > 1 {
            Outcome::Tie { between: leaders.iter().map(|leader| self.options[*leader].clone()).collect() }
        } else {
            Outcome::Decided
        }
    }

    /// The votes of each option; only of those that are still `left`, where a ballot goes to the first of them.
    fn votes(&self, ballots: &[&Choices], left: Option<&BTreeSet<usize>>) -> BTreeMap<usize, u32> {
        let is_left = |option: &usize| left.is_none_or(|left| left.contains(option));
        let mut votes: BTreeMap<usize, u32> = (0..self.options.len()).filter(is_left).map(|at| (at, 0)).collect();
        let only_first = self.rules.mechanism == Mechanism::Ranked;
        for ballot in ballots {
            let most = if only_first { 1 } else { ballot.len() };
            for choice in ballot.iter().filter(|choice| is_left(choice)).take(most) {
                *votes.entry(*choice).or_default() += 1;
            }
        }
        votes
    }

    /// Instant run-off: in each round the option with the fewest first places goes out, until one has more than half of
    /// those that are left, or all that are left have the same. Several with the fewest go out together if even together
    /// they have fewer than the next; else it would depend on which of them goes first, and the count is stuck: a tie.
    fn rounds(&self, ballots: &[&Choices]) -> (Vec<BTreeMap<usize, u32>>, bool) {
        let mut rounds = Vec::new();
        if self.rules.mechanism != Mechanism::Ranked {
            return (rounds, false);
        }
        let mut left: BTreeSet<usize> = (0..self.options.len()).collect();
        loop {
            let votes = self.votes(ballots, Some(&left));
            let (most, least) = (votes.values().max().copied(), votes.values().min().copied());
            let sum: u32 = votes.values().sum();
            rounds.push(votes.clone());
            if most == least || most.is_none_or(|most| most > sum / 2) {
                return (rounds, false);
            }
            let last: Vec<u32> = votes.values().filter(|votes| Some(**votes) == least).copied().collect();
            let next = votes.values().filter(|votes| Some(**votes) > least).min();
            if last.len() > 1 && next.is_some_and(|next| last.iter().sum::<u32>() >= *next) {
                return (rounds, true);
            }
            left.retain(|option| votes.get(option) > least.as_ref());
        }
    }

    fn named(&self, votes: &BTreeMap<usize, u32>) -> BTreeMap<String, u32> {
        votes.iter().map(|(option, count)| (self.options[*option].clone(), *count)).collect()
    }

    /// Whether the result is the same whatever `remaining` more voters say.
    ///
    /// A no can be wrong where several mechanisms and thresholds come together; a yes never is. A [`Mechanism::Signoff`]
    /// does not wait for those who might refuse yet: it is settled once it is decided.
    pub fn is_settled(&self, ballots: &[Choices], remaining: u32) -> bool {
        if self.rules.mechanism == Mechanism::Signoff {
            return self.tally(ballots).winner.is_some();
        }
        if remaining == 0 {
            return true;
        }
        let now = self.tally(ballots);
        if self.rules.mechanism == Mechanism::Ranked {
            // A ballot that moves from one option to another counts for both; only an absolute majority is safe.
            let all = ballots.iter().filter(|choices| self.is_valid(choices)).count() as u64 + u64::from(remaining);
            let majority = now.votes.values().any(|votes| 2 * u64::from(*votes) > all);
            let quorum = !matches!(now.outcome, Outcome::NoQuorum { .. });
            return self.rules.threshold().is_none() && majority && quorum;
        }
        let extremes = (0..self.options.len()).flat_map(|option| {
            let others = (0..self.options.len()).filter(move |other| *other != option).collect::<Choices>();
            let all_others = (self.rules.mechanism == Mechanism::Approval && !others.is_empty()).then_some(others);
            std::iter::once(vec![option]).chain(all_others)
        });
        // Few or many of those who remain may vote; each is as good as both ends of it.
        extremes.into_iter().all(|choices| {
            [1, remaining].iter().all(|more| {
                let mut ballots = ballots.to_vec();
                ballots.extend(std::iter::repeat_n(choices.clone(), *more as usize));
                let then = self.tally(&ballots);
                then.winner == now.winner && (now.winner.is_some() || !is_pending(&then.outcome))
            })
        }) && !is_pending(&now.outcome)
    }
}

/// Whether there may yet be a result.
fn is_pending(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Empty | Outcome::NoQuorum { .. } | Outcome::Tie { .. })
}

/// The options with the most votes, if any has one.
fn leaders(votes: &BTreeMap<usize, u32>) -> Vec<usize> {
    let most = votes.values().copied().max().filter(|most| *most > 0);
    votes.iter().filter(|(_, count)| Some(**count) == most).map(|(option, _)| *option).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vote::rules::Share;

    const OPTIONS: [&str; 3] = ["OAuth2", "JWT", "Custom"];

    fn count(rules: Rules, eligible: u32, ballots: &[&[usize]]) -> Tally {
        let options = OPTIONS.map(str::to_owned);
        let ballots: Vec<Choices> = ballots.iter().map(|choices| choices.to_vec()).collect();
        Count { options: &options, rules: &rules, eligible }.tally(&ballots)
    }

    fn rules(mechanism: Mechanism) -> Rules {
        Rules { mechanism, ..Rules::default() }
    }

    fn share(text: &str) -> Option<Share> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn most_votes_win_a_poll() {
        let tally = count(Rules::default(), 9, &[&[0], &[1], &[0]]);
        assert_eq!((tally.winner.as_deref(), tally.votes["Custom"]), (Some("OAuth2"), 0));
        assert_eq!(count(Rules::default(), 9, &[]).outcome, Outcome::Empty);
    }

    #[test]
    fn a_tie_is_a_tie() {
        let tally = count(Rules::default(), 9, &[&[0], &[1]]);
        assert_eq!(tally.outcome, Outcome::Tie { between: vec!["OAuth2".to_owned(), "JWT".to_owned()] });
        assert_eq!(tally.winner, None);
    }

    #[test]
    fn a_vote_needs_its_threshold_of_those_who_vote_or_of_all() {
        let ballots: [&[usize]; 4] = [&[0], &[0], &[1], &[2]];
        assert_eq!(count(rules(Mechanism::Vote), 9, &ballots).outcome, Outcome::Short { votes: 2, needed: 3 });
        let third = Rules { threshold: share("1/2"), ..rules(Mechanism::Vote) };
        assert_eq!(count(third.clone(), 9, &ballots).winner.as_deref(), Some("OAuth2"));
        let of_all = Rules { of: Base::Electorate, ..third };
        assert_eq!(count(of_all, 9, &ballots).outcome, Outcome::Short { votes: 2, needed: 5 });
    }

    #[test]
    fn without_a_quorum_nothing_is_decided() {
        let quorum = Rules { quorum: share("two-thirds"), ..Rules::default() };
        let tally = count(quorum.clone(), 4, &[&[0], &[0]]);
        assert_eq!((tally.winner, tally.outcome), (None, Outcome::NoQuorum { cast: 2, needed: 3 }));
        assert_eq!(count(quorum, 4, &[&[0], &[0], &[1]]).winner.as_deref(), Some("OAuth2"));
    }

    #[test]
    fn approval_counts_every_choice() {
        let tally = count(rules(Mechanism::Approval), 9, &[&[0, 1], &[1, 2], &[2]]);
        assert_eq!(tally.outcome, Outcome::Tie { between: vec!["JWT".to_owned(), "Custom".to_owned()] });
        let tally = count(rules(Mechanism::Approval), 9, &[&[0, 1], &[1, 2]]);
        assert_eq!((tally.winner.as_deref(), tally.votes["JWT"]), (Some("JWT"), 2));
    }

    #[test]
    fn a_ranked_vote_moves_ballots_to_the_next_choice() {
        let tally = count(rules(Mechanism::Ranked), 9, &[&[0, 1], &[0, 1], &[2], &[2], &[1, 2]]);
        assert_eq!(tally.rounds.len(), 2);
        assert_eq!((tally.winner.as_deref(), tally.rounds[1]["Custom"]), (Some("Custom"), 3));
        assert_eq!(tally.votes["Custom"], 2);
        let tied = count(rules(Mechanism::Ranked), 9, &[&[0, 1], &[1, 0]]);
        assert_eq!(tied.outcome, Outcome::Tie { between: vec!["OAuth2".to_owned(), "JWT".to_owned()] });
    }

    #[test]
    fn a_ranked_vote_in_which_the_last_are_alike_and_decide_is_a_tie() {
        let ballots: Vec<&[usize]> = [vec![&[0][..]; 4], vec![&[1, 2, 0][..]; 3], vec![&[2, 1, 0][..]; 3]].concat();
        let tally = count(rules(Mechanism::Ranked), 10, &ballots);
        // Most prefer either of the last two to the first: whichever went out would make the other win.
        let between = OPTIONS.map(str::to_owned).to_vec();
        assert_eq!((tally.winner, tally.outcome), (None, Outcome::Tie { between }));
        assert_eq!(tally.rounds.len(), 1);
        // Those that even together are fewer than the next go out together.
        let ballots: Vec<&[usize]> = [vec![&[0][..]; 4], vec![&[1][..]; 3], vec![&[2, 1][..]; 1]].concat();
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let choices: Vec<Choices> = ballots.iter().map(|choices| choices.to_vec()).collect();
        let rules = rules(Mechanism::Ranked);
        let tally = Count { options: &names, rules: &rules, eligible: 9 }.tally(&choices);
        assert_eq!(tally.outcome, Outcome::Tie { between: names[..2].to_vec() });
        assert_eq!(tally.rounds.len(), 3);
    }

    #[test]
    fn a_signoff_takes_enough_who_grant_and_nobody_who_refuses() {
        let options = [crate::vote::APPROVE, crate::vote::DENY].map(str::to_owned);
        let tally = |threshold: Option<&str>, ballots: &[&[usize]]| {
            let rules = Rules { threshold: threshold.and_then(share), ..rules(Mechanism::Signoff) };
            let ballots: Vec<Choices> = ballots.iter().map(|choices| choices.to_vec()).collect();
            let count = Count { options: &options, rules: &rules, eligible: 3 };
            assert_eq!(count.is_settled(&ballots, 3), count.tally(&ballots).winner.is_some());
            count.tally(&ballots)
        };
        assert_eq!(tally(None, &[]).outcome, Outcome::Empty);
        assert_eq!(tally(None, &[&[0]]).winner.as_deref(), Some("approve"));
        assert_eq!(tally(None, &[&[0], &[1]]).winner.as_deref(), Some("deny"));
        assert_eq!(tally(Some("2"), &[&[0]]).outcome, Outcome::Short { votes: 1, needed: 2 });
        assert_eq!(tally(Some("2"), &[&[0], &[0]]).winner.as_deref(), Some("approve"));
        assert_eq!(tally(Some("majority"), &[&[0], &[0]]).winner.as_deref(), Some("approve"));
        assert_eq!(tally(Some("unanimous"), &[&[0], &[0], &[1]]).winner.as_deref(), Some("deny"));
    }

    #[test]
    fn what_cannot_be_counted_is_not() {
        for (mechanism, bad) in [
            (Mechanism::Poll, &[0, 1][..]),
            (Mechanism::Poll, &[3]),
            (Mechanism::Poll, &[]),
            (Mechanism::Approval, &[0, 0]),
            (Mechanism::Ranked, &[0, 1, 2, 3]),
        ] {
            let tally = count(rules(mechanism), 9, &[bad, &[1]]);
            assert_eq!((tally.votes.values().sum::<u32>(), tally.winner.as_deref()), (1, Some("JWT")));
        }
    }

    #[test]
    fn a_result_is_settled_when_those_who_remain_cannot_change_it() {
        let options = OPTIONS.map(str::to_owned);
        let settled = |rules: &Rules, ballots: &[Choices], remaining: u32| {
            let eligible = u32::try_from(ballots.len()).unwrap() + remaining;
            Count { options: &options, rules, eligible }.is_settled(ballots, remaining)
        };
        let lead: Vec<Choices> = vec![vec![0]; 3];
        assert!(settled(&Rules::default(), &lead, 2));
        assert!(!settled(&Rules::default(), &lead, 3));
        assert!(settled(&Rules::default(), &[], 0));
        let of_all = Rules { of: Base::Electorate, ..rules(Mechanism::Vote) };
        assert!(settled(&of_all, &lead, 2));
        assert!(!settled(&of_all, &lead, 4));
        let split = [vec![0], vec![0], vec![1], vec![1], vec![2]];
        assert!(settled(&Rules { threshold: share("unanimous"), ..of_all }, &split, 4));
    }

    fn all_rules() -> impl Strategy<Value = Rules> {
        let mechanisms =
            prop::sample::select(vec![Mechanism::Poll, Mechanism::Vote, Mechanism::Approval, Mechanism::Ranked]);
        let shares = || prop::option::of(prop::sample::select(vec!["majority", "two-thirds", "1/2", "unanimous"]));
        let parsed = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        (mechanisms, shares(), any::<bool>(), shares()).prop_map(move |(mechanism, threshold, all, quorum)| Rules {
            mechanism,
            threshold: parsed(threshold),
            of: if all { Base::Electorate } else { Base::Voting },
            quorum: parsed(quorum),
            ..Rules::default()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_ballots_does_not_matter(
            rules in all_rules(),
            mut ballots in prop::collection::vec(prop::collection::vec(0usize..4, 0..4), 0..9),
        ) {
            let options = OPTIONS.map(str::to_owned);
            let count = Count { options: &options, rules: &rules, eligible: 9 };
            let before = count.tally(&ballots);
            ballots.reverse();
            prop_assert_eq!(count.tally(&ballots), before);
        }

        #[test]
        fn what_is_settled_does_not_change(
            rules in all_rules(),
            ballots in prop::collection::vec(prop::collection::vec(0usize..3, 1..3), 0..7),
            more in prop::collection::vec(prop::collection::vec(0usize..3, 1..3), 0..5),
        ) {
            let options = OPTIONS.map(str::to_owned);
            let count = |eligible| Count { options: &options, rules: &rules, eligible };
            let sound = |ballots: Vec<Choices>| -> Vec<Choices> {
                ballots.into_iter().filter(|ballot| count(9).is_valid(ballot)).collect()
            };
            let (ballots, more) = (sound(ballots), sound(more));
            let remaining = u32::try_from(more.len()).unwrap();
            let count = count(u32::try_from(ballots.len()).unwrap() + remaining);
            if count.is_settled(&ballots, remaining) {
                let winner = count.tally(&ballots).winner;
                for take in 0..=more.len() {
                    let all: Vec<Choices> = ballots.iter().chain(&more[..take]).cloned().collect();
                    prop_assert_eq!(&count.tally(&all).winner, &winner);
                }
            }
        }
    }
}
