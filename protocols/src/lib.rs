#![cfg_attr(test, allow(clippy::unwrap_used))]
//! What the mesh says: ids, names, signed ops, certificates, the frames of every protocol and the operations of the
//! API. It is not what anybody does with them: there is no socket, no clock and no database here.
//!
//! | module | holds |
//! |---|---|
//! | [`id`], [`name`], [`hlc`] | names of things and of moments |
//! | [`limits`] | every bound on what comes from outside |
//! | [`codec`] | the one way to write integers, lists and text |
//! | [`op`], [`payload`] | the signed log entry and what it can say |
//! | [`certificate`], [`ticket`], [`joining`], [`hello`] | who belongs, and how it is proven |
//! | [`sync`] | the frames that mend what gossip lost |
//! | [`pulse`], [`vote`], [`task`] | what agents say of themselves, decide together and do for each other |
//! | [`claim`] | who works on what, so that no two do |
//! | [`attention`] | what an agent wants to be handed now |
//! | [`api`] | one file for each operation of the doors |
//!
//! ```
//! use fedp2p_protocols::op::NodeKey;
//! let key = NodeKey::from_seed([7; 32]);
//! let text = key.id().to_string();
//! assert_eq!(text.parse(), Ok(key.id()));
//! ```

pub mod api;
pub mod attention;
pub mod certificate;
pub mod claim;
pub mod codec;
pub mod hello;
pub mod hlc;
pub mod id;
pub mod joining;
pub mod limits;
pub mod name;
pub mod op;
pub mod payload;
pub mod pulse;
pub mod sync;
pub mod task;
pub mod ticket;
pub mod vote;
