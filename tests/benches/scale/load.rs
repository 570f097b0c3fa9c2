//! The load: many agents on a few daemons, all talking at once, and afterwards the proof that nothing is missing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedp2p_node::client::Client;
use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::api::{inbox, log_verify, state, surfaced};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_tests::crowd::{self, Dice, Stamp, say};
use fedp2p_tests::measure::{Process, Samples, bytes_in, median};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::{PERSON, World};
use fedp2p_tests::{eventually, holds};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How long nothing may come while something is expected.
const STALLED: Duration = Duration::from_secs(60);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(120);

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) daemons: usize,
    pub(crate) agents: usize,
    pub(crate) messages: usize,
    pub(crate) pulses: usize,
    /// One of so many messages is for everybody, the others are for one agent.
    pub(crate) everybody: usize,
    pub(crate) bytes: usize,
    pub(crate) seed: u64,
}

/// What an agent does, one after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Sends to this agent, or to everybody.
    Send(Option<usize>),
    Pulse,
}

impl Plan {
    fn steps(&self, agent: usize) -> Vec<Step> {
        let mut dice = Dice::new(self.seed ^ ((agent as u64) << 32));
        let (messages, pulses) = (self.messages / self.agents, self.pulses / self.agents);
        let mut steps = Vec::with_capacity(messages + pulses);
        for number in 0..messages {
            let other = dice.below(self.agents - 1);
            let other = if other >= agent { other + 1 } else { other };
            let to = (dice.below(self.everybody) != 0).then_some(other);
            steps.push(Step::Send(to));
            if (number + 1) * pulses / messages > number * pulses / messages {
                steps.push(Step::Pulse);
            }
        }
        steps
    }

    fn node(&self, agent: usize) -> usize {
        agent % self.daemons
    }

    fn name(agent: usize) -> String {
        format!("a{agent}")
    }

    fn address(&self, agent: usize) -> String {
        format!("{}@n{}", Self::name(agent), self.node(agent))
    }
}

/// What one agent has done.
struct Spoke {
    agent: usize,
    sent: Vec<(OpId, Option<usize>)>,
    sends: Samples,
    states: Samples,
}

async fn speak(plan: Plan, agent: usize, mut client: Client, stamp: Stamp) -> Spoke {
    client.set_patience(CALL);
    let mut spoke = Spoke { agent, sent: Vec::new(), sends: Samples::default(), states: Samples::default() };
    for step in plan.steps(agent) {
        let start = Instant::now();
        match step {
            Step::Send(to) => {
                let address = to.map(|to| plan.address(to));
                let sent = client.call(say(address.as_deref(), stamp.text(plan.bytes))).await.unwrap();
                spoke.sends.push(start.elapsed());
                spoke.sent.push((sent.id, to));
            }
            Step::Pulse => {
                let pulse = Pulse { summary: Some(stamp.text(60)), ..Pulse::default() };
                client.call(state::Request { pulse, clear: vec![] }).await.unwrap();
                spoke.states.push(start.elapsed());
            }
        }
    }
    spoke
}

/// What one reader saw.
#[derive(Default)]
struct Heard {
    direct: Samples,
    everybody: Samples,
    pulses: Samples,
}

async fn listen(mut watch: fedp2p_node::client::Watch, messages: usize, pulses: usize, stamp: Stamp) -> Heard {
    let mut heard = Heard::default();
    while heard.direct.len() + heard.everybody.len() < messages || heard.pulses.len() < pulses {
        match crowd::next(&mut watch, STALLED).await {
            Event::Message(message) => {
                let Some(age) = stamp.age(&message.text) else { continue };
                if message.to.is_empty() { heard.everybody.push(age) } else { heard.direct.push(age) }
            }
            Event::Pulse(row) => {
                heard.pulses.extend(row.pulse.summary.and_then(|summary| stamp.age(&summary)).into_iter().collect());
            }
            _ => {}
        }
    }
    heard
}

/// Everything that waits for an agent, taken page by page.
async fn take_inbox(mut client: Client) -> Vec<OpId> {
    client.set_patience(CALL);
    let mut ids = Vec::new();
    loop {
        let page = client.call(inbox::Request { limit: 1000, held: false }).await.unwrap();
        if page.messages.is_empty() {
            return ids;
        }
        ids.extend(page.messages.iter().map(|message| message.id));
        client.call(surfaced::Request { cursor: page.cursor, held: page.with_held }).await.unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// How many messages each agent is to find in its inbox.
fn expected(plan: &Plan) -> Vec<usize> {
    let (mut direct, mut to_all) = (vec![0; plan.agents], vec![0; plan.agents]);
    for (agent, own) in to_all.iter_mut().enumerate() {
        for step in plan.steps(agent) {
            match step {
                Step::Send(Some(to)) => direct[to] += 1,
                // It does not reach its author.
                Step::Send(None) => *own += 1,
                Step::Pulse => {}
            }
        }
    }
    let all: usize = to_all.iter().sum();
    direct.iter().zip(&to_all).map(|(direct, own)| direct + all - own).collect()
}

/// Everything that the load needs, set up.
struct Stage {
    plan: Plan,
    nodes: Vec<Node>,
    runtime: Runtime,
    stamp: Stamp,
}

/// What the load left behind.
struct Played {
    spoke: Vec<Spoke>,
    heard: Heard,
    took: Duration,
    cpu: f64,
    own_cpu: f64,
}

impl Stage {
    fn play(&self) -> Played {
        let Self { plan, nodes, runtime, stamp } = self;
        let counts = expected(plan);
        let mut listeners = JoinSet::new();
        let mut clients = Vec::new();
        runtime.block_on(async {
            for (agent, count) in counts.into_iter().enumerate() {
                let (node, name) = (&nodes[plan.node(agent)], Plan::name(agent));
                let watch = crowd::watch(node, &name, AgentKind::Person, Topic::Inbox).await;
                listeners.spawn(listen(watch, count, 0, *stamp));
                clients.push(node.client(&name, AgentKind::Person).await);
            }
            for node in nodes {
                let watch = crowd::watch(node, PERSON, AgentKind::Person, Topic::Pulse).await;
                listeners.spawn(listen(watch, 0, plan.pulses, *stamp));
            }
        });
        let addresses: Vec<String> = (0..plan.agents).map(|agent| plan.address(agent)).collect();
        nodes.iter().for_each(|node| node.wait_for_agents(&addresses));
        let cpu = || nodes.iter().map(|node| node.process().cpu_seconds()).sum::<f64>();
        let (before, own_before) = (cpu(), Process::own().cpu_seconds());
        let start = Instant::now();
        let (spoke, heard) = runtime.block_on(async {
            let mut speakers = JoinSet::new();
            for (agent, client) in clients.into_iter().enumerate() {
                speakers.spawn(speak(*plan, agent, client, *stamp));
            }
            let spoke = speakers.join_all().await;
            (spoke, listeners.join_all().await)
        });
        let took = start.elapsed();
        let mut all = Heard::default();
        for one in heard {
            all.direct.extend(one.direct);
            all.everybody.extend(one.everybody);
            all.pulses.extend(one.pulses);
        }
        let own_cpu = Process::own().cpu_seconds() - own_before;
        Played { spoke, heard: all, took, cpu: cpu() - before, own_cpu }
    }

    /// Checks that every message is in the inboxes that it belongs to, once, and in no other. Returns how many
    /// entries of inboxes there were.
    fn check_inboxes(&self, spoke: &[Spoke]) -> usize {
        let Self { plan, nodes, runtime, .. } = self;
        let mut takers = JoinSet::new();
        runtime.block_on(async {
            for agent in 0..plan.agents {
                let client = nodes[plan.node(agent)].client(&Plan::name(agent), AgentKind::Person).await;
                takers.spawn(async move { (agent, take_inbox(client).await) });
            }
            let mut entries = 0;
            for (agent, ids) in takers.join_all().await {
                entries += ids.len();
                let found: BTreeSet<OpId> = ids.iter().copied().collect();
                assert_eq!(found.len(), ids.len(), "{} was handed a message twice", Plan::name(agent));
                let is_for = |from: usize, to: Option<usize>| to.is_none_or(|to| to == agent) && from != agent;
                let all = spoke.iter().flat_map(|one| one.sent.iter().map(move |(id, to)| (one.agent, *id, *to)));
                let right: BTreeSet<OpId> =
                    all.filter(|(from, _, to)| is_for(*from, *to)).map(|(_, id, _)| id).collect();
                assert!(found == right, "{}: {} found, {} sent to it", Plan::name(agent), found.len(), right.len());
            }
            entries
        })
    }

    /// Checks that all daemons hold the same and that every entry is what was signed. Returns how many there are.
    fn check_daemons(&self) -> u64 {
        eventually("all daemons hold the same", || {
            let digests: BTreeSet<_> = self.nodes.iter().map(digests).collect();
            holds(digests.len() == 1, &digests)
        });
        let mut ops = BTreeSet::new();
        for node in &self.nodes {
            let mut session = node.session();
            session.set_patience(CALL);
            let proof = session.call(log_verify::Request {}).unwrap();
            assert_eq!(proof.broken, None, "{}", node.name());
            ops.insert(proof.ops);
        }
        assert_eq!(ops.len(), 1, "all daemons have as many entries: {ops:?}");
        ops.pop_first().unwrap_or(0)
    }
}

/// What tells whether two daemons hold the same.
fn digests(node: &Node) -> (String, String, u64) {
    let lobby = node.status().conversations.into_iter().next().expect("a node has a lobby");
    (lobby.ops_digest, lobby.picture_digest, lobby.ops)
}

/// Plays the load and proves what came of it.
pub(crate) fn run(plan: Plan) -> Vec<(String, String)> {
    let world = World::new();
    let nodes = world.daemons(plan.daemons);
    let stage = Stage { plan, nodes, runtime: runtime(), stamp: Stamp::default() };
    let played = stage.play();
    let entries = stage.check_inboxes(&played.spoke);
    let ops = stage.check_daemons();
    let sent: usize = played.spoke.iter().map(|one| one.sent.len()).sum();
    let to_all = played.spoke.iter().flat_map(|one| &one.sent).filter(|(_, to)| to.is_none()).count();
    let (mut sends, mut states) = (Samples::default(), Samples::default());
    for one in played.spoke {
        sends.extend(one.sends);
        states.extend(one.states);
    }
    let took = played.took.as_secs_f64();
    let peak: Vec<f64> = stage.nodes.iter().map(|node| node.process().peak_mb()).collect();
    let disk = stage.nodes.iter().map(|node| bytes_in(node.home()) as f64);
    let disk = median(disk);
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("workload", workload(&plan)),
        fact("messages", format!("{sent} sent and acknowledged, {to_all} of them to everybody; 0 errors")),
        fact("pulse changes", format!("{} acknowledged; 0 errors", states.len())),
        fact(
            "proof",
            format!("{entries} inbox entries, each right and once; equal digests and {ops} good entries on all"),
        ),
        fact(
            "throughput",
            format!("{:.0} messages/s and {:.0} pulse changes/s", sent as f64 / took, states.len() as f64 / took),
        ),
        fact("took", format!("{took:.1} s until everything was read everywhere")),
        fact("send() call", sends.words()),
        fact("delivery to one agent", played.heard.direct.words()),
        fact("delivery to everybody, each recipient", played.heard.everybody.words()),
        fact("pulse call", states.words()),
        fact("pulse change seen at a daemon", played.heard.pulses.words()),
        fact(
            "memory of a daemon, peak",
            format!(
                "median {:.1} MB, most {:.1} MB",
                median(peak.iter().copied()),
                peak.iter().fold(0.0_f64, |a, b| a.max(*b))
            ),
        ),
        fact("disk of a daemon", format!("{:.1} MB, {:.0} bytes an entry", disk / 1e6, disk / ops as f64)),
        fact(
            "processor",
            format!(
                "{:.2} s of all daemons per 1,000 messages; {:.1} s in all, and {:.1} s of the clients",
                played.cpu * 1e3 / sent as f64,
                played.cpu,
                played.own_cpu
            ),
        ),
    ]
}

fn workload(plan: &Plan) -> String {
    format!(
        "{} agents on {} daemons on one machine; each agent a closed loop with 1 call in flight; texts of {} bytes, 1 in {} to everybody, the others to one agent by chance (seed {}); every delivery is read by a watch",
        plan.agents, plan.daemons, plan.bytes, plan.everybody, plan.seed
    )
}
