//! What is played: so many nodes, connected so, with these faults.
//!
//! Scenarios are files in `testnet/scenarios`; those are built into the program, and it takes others by their path.
//! A file says only what is different from [`Scenario::default`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::adversary::Attack;

/// Who may connect to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Everybody to everybody.
    #[default]
    Full,
    /// Each to the next: what one says reaches the other end only through all between.
    Line,
    /// Each to the next two, around.
    Ring,
    /// Each to the next and to others at random, [`Scenario::degree`] in all.
    Random,
}

/// How the time that something takes is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Any time between the two is as likely.
    #[default]
    Even,
    /// Short times are likelier, and some are longer than the longest by far: a quarter of the way on average.
    Exponential,
    /// Most are near the shortest, and a few take very long: 20 times the longest at most.
    LongTail,
}

/// How long something is under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The shortest time, in milliseconds.
    pub least_ms: f64,
    /// The longest, in milliseconds; for some spreads more of a measure than a limit.
    pub most_ms: f64,
    /// How it is spread.
    #[serde(default)]
    pub spread: Spread,
}

/// What links are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// How long a sync frame is under way. Frames keep their order.
    pub frames: Delay,
    /// How long a gossip message is under way. They overtake each other.
    pub gossip: Delay,
    /// How many kilobits a second go through a link each way; 0 is no limit.
    pub rate_kbit: u64,
    /// How often in a hundred a gossip message is lost on one hop.
    pub lost: u64,
    /// How often in a hundred it comes twice.
    pub doubled: u64,
    /// How often in a hundred a part of a sync frame has to be sent again, 200 ms later.
    pub resent: u64,
}

impl Default for Links {
    fn default() -> Self {
        let delay = Delay { least_ms: 0.2, most_ms: 5.0, spread: Spread::Even };
        Self { frames: delay, gossip: delay, rate_kbit: 0, lost: 0, doubled: 0, resent: 0 }
    }
}

/// What goes wrong while the nodes talk, and how many times. Everything is healed before they are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The network is cut in two, for a while.
    pub partitions: u32,
    /// What some nodes say does not reach the others, for a while; what those say reaches them.
    pub one_way: u32,
    /// One node loses its connections again and again.
    pub flapping: u32,
    /// One link moves nothing either way, for a while, and nobody says so.
    pub stalls: u32,
    /// A process is killed and started again.
    pub crashes: u32,
    /// A machine loses power, and with it the last commits.
    pub power_cuts: u32,
    /// A disk is full, for a while.
    pub full_disks: u32,
    /// A node takes long over everything that it is told, for a while.
    pub slow: u32,
    /// A process is stopped, or its machine sleeps, for up to four minutes.
    pub freezes: u32,
    /// A clock jumps by up to two minutes either way while the process runs.
    pub clock_jumps: u32,
    /// A clock jumps a day back, or a day ahead, and is set right some time later.
    pub day_jumps: u32,
    /// How far clocks are off from the beginning, in milliseconds, either way.
    pub skew_ms: u64,
    /// A node starts only in the middle.
    pub late: u32,
    /// A node goes in the middle and never comes back.
    pub leaves: u32,
    /// One node is stopped and comes back with a copy of its home from before.
    pub backup: bool,
    /// One node comes back with a copy of its home from before, and writes before it meets anybody.
    pub backup_alone: bool,
    /// One node's home is copied, and both copies run, each in contact with half of the others.
    pub twin: bool,
    /// One node claims to hold more than it does.
    pub liar: bool,
}

/// Nodes that are members and break the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hostile {
    /// How many of the nodes.
    pub nodes: usize,
    /// How many things each of them does.
    pub attacks: u32,
    /// What it does; nothing said is everything there is.
    pub only: Vec<Attack>,
}

/// What clients mostly do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Focus {
    /// A bit of everything.
    #[default]
    Everything,
    /// They claim files that others claim.
    Claims,
    /// They make tasks, do them and bid for them. In the end all that can be done is.
    Tasks,
    /// They ask, ask otherwise, and vote meanwhile.
    Votes,
}

/// One thing to play.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Its name on the command line: that of its file.
    #[serde(skip)]
    pub name: String,
    /// What it is about, in one line.
    pub about: String,
    /// How many nodes.
    pub nodes: usize,
    /// Who may connect to whom.
    pub shape: Shape,
    /// In a random shape: how many others each may connect to, at least.
    pub degree: usize,
    /// How many calls clients make.
    pub calls: u32,
    /// What they mostly do.
    pub focus: Focus,
    /// How many of a hundred calls edit notes, besides those that do other things.
    pub notes: u64,
    /// For how long things go wrong, in seconds.
    pub seconds: u64,
    /// Whether the nodes join by tickets, one after the other, while the first ones already talk.
    pub tickets: bool,
    /// Too large to be played unless it is asked for by name.
    pub large: bool,
    /// What the links are like.
    pub links: Links,
    /// What goes wrong.
    pub faults: Faults,
    /// Who breaks the rules.
    pub hostile: Hostile,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: String::new(),
            about: String::new(),
            nodes: 3,
            shape: Shape::Full,
            degree: 6,
            calls: 60,
            focus: Focus::Everything,
            notes: 0,
            seconds: 20,
            tickets: false,
            large: false,
            links: Links::default(),
            faults: Faults::default(),
            hostile: Hostile::default(),
        }
    }
}

/// A scenario cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Its file cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not in the form of a scenario.
    #[error("{file} is no scenario: {source}")]
    Form {
        /// The file.
        file: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A field is outside of its limits.
    #[error("{file}: {field} is {found}, and must be {least} to {most}")]
    Limit {
        /// The file.
        file: String,
        /// The field.
        field: &'static str,
        /// What it says.
        found: f64,
        /// The least that it may say.
        least: f64,
        /// The most.
        most: f64,
    },
    /// A field must be given.
    #[error("{file}: {field} is missing")]
    Missing {
        /// The file.
        file: String,
        /// The field.
        field: &'static str,
    },
}

macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*];
    };
}

files! {
    "calm" "tickets" "lossy-line" "partition" "one-way" "flapping" "thin-links" "crashes" "power" "full-disk"
    "clocks" "clock-jumps" "a-day-off" "backup" "backup-alone" "twin" "slow" "sleepers" "comings-and-goings" "liar"
    "notes" "notes-forked"
    "forgers" "forkers" "bombs" "floods" "liars-in-sync" "strangers" "everything" "hostile" "crowd"
    "claims" "claims-power" "claims-lost" "tasks" "tasks-crashes" "votes" "usurpers" "idlers" "ballot-stuffers"
    "hundred" "three-hundred" "thousand"
}

/// Every scenario that is built in.
///
/// # Panics
/// Never in a build whose tests pass: one of them reads every file.
pub fn all() -> Vec<Scenario> {
    let read = |(name, text): &(&str, &str)| {
        Scenario::parse(name, &format!("{name}.toml"), text).expect("a test reads every built-in scenario")
    };
    FILES.iter().map(read).collect()
}

/// Finds a built-in scenario by its name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Reads a scenario from a file; it is called what the file is called.
    ///
    /// # Errors
    /// If the file cannot be read, is not in the form of a scenario, or a field is outside of its limits.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { file: file.clone(), source })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&name, &file, &text)
    }

    /// Reads a scenario from its text.
    ///
    /// # Errors
    /// If it is not in the form of a scenario, or a field is outside of its limits.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        let form = |source| ScenarioError::Form { file: file.to_owned(), source: Box::new(source) };
        let scenario: Self = toml::from_str(text).map_err(form)?;
        scenario.check(file)?;
        Ok(Self { name: name.to_owned(), ..scenario })
    }

    /// Checks every field against its limits.
    ///
    /// # Errors
    /// Names the first field that is outside.
    pub fn check(&self, file: &str) -> Result<(), ScenarioError> {
        let (links, faults) = (&self.links, &self.faults);
        if self.about.trim().is_empty() {
            return Err(ScenarioError::Missing { file: file.to_owned(), field: "about" });
        }
        let counts = [
            ("faults.partitions", faults.partitions),
            ("faults.one_way", faults.one_way),
            ("faults.flapping", faults.flapping),
            ("faults.stalls", faults.stalls),
            ("faults.crashes", faults.crashes),
            ("faults.power_cuts", faults.power_cuts),
            ("faults.full_disks", faults.full_disks),
            ("faults.slow", faults.slow),
            ("faults.freezes", faults.freezes),
            ("faults.clock_jumps", faults.clock_jumps),
            ("faults.day_jumps", faults.day_jumps),
            ("faults.late", faults.late),
            ("faults.leaves", faults.leaves),
            ("hostile.attacks", self.hostile.attacks),
        ];
        let percents = [("links.lost", links.lost), ("links.doubled", links.doubled), ("links.resent", links.resent)];
        let most_nodes = self.nodes.saturating_sub(1);
        let limits = [
            ("nodes", self.nodes as f64, 1.0, 5000.0),
            ("degree", self.degree as f64, 2.0, 64.0),
            ("calls", f64::from(self.calls), 0.0, 100_000.0),
            ("seconds", self.seconds as f64, 1.0, 86_400.0),
            ("hostile.nodes", self.hostile.nodes as f64, 0.0, most_nodes as f64),
            ("faults.skew_ms", faults.skew_ms as f64, 0.0, 110_000.0),
            ("links.rate_kbit", links.rate_kbit as f64, 0.0, 10_000_000.0),
            ("links.frames.least_ms", links.frames.least_ms, 0.0, links.frames.most_ms),
            ("links.frames.most_ms", links.frames.most_ms, 0.0, 10_000.0),
            ("links.gossip.least_ms", links.gossip.least_ms, 0.0, links.gossip.most_ms),
            ("links.gossip.most_ms", links.gossip.most_ms, 0.0, 10_000.0),
        ];
        let counts = counts.map(|(field, found)| (field, f64::from(found), 0.0, 1000.0));
        let percents = percents.map(|(field, found)| (field, found as f64, 0.0, 95.0));
        for (field, found, least, most) in limits.into_iter().chain(counts).chain(percents) {
            if !(least..=most).contains(&found) {
                return Err(ScenarioError::Limit { file: file.to_owned(), field, found, least, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Scenario::parse("x", "x.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_built_in_scenario_is_one_and_every_file_is_built_in() {
        let names: Vec<String> = all().into_iter().map(|scenario| scenario.name).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let scenario = Scenario::read(&path).unwrap();
            assert!(names.contains(&scenario.name), "{} is not built in", path.display());
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_file_and_field() {
        let unknown = refusal("about = \"a\"\nnoodles = 3\n");
        assert!(unknown.contains("x.toml") && unknown.contains("noodles"), "{unknown}");
        let limit = refusal("about = \"a\"\nnodes = 9000\n");
        assert_eq!(limit, "x.toml: nodes is 9000, and must be 1 to 5000");
        let percent = refusal("about = \"a\"\n[links]\nlost = 100\n");
        assert!(percent.contains("links.lost is 100"), "{percent}");
        assert_eq!(refusal("nodes = 3\n"), "x.toml: about is missing");
        let attack = refusal("about = \"a\"\n[hostile]\nonly = [\"sulking\"]\n");
        assert!(attack.contains("sulking"), "{attack}");
    }
}
