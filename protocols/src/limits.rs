//! Every bound on what comes from outside, in one place.
//!
//! A limit belongs here when a peer, a file or a client can reach it. The same limits hold on every path.

use std::time::Duration;

/// Largest op on the wire: header, signature and payload together.
pub const MAX_OP_BYTES: usize = 60 * 1024;
/// Largest encoded header.
pub const MAX_HEADER_BYTES: usize = 1024;
/// Most dependencies that one op may name.
pub const MAX_DEPS: usize = 16;
/// Longest name of an agent, a node or an organisation, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// How far the clock of an op may run ahead of ours.
pub const MAX_FUTURE: Duration = Duration::from_secs(120);

/// Largest sync frame.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Most entries in one sync frame that lists logs.
pub const MAX_FRAME_LOGS: usize = 400;
/// Most bytes of ops sent before the receiver must acknowledge.
pub const SYNC_WINDOW_BYTES: usize = 1024 * 1024;
/// Most logs that one author may have in one conversation. An honest node starts another one after a power cut or a
/// restored backup that lost what others hold; each costs everybody its start, about a KiB, and a head in every list.
pub const MAX_LOGS_PER_AUTHOR: usize = 256;
/// Most logs beyond those of one author that are remembered as left out, so that nobody is asked for them.
pub const MAX_LOGS_LEFT_OUT: usize = 1024;

/// Most ops of one author that wait for something they depend on: about as many as fit into [`SYNC_WINDOW_BYTES`], so
/// that what was asked for does not fall out while it waits for the disk.
pub const MAX_PENDING_OPS: usize = 1024;
/// Most bytes of ops of one author that wait.
pub const MAX_PENDING_BYTES: usize = 1024 * 1024;
/// How long an op waits for what it depends on.
pub const PENDING_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest raw Automerge change.
pub const MAX_CHANGE_BYTES: usize = 48 * 1024;
/// Largest op with a change of a note that another entry carries on, in bytes.
pub const MAX_CARRIED_BYTES: usize = MAX_CHANGE_BYTES + MAX_HEADER_BYTES + 256;
/// Most operations in one Automerge change. Automerge takes about half a KiB for each while it applies them.
pub const MAX_CHANGE_OPS: u64 = 384;
/// Most predecessors in one Automerge change; no operation has more than one.
pub const MAX_CHANGE_PREDS: u64 = 384;
/// Most dependencies of one Automerge change.
pub const MAX_CHANGE_DEPS: usize = 16;
/// Most other actors that one Automerge change may name.
pub const MAX_CHANGE_ACTORS: usize = 64;
/// Longest commit message of an Automerge change, in bytes.
pub const MAX_CHANGE_MESSAGE_BYTES: usize = 256;
/// Most changes in one document epoch, the checkpoint's own included.
pub const MAX_EPOCH_CHANGES: u64 = 256;

/// Most messages and ranges of messages that a summary covers.
pub const MAX_COVERS: usize = 64;
/// Longest time until a status message expires, in seconds.
pub const MAX_EXPIRY_S: u32 = 7 * 24 * 3600;
/// Most messages that an AI agent writes into one thread within [`THREAD_WINDOW`] without an answer from a person or a
/// result from somebody else.
pub const MAX_THREAD_MESSAGES: usize = 20;
/// Most messages that an AI agent writes to one agent, or to everybody, within [`THREAD_WINDOW`] without a word from a person
/// or a result from that agent.
pub const MAX_PEER_MESSAGES: usize = 600;
/// Most that an AI agent says within [`THREAD_WINDOW`] without a word from a person: messages, notes on tasks, questions for an
/// approval.
pub const MAX_AGENT_MESSAGES: usize = 1_000;
/// Most approvals that an AI agent asks for within [`THREAD_WINDOW`] without a word from a person.
pub const MAX_AGENT_APPROVALS: usize = 20;
/// See [`MAX_THREAD_MESSAGES`].
pub const THREAD_WINDOW: Duration = Duration::from_secs(3600);
/// Longest text of a message, in bytes.
pub const MAX_TEXT_BYTES: usize = 32 * 1024;
/// Largest structured data of a message as JSON text, in bytes.
pub const MAX_DATA_BYTES: usize = 24 * 1024;
/// Most recipients that one message may name.
pub const MAX_RECIPIENTS: usize = 64;
/// Longest value of one field of a pulse, in bytes.
pub const MAX_PULSE_FIELD_BYTES: usize = 1024;
/// Longest question of a proposal, in bytes.
pub const MAX_QUESTION_BYTES: usize = 2048;
/// Most options of a proposal.
pub const MAX_OPTIONS: usize = 32;
/// Longest option of a proposal, in bytes.
pub const MAX_OPTION_BYTES: usize = 256;
/// Longest time that a proposal may wait for acknowledgements or its deadline, in seconds.
pub const MAX_POLL_TIME_S: u32 = 30 * 24 * 3600;
/// Most questions of agents of one node that are not closed.
pub const MAX_OPEN_QUESTIONS: usize = 100;
/// Most answers of agents of one node that are kept for questions which are not over, and for approvals.
pub const MAX_BALLOTS: usize = 1000;
/// Most answers of one agent to one question: so often it can change its mind.
pub const MAX_ANSWERS: u32 = 32;
/// Most questions of which agents of one node say at a time that they have seen them.
pub const MAX_SEEN: usize = 1000;
/// Most agents of one node at a time.
pub const MAX_AGENTS: usize = 512;
/// Most agents that a proposal may name as its electorate.
pub const MAX_ELECTORATE: usize = 100;
/// Most agents of one node that count where a question does not name those who are asked.
pub const MAX_VOTERS_OF_NODE: usize = 32;
/// Most agents that count there at all, so that the entry that closes a question always fits into one change: at worst it
/// takes two operations for each, one for the node and one for the ballot.
pub const MAX_VOTERS: usize = 160;
/// Longest reason that a ballot may give, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;
/// Shortest PIN, in bytes.
pub const MIN_PIN_BYTES: usize = 6;
/// Longest PIN, in bytes.
pub const MAX_PIN_BYTES: usize = 128;
/// Longest id of a proposal, in bytes.
pub const MAX_PROPOSAL_ID_BYTES: usize = 64;

/// Longest pattern of paths, in bytes.
pub const MAX_GLOB_BYTES: usize = 256;
/// Most patterns in one claim.
pub const MAX_GLOBS: usize = 8;
/// Most bytes of all patterns of one claim: each is compared with each of others.
pub const MAX_GLOBS_BYTES: usize = 512;
/// Most claims that one claim may take over.
pub const MAX_REPLACED: usize = 16;
/// Shortest lease, in seconds: renewals must have time to reach everybody.
pub const MIN_CLAIM_TTL_S: u32 = 5;
/// Longest lease, in seconds.
pub const MAX_CLAIM_TTL_S: u32 = 7 * 24 * 3600;
/// Longest text that says what a claim is for, in bytes.
pub const MAX_CLAIM_WHY_BYTES: usize = 256;
/// Most claims of one node that have not ended; of more, only the first count.
pub const MAX_CLAIMS: usize = 256;
/// Most patterns in all claims of one node that have not ended; of more claims, only the first count: each is compared
/// with those of others.
pub const MAX_CLAIMED_GLOBS: usize = 512;
/// Most of these that have wildcards; of more claims, only the first count.
pub const MAX_CLAIMED_WILDCARDS: usize = 64;
/// By how much the counter of a claim may exceed the next lower one: nobody can use the numbers up.
pub const MAX_COUNTER_LEAP: u64 = 1 << 32;
/// Longest title of a task, in bytes.
pub const MAX_TASK_TITLE_BYTES: usize = 256;
/// Longest text of a task, in bytes.
pub const MAX_TASK_TEXT_BYTES: usize = 8 * 1024;
/// Largest data of a task as JSON text, in bytes.
pub const MAX_TASK_DATA_BYTES: usize = 4 * 1024;
/// Most tasks that one task may come after.
pub const MAX_TASK_AFTER: usize = 16;
/// Most tasks that an agent which asks for the next one can leave out.
pub const MAX_TASK_EXCEPT: usize = 64;
/// Longest note on a task, in bytes; the same for the reason of a bid, an award or a cancellation.
pub const MAX_TASK_NOTE_BYTES: usize = 1024;
/// Longest result of a task, in bytes.
pub const MAX_TASK_RESULT_BYTES: usize = 8 * 1024;
/// Most times that one agent may say something of one task.
pub const MAX_STATEMENTS: u32 = 200;
/// Most tasks that agents of one node may have made and that are not over.
pub const MAX_TASKS: usize = 1000;
/// Most things that agents of one node may have said of tasks of which nobody has recorded yet what came of them.
pub const MAX_SAID: usize = 1000;
/// Most bids of agents of one node.
pub const MAX_BIDS: usize = 500;
/// Most bytes of texts in the tasks and statements of one node together: they are written anew with each epoch.
pub const MAX_TASK_BYTES: usize = 1024 * 1024;
/// Longest time until a task is due or its bids are in, in seconds.
pub const MAX_TASK_TIME_S: u32 = 366 * 24 * 3600;
/// By how much the revision of what is said on a role may exceed the next lower one.
pub const MAX_REVISION_LEAP: u32 = 1 << 24;
/// Most roles that agents of one node may have given or taken.
pub const MAX_ROLES: usize = 500;

/// Longest ticket text that is looked at.
pub const MAX_TICKET_BYTES: usize = 4096;
/// Most addresses in a ticket or a hello.
pub const MAX_ADDRESSES: usize = 16;
/// Longest address, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Largest message of the joining handshake.
pub const MAX_JOIN_BYTES: usize = 16 * 1024;

/// Largest request on the local socket.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// Largest reply on the local socket.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Most rows that one listing returns.
pub const MAX_PAGE: u32 = 1000;
/// Most characters of a note that one reply shows: several times a note's own limit, and far below that of a reply.
pub const MAX_NOTE_PAGE: usize = 1 << 18;
/// Most bytes of rows, as JSON, that one listing returns; the first row comes in any case.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Most ballots that count nothing and are shown with a question.
pub const MAX_IDLE_BALLOTS: usize = 200;
