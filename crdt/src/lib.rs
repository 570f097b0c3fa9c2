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
//! | [`load`] | how much of an epoch that takes up, and how much it may |
//! | [`gate`] | why a foreign change is refused, in the order of the checks |
//! | [`note`] | a text that everybody edits, with a gate of its own |
//! | [`picture`] | what all documents say together, and its digest |
//! | [`standing`] | which ballots count and what a proposal's result is |
//! | [`roles`] | who has which role |
//! | [`claim`] | which claims hold, and what a node may promise |
//! | [`task`] | how far tasks are, who holds them, what they wait for |
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
//! | `agents/<agent>/said/at` | time of the last pulse; absent if there was none |
//! | `agents/<agent>/said/pulse/<field>` | one text for each field: `summary`, `action`, `thinking`, `wondering`, `offering`, `status` |
//! | `proposals/<id>/by` | the agent that asks |
//! | `proposals/<id>/question` | the question |
//! | `proposals/<id>/options/<nn>` | the options, keyed `00`, `01`, … in the asker's order |
//! | `proposals/<id>/acknowledged` | when all who were asked had acknowledged it; may be absent |
//! | `proposals/<id>/rules/mechanism` | `poll`, `vote`, `approval`, `ranked` or `signoff` |
//! | `proposals/<id>/rules/threshold`, `quorum` | `majority`, `two-thirds`, `unanimous` or a fraction; may be absent |
//! | `proposals/<id>/rules/of` | `voting` or `electorate` |
//! | `proposals/<id>/rules/electorate` | `all`, `people`, the map `role` with a role's name, or the map `agents` with a list of maps of `node` and `name` |
//! | `proposals/<id>/rules/acknowledge_until`, `deadline` | times; may be absent |
//! | `proposals/<id>/rules/early` | 0 or 1 |
//! | `proposals/<id>/revision` | number, from 1 |
//! | `proposals/<id>/opened` | time |
//! | `proposals/<id>/closed/at` | time; present once the proposal is closed |
//! | `proposals/<id>/closed/cause` | `asker`, `settled`, `deadline` or `withdrawn` |
//! | `proposals/<id>/closed/eligible` | how many could vote |
//! | `proposals/<id>/closed/counted/<node id>/<agent>` | the ballot that counts: its number, a colon, the places of its choices |
//! | `ballots/<node id>/<proposal id>/<voter>/<number>/revision` | the revision that the voter saw |
//! | `…/choices/<nn>`, `…/reason`, `…/at` | the options, why (may be absent), time |
//! | `attendance/<agent>/here`, `at` | whether a client speaks for the agent (0 or 1), and since when; absent if none has said that it does |
//! | `attention/<agent>/mode`, `urgent/…`, `at` | what the agent wants to be handed, whose urgent messages in any case, and when it said so |
//! | `seen/<node id>/<proposal id>/<agent>/revision`, `at` | what the agent says to have seen, and when |
//! | `roles/<role>/<node id>/<agent>/by`, `has`, `revision`, `at` | who says so, whether the agent has the role (0 or 1), from 1, time |
//! | `claims/<counter>/resource/task` | the task: node id, a slash, task id |
//! | `claims/<counter>/resource/files/repository`, `globs/<nn>` | or the files |
//! | `claims/<counter>/by`, `mode`, `ttl_s`, `why`, `salt` | agent, `exclusive` or `shared`, seconds, text (may be absent), number |
//! | `claims/<counter>/replaces/<nn>/fence/counter`, `fence/node`, `renewals` | claims it takes over (may be absent) |
//! | `claims/<counter>/taken`, `renewals`, `renewed` | time, number, time |
//! | `claims/<counter>/confirmed/acknowledged`, `members`, `at` | numbers and time; present once it is confirmed |
//! | `claims/<counter>/ended/cause`, `to/counter`, `to/node`, `at` | `released`, `lost`, `expired` or `renumbered`; what won |
//! | `acknowledged/<counter>/<node id>/claim`, `at` | the hash of the claim that the node acknowledges, time |
//! | `tasks/<id>/by`, `title`, `text`, `data` | agent, texts; the last two may be absent, data is JSON |
//! | `tasks/<id>/after/<nn>` | tasks that come first: node id, a slash, task id |
//! | `tasks/<id>/priority` | `low`, `normal`, `high` or `urgent` |
//! | `tasks/<id>/to` | `anyone`, the map `role` with a role's name, or the map `agent` with `node` and `name` |
//! | `tasks/<id>/due`, `revision`, `attempt`, `made` | time (may be absent), numbers from 1, time |
//! | `tasks/<id>/offer/until`, `auto`, `award/to`, `award/reason`, `award/at` | while bids are taken, and who got it |
//! | `tasks/<id>/canceled/reason`, `at` | present once it is canceled |
//! | `tasks/<id>/closed/state`, `fence/counter`, `fence/node`, `by`, `note`, `result`, `at` | present once its node has recorded what came of it; the texts may be absent |
//! | `statements/<node id>/<task id>/<agent>/<number>/made`, `attempt`, `fence`, `state`, `note`, `result`, `at` | what an agent says of a task that it holds |
//! | `bids/<node id>/<task id>/<agent>/made`, `attempt`, `cost`, `reason`, `revision`, `at` | an agent's bid |
//!
//! Lists, counters and Automerge text objects do not occur, and the gate refuses them: a map of scalars has the
//! fewest ways to go wrong in the hands of a hostile writer, and two writers never meet in one map.
//!
//! # Example
//!
//! ```
//! use fedp2p_crdt::content::{Agent, Entry};
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
//! let entry = Entry::Agent("coder".parse()?, Agent { kind: AgentKind::Ai, said: None });
//! let change = ours.write(&[entry.into()], 1_700_000_000_000)?.expect("the agent is new");
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

pub mod claim;
pub mod content;
pub mod document;
pub mod gate;
pub mod genesis;
pub mod load;
pub mod note;
pub mod picture;
pub mod roles;
pub mod standing;
pub mod task;

mod check;
mod columns;
mod digest;
mod keys;
mod ledger;
mod read;
mod runs;
mod scan;
mod value;
mod write;
