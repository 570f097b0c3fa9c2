//! Nodes that talk and vote, the record of what they were told is durable, and the comparison with what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::node::{Node, message};
use crate::switch::Switch;
use crate::world::{PERSON, World};
use crate::{eventually, holds};

/// What the question is called that everybody answers.
pub(super) const QUESTION: &str = "which";

/// The nodes.
pub(super) struct Group {
    pub(super) nodes: Vec<Node>,
    pub(super) switch: Option<Switch>,
    pub(super) world: World,
    /// The ids of messages that were acknowledged, by author, in order.
    told: BTreeMap<String, Vec<String>>,
    /// Messages whose outcome is not known.
    unknown: usize,
    ballots: BTreeMap<usize, &'static str>,
    next: usize,
    /// The author whose messages stand in two logs, of which either may be taken first.
    pub(super) in_two_logs: Option<String>,
}

impl Group {
    /// Nodes without a daemon, in a world of their own.
    pub(super) fn new(world: World, nodes: Vec<Node>) -> Self {
        let (told, ballots) = (BTreeMap::new(), BTreeMap::new());
        Self { nodes, switch: None, world, told, unknown: 0, ballots, next: 0, in_two_logs: None }
    }

    /// Running nodes on one machine.
    pub(super) fn local(names: &[&str]) -> Self {
        let world = World::new();
        let nodes = names.iter().map(|name| world.node(name)).collect();
        let mut group = Self::new(world, nodes);
        group.up();
        group
    }

    /// Running nodes in a network whose cables can be made bad.
    pub(super) fn linked(names: &[&str], seed: u64) -> Self {
        let (world, switch) = (World::new(), Switch::new(names, seed));
        let node = |(index, name): (usize, &&str)| world.lone_node(name).in_namespace(switch.namespace(index));
        let nodes = names.iter().enumerate().map(node).collect();
        let mut group = Self::new(world, nodes);
        group.switch = Some(switch);
        group.up();
        group
    }

    /// Starts them all as one organisation that the first has founded, with a question that all may answer.
    pub(super) fn up(&mut self) {
        let [founder, others @ ..] = &mut self.nodes[..] else { return };
        founder.up(&[]);
        for other in others {
            other.up(&["--join", &founder.invite()]);
        }
        let agents: Vec<String> = self.nodes.iter().map(|node| format!("{PERSON}@{}", node.name())).collect();
        for node in &self.nodes {
            node.wait_for_peers(self.nodes.len() - 1);
            node.wait_for_agents(&agents);
        }
        self.nodes[0].cli(&["vote", "new", "Which?", "A", "B", "--id", QUESTION]).ok();
        self.agree();
    }

    /// The cables.
    pub(super) fn switch(&self) -> &Switch {
        self.switch.as_ref().expect("a group with cables")
    }

    /// Lets a node send so many messages of this size; nothing may be refused.
    pub(super) fn say(&mut self, author: usize, count: usize, bytes: usize) {
        let mut session = self.nodes[author].session();
        for _ in 0..count {
            let reply = session.call(message(&[], &self.text(bytes))).expect("a healthy node sends");
            self.acknowledged(author, reply.id.to_string());
        }
    }

    /// The text of the next message; it tells in what order the messages were written.
    pub(super) fn text(&mut self, bytes: usize) -> String {
        self.next += 1;
        format!("{:08} {}", self.next, "x".repeat(bytes.saturating_sub(9)))
    }

    /// Notes that a message was acknowledged.
    pub(super) fn acknowledged(&mut self, author: usize, id: String) {
        self.told.entry(self.nodes[author].name().to_owned()).or_default().push(id);
    }

    /// Notes that a call ended without an answer.
    pub(super) fn unknown(&mut self) {
        self.unknown += 1;
    }

    /// Lets a node answer the question.
    pub(super) fn vote(&mut self, voter: usize, choice: &'static str) {
        self.nodes[voter].cli(&["vote", "cast", QUESTION, choice]).ok();
        self.ballots.insert(voter, choice);
    }

    /// Lets every node say and vote something.
    pub(super) fn all_talk(&mut self, count: usize, bytes: usize) {
        for author in 0..self.nodes.len() {
            self.say(author, count, bytes);
            let summary = format!("work of {author}, {}", self.next);
            self.nodes[author].cli(&["state", "--summary", &summary]).ok();
            self.vote(author, if author.is_multiple_of(2) { "A" } else { "B" });
        }
    }

    /// Waits until all hold the same and everything that was acknowledged, and returns how long that took.
    pub(super) fn agree(&self) -> Duration {
        let started = Instant::now();
        let told: usize = self.told.values().map(Vec::len).sum();
        eventually("all hold the same ops and byte-equal pictures", || {
            let lobbies: Vec<_> = self.nodes.iter().map(|node| node.status().conversations.swap_remove(0)).collect();
            let digests = |at: usize| (&lobbies[at].ops_digest, &lobbies[at].picture_digest);
            let same = (1..lobbies.len()).all(|at| digests(at) == digests(0));
            holds(same && lobbies[0].ops as usize >= told, &lobbies)
        });
        started.elapsed()
    }

    /// Compares what every node holds, by its command line, with what was acknowledged; returns what was lost in words.
    pub(super) fn check(&self) -> String {
        let digests: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| {
                let lobby = node.json(&["status"])["conversations"][0].clone();
                serde_json::json!([lobby["ops_digest"], lobby["picture_digest"]])
            })
            .collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        for node in &self.nodes {
            self.check_history(node);
            self.check_tally(node);
        }
        let told: usize = self.told.values().map(Vec::len).sum();
        let unknown = match self.unknown {
            0 => String::new(),
            unknown => format!("; outcome unknown: {unknown}"),
        };
        format!("nothing of {told} messages and {} ballots on {} nodes{unknown}", self.ballots.len(), self.nodes.len())
    }

    fn check_history(&self, node: &Node) {
        let mut authors: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for message in history(node) {
            let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
            let author = message["from"].to_string();
            let name = self.nodes.iter().find(|node| author.contains(node.name())).map_or("", |node| node.name());
            authors.entry(name.to_owned()).or_default().push((text("id"), text("text")));
        }
        let mut more = 0;
        for (author, told) in &self.told {
            let here = authors.get(author).map(Vec::as_slice).unwrap_or_default();
            let (ids, texts): (Vec<&String>, Vec<&String>) = here.iter().map(|(id, text)| (id, text)).unzip();
            let missing: Vec<&String> = told.iter().filter(|id| !ids.contains(id)).collect();
            assert!(missing.is_empty(), "{} lacks {} of {author}", node.name(), missing.len());
            let breaks = texts.windows(2).filter(|pair| pair[0] >= pair[1]).count();
            let allowed = usize::from(self.in_two_logs.as_ref() == Some(author));
            assert!(breaks <= allowed, "{} has {author}'s in the order of each log", node.name());
            let distinct: BTreeSet<&&String> = texts.iter().collect();
            assert_eq!(distinct.len(), texts.len(), "{} has {author}'s once", node.name());
            more += here.len() - told.len();
        }
        assert!(more <= self.unknown, "{} has {more} messages that nobody was told of", node.name());
    }

    fn check_tally(&self, node: &Node) {
        if self.ballots.is_empty() {
            return;
        }
        let votes = node.json(&["vote", "show", QUESTION])["votes"].clone();
        for choice in ["A", "B"] {
            let expected = self.ballots.values().filter(|ballot| **ballot == choice).count();
            assert_eq!(votes[choice].as_u64().unwrap_or(0) as usize, expected, "{} counts {votes}", node.name());
        }
    }

    /// How often sessions ended, as the nodes' logs tell.
    pub(super) fn breaks(&self) -> usize {
        let breaks = |node: &Node| {
            let lines = node.lines();
            lines
                .iter()
                .filter(|line| line["watch"]["data"]["presence"].as_str().is_some_and(|now| now != "reachable"))
                .count()
        };
        self.nodes.iter().map(breaks).sum()
    }
}

/// Every message that a node holds, oldest first, page by page from its command line.
fn history(node: &Node) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut words = vec!["history", "--limit", "1000"];
        words.extend(before.iter().flat_map(|before| ["--before", before.as_str()]));
        let reply = node.json(&words);
        pages.push(reply["messages"].as_array().cloned().unwrap_or_default());
        match reply["before"].as_u64() {
            Some(more) => before = Some(more.to_string()),
            None => return pages.into_iter().rev().flatten().collect(),
        }
    }
}
