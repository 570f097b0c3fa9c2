//! How the node and its peers are doing.

use fedp2p_protocols::api::{peers, status};
use fedp2p_protocols::id::{ConversationId, NodeId};

use crate::{Core, LOBBY};

impl Core {
    pub(crate) fn status(&mut self) -> status::Reply {
        let me = self.me();
        let conversations = std::iter::once(self.lobby)
            .chain(self.ops.keys().copied().filter(|id| *id != self.lobby))
            .collect::<Vec<_>>();
        let conversations = conversations.into_iter().map(|id| self.conversation(id)).collect();
        let others = self.members.iter().filter(|(node, _)| **node != me);
        let members = others.count() as u32;
        let mut warnings = self.warnings.clone();
        if self.chain.not_after() <= self.now.wall_ms {
            warnings.push(
                "the certificate of this node has expired; others do not accept it until it is renewed".to_owned(),
            );
        }
        status::Reply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.members.info(&me).expect("a node is a member of its own organisation"),
            home: self.home.clone(),
            pid: self.pid,
            uptime_ms: self.now.monotonic.saturating_sub(self.started.monotonic).as_millis() as u64,
            listening: self.listening.clone(),
            reachable: self.sessions.len() as u32,
            members,
            log_epoch: self.epoch,
            certificate_expires: self.chain.not_after(),
            admin: self.chain.may_admit(),
            pin: self.pin.is_some(),
            conversations,
            forks: self
                .forks
                .iter()
                .map(|(key, seq)| status::Fork { node: self.members.display(&key.author), log: key.log, seq: *seq })
                .collect(),
            warnings,
        }
    }

    fn conversation(&mut self, id: ConversationId) -> status::Conversation {
        let ops_digest = self.logs.digest(&id);
        let picture_digest = self.documents.picture_digest(&id);
        status::Conversation {
            id,
            name: if id == self.lobby { LOBBY.to_owned() } else { format!("{LOBBY}-before-joining") },
            ops: self.ops.get(&id).copied().unwrap_or(0),
            logs: self.logs.of(&id).count() as u32,
            ops_digest: hex(&ops_digest),
            picture_digest: hex(&picture_digest),
            pending: self.pending.len() as u32,
        }
    }

    pub(crate) fn peers(&self) -> peers::Reply {
        let lobby = self.lobby;
        let ours: Vec<_> =
            self.logs.of_author(&lobby, self.me()).map(|(key, log)| (*key, log.durable_height())).collect();
        let behind = |node: &NodeId| {
            let held = |key| self.reaches.get(&(*node, key)).copied().unwrap_or(0);
            ours.iter().map(|(key, height)| height.saturating_sub(held(*key))).sum()
        };
        let row = |(node, chain): (&NodeId, &fedp2p_protocols::certificate::Chain)| {
            let session = self.sessions.get(node);
            peers::Peer {
                name: self.members.display(node),
                id: *node,
                presence: self.presence(node),
                address: session.map(|session| session.address.clone()),
                last_seen: self.seen.get(node).map(|seen| seen.wall_ms),
                rtt_us: session.and_then(|session| session.rtt).map(|rtt| rtt.as_micros() as u64),
                behind: behind(node),
                certificate_expires: chain.not_after(),
            }
        };
        let mut peers: Vec<_> = self.members.iter().filter(|(node, _)| **node != self.me()).map(row).collect();
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        peers::Reply { peers }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
