//! What the daemon tells gossipsub, what gossipsub does by itself, and how large things are on the wire.

use super::Nanos;

/// A millisecond.
pub(super) const MS: Nanos = 1_000_000;
/// A second.
pub(super) const SECOND: Nanos = 1_000 * MS;

/// Fewest mesh links before more are sought.
pub(super) const MESH_LOW: usize = 5;
/// How many mesh links are wanted.
pub(super) const MESH: usize = 6;
/// So many mesh links are too many.
pub(super) const MESH_HIGH: usize = 12;
/// How many of the best are kept when there are too many.
pub(super) const RETAINED: usize = 4;
/// Time between heartbeats.
pub(super) const HEARTBEAT: Nanos = 250 * MS;
/// For how many heartbeats a message can be asked for, and for how many of them it is announced.
pub(super) const HISTORY: (u32, u32) = (40, 12);
/// Whether a publisher sends to all its peers and not only to its mesh.
pub(super) const FLOOD_PUBLISH: bool = true;
/// How many peers hear at a heartbeat what a node has, at least.
pub(super) const LAZY: usize = 6;
/// What share of the peers outside the mesh hears it.
pub(super) const LAZY_FACTOR: f64 = 0.0;
/// The settings on which the spread depends most; others than the daemon's can be tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tuning {
    pub(super) mesh_low: usize,
    pub(super) mesh: usize,
    /// What share of the peers outside the mesh hears at a heartbeat what there is.
    pub(super) lazy_factor: f64,
}

/// How long a link that was pruned is not grafted again.
pub(super) const PRUNE_BACKOFF: Nanos = 5 * SECOND;
/// How long an answer to a request for a message may take.
pub(super) const PROMISE: Nanos = 3 * SECOND;
/// How often one peer may ask for one message.
pub(super) const RETRANSMISSIONS: u8 = 3;
/// How many announcements of one peer are read between two heartbeats.
pub(super) const MAX_ANNOUNCEMENTS: u32 = 10;
/// Larger messages are declined by those who have them.
pub(super) const DECLINE_OVER_BYTES: u32 = 1000;
/// How long it counts that a message was declined.
pub(super) const DECLINED: Nanos = 3 * SECOND;
/// Misbehaviour up to so much is forgiven.
pub(super) const FORGIVEN: f64 = 6.0;
/// Below these scores a peer's announcements are not read, and nothing is published to it.
pub(super) const THRESHOLDS: (f64, f64) = (-10.0, -50.0);

/// How long a node takes to check a message before it passes it on.
pub(super) const CHECK: Nanos = 200_000;
/// Up to so many sync sessions new entries go straight to all of them.
pub(super) const SMALL_MESH: usize = 12;
/// Mean time between the digests of one session that has nothing to mend.
pub(super) const DIGEST: Nanos = 30_500 * MS;
/// How soon others are shown what was fetched.
pub(super) const SPREAD: Nanos = 200 * MS;
/// How soon a peer may be asked again after a gap.
pub(super) const ASK_AGAIN: Nanos = 50 * MS;
/// How long a peer may take for what it was asked for.
pub(super) const STALLED: Nanos = 5 * SECOND;

/// What yamux, Noise and the length of a frame add to each.
pub(super) const FRAME_BYTES: u32 = 12 + 18 + 2;
/// The name of a topic and its field.
pub(super) const TOPIC_BYTES: u32 = 37;
/// The id of a message and its field.
pub(super) const ID_BYTES: u32 = 22;
/// One log in a list of heads: author, log, height, hash.
pub(super) const HEAD_BYTES: u32 = 32 + 16 + 4 + 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The model may not import the daemon, so it reads what the daemon says.
    #[test]
    fn the_model_has_the_settings_of_the_daemon() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let gossip = std::fs::read_to_string(folder.join("node/src/net/gossip.rs")).unwrap();
        for setting in [
            format!(".mesh_n_low({MESH_LOW})"),
            format!(".mesh_n({MESH})"),
            format!(".mesh_n_high({MESH_HIGH})"),
            ".mesh_outbound_min(0)".to_owned(),
            format!(".heartbeat_interval(Duration::from_millis({}))", HEARTBEAT / MS),
            format!(".flood_publish({FLOOD_PUBLISH})"),
            format!(".history_length({})", HISTORY.0),
            format!(".history_gossip({})", HISTORY.1),
            format!(".gossip_factor({LAZY_FACTOR:?})"),
            format!(".prune_backoff(Duration::from_secs({}))", PRUNE_BACKOFF / SECOND),
            format!("behaviour_penalty_threshold: {FORGIVEN:?}"),
            ".validate_messages()".to_owned(),
        ] {
            assert!(gossip.contains(&setting), "the daemon no longer says {setting}");
        }
        let session = std::fs::read_to_string(folder.join("node/core/src/session.rs")).unwrap();
        for setting in [
            format!("SMALL_MESH: usize = {SMALL_MESH}"),
            format!("SPREAD: Duration = Duration::from_millis({})", SPREAD / MS),
            format!("ASK_AGAIN: Duration = Duration::from_millis({})", ASK_AGAIN / MS),
            "DIGEST_AT_MOST: Duration = Duration::from_secs(30)".to_owned(),
        ] {
            assert!(session.contains(&setting), "the core no longer says {setting}");
        }
    }
}
