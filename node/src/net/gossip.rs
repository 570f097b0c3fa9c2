//! The settings of gossipsub.
//!
//! The defaults are made for large open networks: in a small closed one several of them lose messages or punish
//! honest nodes. Ops are signed by their authors, so gossip itself signs nothing and names a message by its content.
//! The worker is the only caller.

use std::collections::HashMap;
use std::time::Duration;

use fedp2p_core::TOPICS;
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, Message,
    MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams,
    TopicSubscriptionFilter, ValidationMode,
};

/// Gossip with a bound on how many topics a peer can make us remember, and on what they look like.
pub(super) type Gossip = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<Ours>>;

/// Lets in what can be a topic of ours: others could be as long as a message.
#[derive(Debug)]
pub(super) struct Ours;

impl TopicSubscriptionFilter for Ours {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().starts_with(TOPICS) && topic.as_str().len() <= MAX_TOPIC_BYTES
    }
}

/// Largest message with everything that gossipsub adds to it.
const MAX_TRANSMIT_BYTES: usize = 64 * 1024;
/// Most topics that a peer may subscribe to, and name in one message.
const MAX_TOPICS: usize = 1024;
/// Longest topic.
const MAX_TOPIC_BYTES: usize = 64;

/// Returns the id of a message: the first 20 bytes of its hash.
fn message_id(message: &Message) -> MessageId {
    MessageId::from(&blake3::hash(&message.data).as_bytes()[..20])
}

fn config() -> Result<Config, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(MAX_TRANSMIT_BYTES)
        // Lost messages are asked for at heartbeats, so their interval is the time to repair.
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(250))
        // A node with fewer seeks more. With 2, a thousand nodes were up to 15 hops wide and a lost hop cost some the
        // message; with 5 they are 6 to 8 (`fedp2p-testnet fanout --mesh-low`).
        .mesh_n_low(5)
        .mesh_n(6)
        .mesh_n_high(12)
        .mesh_outbound_min(0)
        // A publisher sends to every peer, so a mesh of up to a dozen nodes is one hop wide.
        .flood_publish(true)
        .history_length(40)
        .history_gossip(12)
        // Six peers hear what there is, however many are connected. With a quarter of them, as is usual, announcements were
        // two thirds of what a hundred nodes sent, and no more came of it (`fedp2p-testnet fanout --lazy-factor`).
        .gossip_factor(0.0)
        // Each message takes memory for so long; one that comes again later is known from the store.
        .duplicate_cache_time(Duration::from_secs(60))
        .publish_queue_duration(Duration::from_secs(10))
        .forward_queue_duration(Duration::from_secs(10))
        // The builder's documentation promises 5000, the codec takes 500 unless this is called.
        .max_publish_messages(256)
        .prune_backoff(Duration::from_secs(5))
        .unsubscribe_backoff(Duration::from_secs(1))
        .idontwant_on_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    check(&config)?;
    Ok(config)
}

/// Checks what gossipsub itself checks only for topics with settings of their own.
fn check(config: &Config) -> Result<(), String> {
    let mesh = config.mesh_outbound_min() <= config.mesh_n_low()
        && config.mesh_n_low() <= config.mesh_n()
        && config.mesh_n() <= config.mesh_n_high()
        && config.mesh_outbound_min() * 2 <= config.mesh_n();
    let history = config.history_gossip() <= config.history_length();
    let op = fedp2p_protocols::limits::MAX_OP_BYTES + 1024 <= config.max_transmit_size();
    match mesh && history && op {
        true => Ok(()),
        false => Err("the settings of gossip contradict each other".to_owned()),
    }
}

/// Scores punish invalid messages and full queues. Silence is no fault in a quiet conversation, and many nodes behind
/// one address are normal here, so both weigh nothing.
fn score() -> PeerScoreParams {
    PeerScoreParams {
        topics: HashMap::new(),
        ip_colocation_factor_weight: 0.0,
        // A node that was suspended breaks a few promises when it wakes up.
        behaviour_penalty_threshold: 6.0,
        ..PeerScoreParams::default()
    }
}

fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        ..TopicScoreParams::default()
    }
}

/// Makes the behaviour.
///
/// # Errors
/// If a setting is not valid.
pub(super) fn new() -> Result<Gossip, String> {
    let filter = MaxCountSubscriptionFilter {
        filter: Ours,
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    let mut gossip = Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config()?, filter)?;
    gossip.with_peer_score(score(), PeerScoreThresholds::default())?;
    Ok(gossip)
}

/// Takes part in a topic.
///
/// # Errors
/// If gossipsub refuses.
pub(super) fn subscribe(gossip: &mut Gossip, topic: String) -> Result<(), String> {
    let topic = IdentTopic::new(topic);
    gossip.subscribe(&topic).map_err(|error| error.to_string())?;
    gossip.set_topic_params(topic, topic_score())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_settings_are_valid() {
        drop(new().unwrap());
        score().validate().unwrap();
        topic_score().validate().unwrap();
    }

    #[test]
    fn only_what_can_be_a_topic_of_ours_is_remembered() {
        let is_ours = |name: String| Ours.can_subscribe(&IdentTopic::new(name).hash());
        assert!(is_ours(format!("{TOPICS}{}", "a".repeat(26))));
        assert!(!is_ours(format!("{TOPICS}{}", "a".repeat(60))));
        assert!(!is_ours("a".repeat(26)));
    }

    #[test]
    fn contradictory_settings_are_refused() {
        let bad = ConfigBuilder::default().mesh_n_low(7).mesh_n(6).build().unwrap();
        assert!(check(&bad).is_err());
    }
}
