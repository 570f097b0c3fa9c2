//! The plan of a run: every step and when, made from the scenario and a seed, and from nothing that happens later.
//! Because it is a value, it can be cut down to the steps that a failure needs, written to a file and played again.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::adversary::Attack;
use crate::dice::{Dice, Stream};
use crate::scenario::{Focus, Scenario, ScenarioError};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Message,
    Pulse,
    Inbox,
    Proposal,
    /// The same question with other options.
    Revision,
    Ballot,
    Closing,
    Approval,
    /// A person's answer to an approval.
    Answer,
    Claim,
    Release,
    Renew,
    Task,
    Role,
    Attention,
    Note,
    History,
    Agents,
    Peers,
}

/// One step. Durations are in milliseconds; nodes are numbers from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Act {
    /// A node that has its certificate starts.
    Start { node: usize },
    /// A node asks the first one for a ticket and joins with it.
    Join { node: usize },
    /// A node's second agent says something, so that it is known.
    Introduce { node: usize },
    /// A client calls.
    Call { node: usize, agent: usize, what: What, dice: u64 },
    /// Those on one side are cut off from all others; connections break at once.
    Cut { side: Vec<usize>, ms: u64 },
    /// What these say does not reach the others.
    OneWay { from: Vec<usize>, ms: u64 },
    /// One link moves nothing.
    Stall { a: usize, b: usize, ms: u64 },
    /// A process is killed and started again later.
    Crash { node: usize, ms: u64 },
    /// A machine loses power and its last commits.
    PowerCut { node: usize, commits: usize, ms: u64 },
    /// A home is put back as it was at so many hundredths of its commits.
    Restore { node: usize, percent: u64, ms: u64, alone: bool },
    /// A disk takes no writes.
    FullDisk { node: usize, ms: u64 },
    /// A node needs this long for everything that it is told.
    Slow { node: usize, each_ms: u64, ms: u64 },
    /// A process stands still; when its machine is asleep its clock does too.
    Freeze { node: usize, asleep: bool, ms: u64 },
    /// A clock is set.
    SetClock { node: usize, off_ms: i64 },
    /// A node goes for good.
    Leave { node: usize },
    /// A copy of a home is started too.
    CopyHome { node: usize },
    /// A node claims to hold more than it does from now on.
    Lie { node: usize },
    /// A hostile node does something.
    Attack { node: usize, attack: Attack, dice: u64 },
}

impl Act {
    /// The node that it is about, if it is about one.
    pub(crate) fn node(&self) -> Option<usize> {
        match self {
            Self::Start { node }
            | Self::Join { node }
            | Self::Introduce { node }
            | Self::Call { node, .. }
            | Self::Crash { node, .. }
            | Self::PowerCut { node, .. }
            | Self::Restore { node, .. }
            | Self::FullDisk { node, .. }
            | Self::Slow { node, .. }
            | Self::Freeze { node, .. }
            | Self::SetClock { node, .. }
            | Self::Leave { node }
            | Self::CopyHome { node }
            | Self::Lie { node }
            | Self::Attack { node, .. } => Some(*node),
            Self::Cut { .. } | Self::OneWay { .. } | Self::Stall { .. } => None,
        }
    }

    /// The greatest number of a node that it names.
    fn most(&self) -> usize {
        if let Self::Cut { side, .. } | Self::OneWay { from: side, .. } = self {
            return side.iter().copied().max().unwrap_or(0);
        }
        if let Self::Stall { a, b, .. } = self {
            return *a.max(b);
        }
        self.node().unwrap_or(0)
    }
}

/// A step and when it is done, in microseconds since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) at_us: u64,
    pub(crate) act: Act,
}

/// Everything that a run is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    /// How long it is played before everything is healed, in microseconds.
    pub(crate) end_us: u64,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Makes the plan of a scenario for a seed.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut planner = Planner { scenario, dice: Dice::new(seed, Stream::Plan), steps: Vec::new() };
        planner.lay_out();
        let mut steps = planner.steps;
        steps.sort_by_key(|step| step.at_us);
        let joining = if scenario.tickets { 2 * scenario.nodes as u64 } else { 0 };
        // Nodes that were killed at the end have had time to come back, and every step was done.
        let last = steps.last().map_or(Duration::ZERO, |step| Duration::from_micros(step.at_us));
        let end = Duration::from_secs(scenario.seconds + joining + 18).max(last + Duration::from_secs(1));
        Self { name: scenario.name.clone(), seed, scenario: scenario.clone(), end_us: micros(end), steps }
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The scenario that it was made from.
    pub fn scenario(&self) -> &str {
        &self.name
    }

    /// The seed that it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Writes the plan to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?)
    }

    /// Reads a plan from a file.
    ///
    /// # Errors
    /// If it cannot be read, is no plan, or names nodes that are not in it.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| PlanError::Read { file: file.clone(), source })?;
        let form = |source| PlanError::Form { file: file.clone(), source };
        let mut plan: Self = serde_json::from_slice(&bytes).map_err(form)?;
        plan.scenario.check(&file)?;
        plan.scenario.name.clone_from(&plan.name);
        let nodes = plan.scenario.nodes;
        match plan.steps.iter().find(|step| step.act.most() >= nodes) {
            Some(step) => Err(PlanError::Node { file, node: step.act.most() }),
            None => Ok(plan),
        }
    }
}

/// A plan cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Its file cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not in the form of a plan.
    #[error("{file} is no plan: {source}")]
    Form {
        /// The file.
        file: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Its scenario is outside of a limit.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A step names a node that is not there.
    #[error("{file}: a step names node {node}, which is not there")]
    Node {
        /// The file.
        file: String,
        /// The node.
        node: usize,
    },
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

struct Planner<'a> {
    scenario: &'a Scenario,
    dice: Dice,
    steps: Vec<Step>,
}

const DAY_MS: i64 = 24 * 3600 * 1000;

impl Planner<'_> {
    fn add(&mut self, at: Duration, act: Act) {
        self.steps.push(Step { at_us: micros(at), act });
    }

    fn within(&mut self, from: Duration, span: Duration) -> Duration {
        from + self.dice.micros(0, micros(span))
    }

    fn ms(&mut self, least: u64, most: u64) -> u64 {
        least + self.dice.below(most - least + 1)
    }

    /// One of the nodes that keep the rules.
    fn honest(&mut self) -> usize {
        self.dice.index(self.scenario.nodes - self.scenario.hostile.nodes)
    }

    fn lay_out(&mut self) {
        let scenario = self.scenario;
        let chaos = Duration::from_secs(scenario.seconds);
        let mut ready = Duration::from_secs(3);
        let late = scenario.nodes.saturating_sub(scenario.faults.late as usize + scenario.hostile.nodes);
        let late = late..scenario.nodes - scenario.hostile.nodes;
        let step = if scenario.tickets { 2000 } else { (400 / scenario.nodes as u64).clamp(1, 20) };
        for node in 0..scenario.nodes {
            let comes_late = node > 0 && late.contains(&node);
            let at = Duration::from_millis(1000 + step * node as u64);
            let at = if comes_late { self.within(Duration::from_secs(8), chaos) } else { at };
            let act = if node > 0 && scenario.tickets { Act::Join { node } } else { Act::Start { node } };
            self.add(at, act);
            if scenario.nodes <= 32 {
                self.add(at + Duration::from_secs(2), Act::Introduce { node });
            }
            if !comes_late {
                ready = ready.max(at + Duration::from_secs(4));
            }
            let skew = scenario.faults.skew_ms;
            if skew > 0 {
                let off_ms = self.dice.below(2 * skew + 1) as i64 - skew as i64;
                self.add(Duration::ZERO, Act::SetClock { node, off_ms });
            }
        }
        for _ in 0..scenario.calls {
            let at = self.within(Duration::from_secs(2), ready + chaos - Duration::from_secs(2));
            let call = self.call();
            self.add(at, call);
        }
        self.network(ready, chaos);
        self.machines(ready, chaos);
        self.once(ready, chaos);
        self.attacks(ready, chaos);
    }

    fn call(&mut self) -> Act {
        let notes = self.scenario.notes;
        let what = if notes > 0 && self.dice.percent(notes) { What::Note } else { self.what() };
        let agent = if self.scenario.nodes <= 32 { self.dice.index(2) } else { 0 };
        Act::Call { node: self.honest(), agent, what, dice: self.dice.number() }
    }

    /// What a client asks for: each so often in a hundred.
    fn what(&mut self) -> What {
        let often: &[(u64, What)] = match self.scenario.focus {
            Focus::Everything => &[
                (25, What::Message),
                (9, What::Task),
                (6, What::Claim),
                (2, What::Release),
                (1, What::Renew),
                (17, What::Pulse),
                (7, What::Inbox),
                (5, What::Proposal),
                (2, What::Revision),
                (11, What::Ballot),
                (3, What::Closing),
                (1, What::Approval),
                (2, What::Answer),
                (1, What::Role),
                (2, What::Attention),
                (3, What::History),
                (1, What::Agents),
                (2, What::Peers),
            ],
            Focus::Claims => {
                &[(60, What::Claim), (25, What::Release), (5, What::Renew), (5, What::Inbox), (5, What::Pulse)]
            }
            Focus::Tasks => &[(85, What::Task), (5, What::Role), (5, What::Inbox), (5, What::Pulse)],
            Focus::Votes => &[
                (9, What::Proposal),
                (18, What::Revision),
                (46, What::Ballot),
                (9, What::Closing),
                (4, What::Approval),
                (8, What::Answer),
                (3, What::Role),
                (3, What::Attention),
            ],
        };
        let mut number = self.dice.below(often.iter().map(|(often, _)| often).sum());
        for (often, what) in often {
            match number.checked_sub(*often) {
                Some(rest) => number = rest,
                None => return *what,
            }
        }
        What::Pulse
    }

    fn network(&mut self, ready: Duration, chaos: Duration) {
        let (nodes, faults) = (self.scenario.nodes, &self.scenario.faults);
        for _ in 0..faults.partitions {
            let at = self.within(ready, chaos);
            let act = Act::Cut { side: self.dice.part(nodes), ms: self.ms(2_000, 20_000) };
            self.add(at, act);
        }
        for _ in 0..faults.one_way {
            let at = self.within(ready, chaos);
            let act = Act::OneWay { from: self.dice.part(nodes), ms: self.ms(500, 40_000) };
            self.add(at, act);
        }
        for _ in 0..faults.flapping {
            let mut at = self.within(ready, chaos);
            let node = self.honest();
            for _ in 0..3 + self.dice.index(8) {
                let ms = self.ms(20, 1_500);
                self.add(at, Act::Cut { side: vec![node], ms });
                at += Duration::from_millis(ms + self.ms(100, 4_000));
            }
        }
        for _ in 0..if nodes > 1 { faults.stalls } else { 0 } {
            let at = self.within(ready, chaos);
            let a = self.dice.index(nodes);
            let b = (a + 1 + self.dice.index(nodes - 1)) % nodes;
            let ms = self.ms(500, 40_000);
            self.add(at, Act::Stall { a, b, ms });
        }
    }

    fn machines(&mut self, ready: Duration, chaos: Duration) {
        let faults = self.scenario.faults.clone();
        for _ in 0..faults.crashes {
            let at = self.within(ready, chaos);
            let act = Act::Crash { node: self.honest(), ms: self.ms(50, 8_000) };
            self.add(at, act);
        }
        for _ in 0..faults.power_cuts {
            let at = self.within(ready, chaos);
            let act = Act::PowerCut { node: self.honest(), commits: self.dice.index(10), ms: self.ms(50, 8_000) };
            self.add(at, act);
        }
        for _ in 0..faults.full_disks {
            let at = self.within(ready, chaos);
            let act = Act::FullDisk { node: self.honest(), ms: self.ms(100, 5_000) };
            self.add(at, act);
        }
        for _ in 0..faults.slow {
            let at = self.within(ready, chaos);
            let act = Act::Slow { node: self.honest(), each_ms: self.ms(20, 400), ms: self.ms(2_000, 20_000) };
            self.add(at, act);
        }
        for _ in 0..faults.freezes {
            let at = self.within(ready, chaos);
            let act = Act::Freeze { node: self.honest(), asleep: self.dice.percent(50), ms: self.ms(500, 240_000) };
            self.add(at, act);
        }
        for _ in 0..faults.clock_jumps {
            let at = self.within(ready, chaos);
            let act = Act::SetClock { node: self.honest(), off_ms: self.ms(0, 200_000) as i64 - 100_000 };
            self.add(at, act);
        }
        for _ in 0..faults.day_jumps {
            let at = self.within(ready, chaos);
            let node = self.honest();
            let off_ms = if self.dice.percent(50) { DAY_MS } else { -DAY_MS };
            self.add(at, Act::SetClock { node, off_ms });
            let back = at + Duration::from_millis(self.ms(1_000, 20_000));
            self.add(back, Act::SetClock { node, off_ms: 0 });
        }
    }

    fn once(&mut self, ready: Duration, chaos: Duration) {
        let (nodes, faults) = (self.scenario.nodes, self.scenario.faults.clone());
        let node = self.honest();
        if faults.backup {
            self.add(ready + chaos / 2, Act::Restore { node, percent: 66, ms: 3_000, alone: false });
        }
        if faults.backup_alone {
            let percent = 20 + self.dice.below(75);
            self.add(ready + chaos / 2, Act::Restore { node, percent, ms: 1_000, alone: true });
            for _ in 0..4 {
                let at = self.within(ready + chaos / 2 + Duration::from_secs(2), Duration::from_secs(5));
                let what = if self.dice.percent(70) { What::Message } else { What::Pulse };
                let act = Act::Call { node, agent: self.dice.index(2), what, dice: self.dice.number() };
                self.add(at, act);
            }
        }
        if faults.twin {
            self.add(ready + chaos / 3, Act::CopyHome { node });
        }
        if faults.liar {
            let honest = nodes - self.scenario.hostile.nodes;
            self.add(Duration::ZERO, Act::Lie { node: (node + 1) % honest });
        }
        for number in 0..faults.leaves as usize {
            let at = self.within(ready + chaos / 3, chaos / 2);
            // Neither the first, who hands out tickets, nor those that come late.
            self.add(at, Act::Leave { node: 1 + number % (nodes.max(2) - 1) });
        }
    }

    fn attacks(&mut self, ready: Duration, chaos: Duration) {
        let hostile = self.scenario.hostile.clone();
        let attacks: Vec<Attack> = if hostile.only.is_empty() { Attack::ALL.to_vec() } else { hostile.only };
        for node in self.scenario.nodes - hostile.nodes..self.scenario.nodes {
            for number in 0..hostile.attacks as usize {
                let at = self.within(ready, chaos);
                // Each at least once, if there is room for all.
                let index = if number < attacks.len() { number } else { self.dice.index(attacks.len()) };
                let attack = attacks[index];
                let dice = self.dice.number();
                self.add(at, Act::Attack { node, attack, dice });
            }
        }
    }
}
