//! Many agents in one program, chance by a seed, and texts that say how old they are.

use std::time::{Duration, Instant};

use fedp2p_node::client::Watch;
use fedp2p_protocols::api::send;
use fedp2p_protocols::api::watch::{self, Event, Topic};
use fedp2p_protocols::pulse::AgentKind;

use crate::node::Node;

/// Marks texts with the time, so that whoever reads one within this program knows how old it is.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    start: Instant,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Stamp {
    /// A text of this length, or a little longer, that is marked with the present time.
    pub fn text(&self, bytes: usize) -> String {
        let mark = format!("{} ", self.start.elapsed().as_nanos());
        format!("{mark}{}", "x".repeat(bytes.saturating_sub(mark.len())))
    }

    /// How old a text is; nothing if it was not marked.
    pub fn age(&self, text: &str) -> Option<Duration> {
        let nanos = text.split(' ').next()?.parse().ok()?;
        Some(self.start.elapsed().saturating_sub(Duration::from_nanos(nanos)))
    }
}

/// Chance that follows from a seed alone.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Makes dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below this one.
    pub fn below(&mut self, most: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }
}

/// A message with this text, to one agent or to everybody.
pub fn say(to: Option<&str>, text: String) -> send::Request {
    send::Request { to: to.map(str::to_owned).into_iter().collect(), text, ..send::Request::default() }
}

/// Watches what reaches an agent, over a connection of its own.
///
/// # Panics
/// If the daemon refuses.
pub async fn watch(node: &Node, agent: &str, kind: AgentKind, topic: Topic) -> Watch {
    let client = node.client(agent, kind).await;
    client.watch(watch::Request { topics: vec![topic], ..Default::default() }).await.unwrap()
}

/// The next event; it has to come within `patience`.
///
/// # Panics
/// If none does, or the daemon ends the watch.
pub async fn next(watch: &mut Watch, patience: Duration) -> Event {
    let event = tokio::time::timeout(patience, watch.next()).await;
    let event = event.unwrap_or_else(|_| panic!("no event within {patience:?}"));
    event.unwrap_or_else(|error| panic!("the watch was ended: {error}")).expect("the daemon runs")
}
