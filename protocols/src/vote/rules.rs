//! The rules of a proposal: how ballots become a result, who may cast them, and when.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::AgentId;
use crate::name::RoleName;

/// How ballots become a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// One choice each; most votes win.
    #[default]
    Poll,
    /// One choice each; an option wins that reaches the threshold, a majority unless another is set.
    Vote,
    /// As many choices as one likes; most approvals win.
    Approval,
    /// The choices in the order of preference, counted by instant run-off: round by round, the options with the fewest
    /// first places are dropped until one has more than half of them.
    Ranked,
    /// People grant or refuse what was asked for: refused as soon as one refuses, granted as soon as enough grant it; one
    /// is enough unless a threshold of the electorate is set. The options are [`APPROVE`] and [`DENY`], in this order,
    /// and only ballots of people count, never that of the asker.
    Signoff,
}

/// The option that grants what a [`Mechanism::Signoff`] asks for.
pub const APPROVE: &str = "approve";
/// The option that refuses it.
pub const DENY: &str = "deny";

/// A part of a whole: `majority` (more than half), `two-thirds`, `unanimous`, or at least `3/5`, `60%` or, whatever the
/// whole is, `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Share {
    numerator: u32,
    /// 0 for a number that does not depend on the whole.
    denominator: u32,
    /// More than this much, not as much as this.
    strict: bool,
}

/// A share was not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a share is majority, two-thirds, unanimous, a fraction such as 3/5, a percentage such as 60%, or a number")]
pub struct ParseShareError;

/// Largest denominator of a [`Share`], and largest number.
const MAX_DENOMINATOR: u32 = 1_000;

impl Share {
    /// More than half.
    pub const MAJORITY: Self = Self { numerator: 1, denominator: 2, strict: true };

    /// The least number of votes out of `base` that reaches the share; at least one.
    pub fn needed(self, base: u32) -> u32 {
        if self.denominator == 0 {
            return self.numerator;
        }
        let (votes, whole) = (u64::from(base) * u64::from(self.numerator), u64::from(self.denominator));
        let least = if self.strict { votes / whole + 1 } else { votes.div_ceil(whole) };
        u32::try_from(least.max(1)).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MAJORITY => f.write_str("majority"),
            Self { numerator: 2, denominator: 3, strict: false } => f.write_str("two-thirds"),
            Self { numerator: 1, denominator: 1, strict: false } => f.write_str("unanimous"),
            Self { numerator, denominator: 0, .. } => write!(f, "{numerator}"),
            Self { numerator, denominator, .. } => write!(f, "{numerator}/{denominator}"),
        }
    }
}

impl FromStr for Share {
    type Err = ParseShareError;

    fn from_str(text: &str) -> Result<Self, ParseShareError> {
        let (numerator, denominator) = match text {
            "majority" => return Ok(Self::MAJORITY),
            "two-thirds" => ("2", "3"),
            "unanimous" => ("1", "1"),
            _ => match text.strip_suffix('%') {
                Some(percent) => (percent, "100"),
                None => text.split_once('/').unwrap_or((text, "")),
            },
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| ParseShareError);
        let numerator = number(numerator)?;
        if denominator.is_empty() && text == numerator.to_string() && (1..=MAX_DENOMINATOR).contains(&numerator) {
            return Ok(Self { numerator, denominator: 0, strict: false });
        }
        let denominator = number(denominator)?;
        let sound = (1..=denominator).contains(&numerator) && denominator <= MAX_DENOMINATOR;
        if !sound {
            return Err(ParseShareError);
        }
        let divisor = common_divisor(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor, strict: false })
    }
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a threshold is a share of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// The ballots that count.
    #[default]
    Voting,
    /// All who may vote.
    Electorate,
}

/// Who may vote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Electorate {
    /// Every agent of the conversation.
    #[default]
    All,
    /// Every agent that is a person.
    People,
    /// Every agent that has this role.
    Role(RoleName),
    /// These agents.
    Agents(Vec<AgentId>),
}

/// The rules of a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// How ballots become a result.
    pub mechanism: Mechanism,
    /// What an option must reach to win; without it, most votes are enough, but for a [`Mechanism::Vote`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Share>,
    /// What the threshold is a share of.
    #[serde(default)]
    pub of: Base,
    /// The share of the electorate whose ballots must be there for anything to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Share>,
    /// Who may vote.
    #[serde(default)]
    pub electorate: Electorate,
    /// Until when voting does not open before everybody in the electorate has acknowledged that it has seen question
    /// and options, in milliseconds since 1970 by the asker's clock. Without it, voting is open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_until: Option<u64>,
    /// When the asker's node closes the proposal, in milliseconds since 1970 by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Whether the asker's node closes the proposal as soon as no further ballot can change the result.
    #[serde(default)]
    pub early: bool,
}

impl Rules {
    /// What an option must reach to win, if that is more than most votes.
    pub fn threshold(&self) -> Option<Share> {
        let default = (self.mechanism == Mechanism::Vote).then_some(Share::MAJORITY);
        self.threshold.or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn shares_are_reached_at_the_right_number() {
        for (text, base, needed) in [
            ("majority", 4, 3),
            ("majority", 5, 3),
            ("majority", 0, 1),
            ("1/2", 4, 2),
            ("two-thirds", 3, 2),
            ("two-thirds", 4, 3),
            ("60%", 5, 3),
            ("60%", 6, 4),
            ("unanimous", 7, 7),
            ("1/1000", 5, 1),
            ("2", 5, 2),
            ("2", 1, 2),
        ] {
            assert_eq!(share(text).needed(base), needed, "{text} of {base}");
        }
    }

    #[test]
    fn shares_print_as_they_parse() {
        for text in ["majority", "two-thirds", "unanimous", "3/5", "1/2", "2"] {
            assert_eq!(share(text).to_string(), text);
        }
        for (text, same) in [("60%", "3/5"), ("4/6", "two-thirds"), ("100%", "unanimous"), ("50%", "1/2")] {
            assert_eq!(share(text).to_string(), same);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "", "half", "0/3", "0%", "4/3", "101%", "1/0", "-1/2", "1/1001", "1.5%", "1/2/3", "0", "02", "+2", "2/",
            "1001",
        ] {
            assert_eq!(text.parse::<Share>(), Err(ParseShareError), "{text}");
        }
    }

    #[test]
    fn only_a_vote_has_a_threshold_without_being_told() {
        let rules = |mechanism| Rules { mechanism, ..Rules::default() };
        assert_eq!(rules(Mechanism::Vote).threshold(), Some(Share::MAJORITY));
        assert_eq!(rules(Mechanism::Poll).threshold(), None);
    }
}
