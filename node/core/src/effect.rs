//! What a [`Core`](crate::Core) wants done.

use fedp2p_protocols::api::{Answer, watch};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{ConversationId, NodeId};
use fedp2p_protocols::joining;

use crate::input::{CallId, Exchange, GossipId, Unverified, VerifyToken};
use crate::store::{Commit, Read, ReadToken};

/// What becomes of a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Good: pass it on.
    Accept,
    /// Not ours to judge, or known: do not pass it on, think no worse of the sender.
    Ignore,
    /// The sender should have known better.
    Reject,
}

/// One thing to do. The driver carries effects out in order and never blocks on one.
#[derive(Debug)]
pub enum Effect {
    /// Write; the answer is [`Input::Committed`](crate::Input::Committed) or
    /// [`Input::CommitFailed`](crate::Input::CommitFailed).
    Commit(Commit),
    /// Read; the answer is [`Input::Read`](crate::Input::Read).
    Read(ReadToken, Read),
    /// Check signatures; the answer is [`Input::Verified`](crate::Input::Verified).
    Verify(VerifyToken, Vec<Unverified>),
    /// Answer a client.
    Reply(CallId, Answer),
    /// Tell the daemon's own log what happened.
    Event(Box<watch::Event>),
    /// Take part in the gossip of a conversation.
    Subscribe {
        /// The conversation.
        conversation: ConversationId,
        /// Its gossip topic.
        topic: String,
    },
    /// Gossip an op of our own.
    Publish {
        /// The topic.
        topic: String,
        /// The op as it travels.
        data: Vec<u8>,
    },
    /// Decide the fate of a gossip message.
    Judge(GossipId, Verdict),
    /// Send a sync frame.
    Send {
        /// To whom.
        peer: NodeId,
        /// Its content.
        frame: Vec<u8>,
    },
    /// This node is a member: its connections carry members' protocols from now on.
    Admit {
        /// The node.
        peer: NodeId,
        /// Where it may be reached.
        addresses: Vec<String>,
    },
    /// Answer a hello.
    HelloAnswer(Exchange, bool),
    /// Close every connection to this node and do not dial it for a while.
    Disconnect {
        /// The node.
        peer: NodeId,
        /// Why, for the log.
        reason: String,
    },
    /// Answer a shown ticket with its secret; nothing if it is not ours.
    TicketSecret(Exchange, Option<[u8; 32]>),
    /// Answer a request to join.
    JoinAnswer(Exchange, Box<joining::Answer>),
    /// Say hello with this chain from now on.
    OwnChain(Box<Chain>),
    /// Leave the loop, join the organisation of this ticket and start again; then answer the call.
    Join {
        /// Who asked.
        call: CallId,
        /// The ticket and the wanted name.
        request: fedp2p_protocols::api::join::Request,
    },
    /// Stop.
    Stop,
}
