//! A task as every door shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::name::{Address, RoleName};
use crate::task::{Priority, State};

/// A task, how far it is, and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its id; `id@node` where two nodes chose the same.
    pub id: String,
    /// Who made it.
    pub by: Address,
    /// Where that comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// What is to be done.
    pub title: String,
    /// The same at length. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What programs need for it. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// How far it is; the same on every node that has heard the same.
    pub state: State,
    /// Whether somebody may take it now, as this node sees it.
    pub ready: bool,
    /// Whether it comes after something that is not completed.
    pub blocked: bool,
    /// How much it presses.
    pub priority: Priority,
    /// Who may take it.
    pub to: Assignee,
    /// The tasks that must be completed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Need>,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// Counts up from 1 with each change of the task.
    pub revision: u32,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// When it was made.
    pub made: u64,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The last note that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Everything that was said of it, in the order of the claims. Lists leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Statement>,
    /// Present if bids were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// Present if its creator has canceled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled: Option<Cancellation>,
    /// Present once its creator's node has recorded what came of it: nothing changes that, and what was said of it is
    /// cleared away in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// Who ended a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// The agent.
    pub by: Address,
    /// The number of its claim.
    pub fence: String,
    /// When it said so, by the clock of its node.
    pub at: u64,
}

/// Who may take a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Assignee {
    /// Everybody.
    Anyone,
    /// Those who have this role.
    Role(RoleName),
    /// This agent.
    Agent(Address),
}

/// A task that must be completed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// Its id.
    pub id: String,
    /// How far it is; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// It was over for long and has left, so it is not waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Each of the two comes after the other, so this one is not waited for.
    #[serde(default)]
    pub circle: bool,
}

/// Who holds a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The agent.
    pub agent: Address,
    /// The number of its claim: what it does for the task elsewhere it does under this number, and whoever has seen a
    /// higher one refuses it.
    pub fence: String,
    /// Whether the claim is confirmed; others may yet win a tentative one.
    pub confirmed: bool,
    /// Whether its lease has run out, as far as this node saw time pass, so that others may take the task.
    #[serde(default)]
    pub lapsed: bool,
}

/// What an agent said of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// Who.
    pub by: Address,
    /// The number of the claim under which it was said.
    pub fence: String,
    /// Which try it is about.
    pub attempt: u32,
    /// How far the task is.
    pub state: State,
    /// What there was to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When, by that agent's clock.
    pub at: u64,
    /// Whether it counts, and if not, why.
    pub counts: Counts,
}

/// Whether a statement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// It does.
    Yes,
    /// Another agent has held the task since.
    Stale,
    /// Its agent did not hold the task, or lost it.
    NotHeld,
    /// It is about another try.
    OtherAttempt,
    /// It may not follow what was said before.
    Illegal,
}

/// That bids were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// Until when bids are taken; absent if until the award.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether the best bid gets it by itself at that time.
    pub auto: bool,
    /// The bids, the best first.
    pub bids: Vec<Bid>,
    /// Who got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<Award>,
}

/// One agent's bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bid {
    /// Who.
    pub by: Address,
    /// What it would cost; less is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Why the agent is the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, by that agent's clock.
    pub at: u64,
}

/// Who got a task that bids were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Award {
    /// Who.
    pub to: Address,
    /// Why, if the creator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: u64,
}

/// That a task was canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancellation {
    /// Why, if the creator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: u64,
}

/// How bids are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bidding {
    /// For how many seconds bids are taken, 1 to 31,622,400. Without it, until the creator awards the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_s: Option<u32>,
    /// Let the best bid have it when the time is up. Needs the time.
    pub auto: bool,
}
