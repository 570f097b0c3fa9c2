//! What the mesh agrees on: Automerge documents behind an admission gate, and the picture made from them.
//!
//! Every node has one document per conversation, which only that node writes. A document starts from one constant
//! change that all documents share ([`genesis`]) and grows by changes that travel as signed ops. This crate turns
//! edits into changes, decides which foreign changes may enter ([`gate`]), reads typed content out of documents
//! ([`content`]) and makes one picture of all of them ([`picture`]).
//!
//! It is not a transport, it checks no signatures and it keeps nothing: the caller says who wrote a change and
//! stores its bytes. It has no clock and no randomness; the same calls give the same bytes.
//!
//! | module | what it holds |
//! |---|---|
//! | [`document`] | a replica of one document epoch: admit, write, restate, save |
//! | [`content`] | what a document says, as types, and the edits that change it |
//! | [`gate`] | why a foreign change is refused, in the order of the checks |
//! | [`picture`] | what all documents say together, and its digest |
//! | [`standing`] | which ballots count and what a proposal's result is |
//! | [`genesis`] | the change that all documents start from |
//!
//! # Layout of a document
//!
//! All documents together form one ordinary Automerge document: maps within maps, with texts and unsigned
//! numbers as leaves. Times are milliseconds since 1970. Everything stands below `nodes/<node id>`:
//!
//! | path | value |
//! |---|---|
//! | `agents/<agent>/kind` | `person` or `ai` |
//! | `agents/<agent>/at` | time of the last pulse; absent if there was none |
//! | `agents/<agent>/<field>` | one text for each pulse field: `summary`, `action`, `thinking`, `wondering`, `offering`, `status` |
//! | `proposals/<id>/by` | the agent that asks |
//! | `proposals/<id>/question` | the question |
//! | `proposals/<id>/options/<nn>` | the options, keyed `00`, `01`, … in the asker's order |
//! | `proposals/<id>/mechanism` | `poll` |
//! | `proposals/<id>/revision` | number, from 1 |
//! | `proposals/<id>/opened` | time |
//! | `proposals/<id>/closed/at` | time; present once the proposal is closed |
//! | `proposals/<id>/closed/counted/<node id>/<agent>` | number of the ballot that counts for this voter |
//! | `ballots/<node id>/<proposal id>/<voter>/<number>/revision` | the revision that the voter saw |
//! | `…/choice`, `…/reason`, `…/at` | the option, why (may be absent), time |
//!
//! Lists, counters and Automerge text objects do not occur, and the gate refuses them: a map of scalars has the
//! fewest ways to go wrong in the hands of a hostile writer, and two writers never meet in one map.
//!
//! # Example
//!
//! ```
//! use fedp2p_crdt::content::Edit;
//! use fedp2p_crdt::document::{Document, DocumentId};
//! use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
//! use fedp2p_protocols::pulse::AgentKind;
//!
//! let id = DocumentId {
//!     node: NodeId::from_bytes([1; 32]),
//!     log: LogId::from_bytes([2; 16]),
//!     conversation: ConversationId::from_bytes([3; 16]),
//!     epoch: 0,
//! };
//! let mut ours = Document::new(id);
//! let edit = Edit::Register { agent: "coder".parse()?, kind: AgentKind::Ai };
//! let change = ours.write(&[edit], 1_700_000_000_000)?.expect("the agent is new");
//!
//! let mut theirs = Document::new(id);
//! theirs.admit(&change)?;
//! assert_eq!(theirs.content(), ours.content());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Panics inside Automerge
//!
//! The gate runs Automerge inside `catch_unwind`, so a panic there is a refusal. The default panic hook still
//! prints it: a daemon that wants silence installs a hook of its own. The crate must be built with unwinding
//! panics.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod content;
pub mod document;
pub mod gate;
pub mod genesis;
pub mod picture;
pub mod standing;

mod digest;
mod ledger;
mod read;
mod runs;
mod scan;
mod write;
