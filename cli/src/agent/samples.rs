//! Tasks and messages for tests.

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::origin::Origin;
use fedp2p_protocols::api::task::{Assignee, Task};
use fedp2p_protocols::id::{ConversationId, NodeId, OpId};
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::{Priority, State};

/// A task that `ada@taichi` made.
pub(crate) fn task(id: &str, text: &str) -> Task {
    Task {
        id: id.to_owned(),
        by: "ada@taichi".parse().unwrap(),
        origin: Origin { organisation: None, verified: true },
        title: format!("do {id}"),
        text: Some(text.to_owned()),
        data: None,
        state: State::Working,
        ready: false,
        blocked: false,
        priority: Priority::Normal,
        to: Assignee::Anyone,
        after: Vec::new(),
        due: None,
        revision: 1,
        attempt: 1,
        made: 0,
        holder: None,
        note: None,
        result: None,
        statements: Vec::new(),
        offer: None,
        canceled: None,
        closed: None,
    }
}

/// A message to `coder@taichi`, with an id that is made of its number.
pub(crate) fn message(number: u8, from: &str, text: &str) -> Message {
    Message {
        id: OpId::from_bytes([number; 32]),
        conversation: ConversationId::from_bytes([1; 16]),
        from: from.parse().unwrap(),
        from_node: NodeId::from_bytes([2; 32]),
        organisation: Some("acme".parse().unwrap()),
        from_kind: Some(AgentKind::Person),
        verified: true,
        to: vec!["coder@taichi".parse().unwrap()],
        kind: MessageType::Chat,
        text: text.to_owned(),
        data: None,
        reply_to: None,
        correlation: None,
        urgent: false,
        expires: None,
        covers: Vec::new(),
        at: u64::from(number),
        position: u64::from(number),
        deliveries: Vec::new(),
    }
}
