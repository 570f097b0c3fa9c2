//! The PIN with which people answer approvals: what proves that a call comes from a person.
//!
//! Every program of the node's user can call the daemon, and can say that it is a person. A PIN is in a person's head
//! and in no file, so a program that was not told it cannot answer. It is kept as a salted hash that takes some work to
//! try, and wrong tries make the next ones wait, over restarts too. It does not protect from a program that reads the
//! node's key out of the home folder or listens to the keyboard: such a program has to run as another user.

use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, pin_set};
use fedp2p_protocols::limits::{MAX_PIN_BYTES, MIN_PIN_BYTES};
use fedp2p_protocols::pulse::AgentKind;

use crate::Core;
use crate::author::Entries;
use crate::doors::Finish;
use crate::input::CallId;
use crate::store::Write;

/// How often the hash is taken again.
const ROUNDS: u32 = 20_000;
/// How many wrong tries in a row there are before the next has to wait.
const FREE_TRIES: u32 = 5;
/// How long it waits after that, in milliseconds; twice as long after each further one.
const WAIT_MS: u64 = 60_000;
/// How often the wait is doubled at most.
const MOST_DOUBLINGS: u32 = 10;

/// A PIN as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    salt: [u8; 16],
    hash: [u8; 32],
    /// Wrong tries in a row.
    failures: u32,
    /// When the last of them was, in milliseconds since 1970.
    failed: u64,
}

impl Pin {
    /// How many bytes its stored form has.
    pub const BYTES: usize = 16 + 32 + 4 + 8;

    fn new(salt: [u8; 16], pin: &str) -> Self {
        Self { salt, hash: *hash(&salt, pin).as_bytes(), failures: 0, failed: 0 }
    }

    /// The stored form.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.salt);
        bytes[16..48].copy_from_slice(&self.hash);
        bytes[48..52].copy_from_slice(&self.failures.to_be_bytes());
        bytes[52..].copy_from_slice(&self.failed.to_be_bytes());
        bytes
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let (mut salt, mut hash, mut failures, mut failed) = ([0; 16], [0; 32], [0; 4], [0; 8]);
        salt.copy_from_slice(&bytes[..16]);
        hash.copy_from_slice(&bytes[16..48]);
        failures.copy_from_slice(&bytes[48..52]);
        failed.copy_from_slice(&bytes[52..]);
        Self { salt, hash, failures: u32::from_be_bytes(failures), failed: u64::from_be_bytes(failed) }
    }

    /// For how many more milliseconds no try is looked at.
    fn waits(&self, now: u64) -> u64 {
        match self.failures.checked_sub(FREE_TRIES) {
            None => 0,
            Some(more) => {
                let wait = WAIT_MS << more.min(MOST_DOUBLINGS);
                self.failed.saturating_add(wait).saturating_sub(now)
            }
        }
    }

    fn is(&self, pin: &str) -> bool {
        // Hashes compare in constant time.
        hash(&self.salt, pin) == blake3::Hash::from_bytes(self.hash)
    }
}

fn hash(salt: &[u8; 16], pin: &str) -> blake3::Hash {
    let mut hash = blake3::Hasher::new_derive_key("fedp2p/1 pin").update(salt).update(pin.as_bytes()).finalize();
    for _ in 0..ROUNDS {
        hash = blake3::hash(hash.as_bytes());
    }
    hash
}

impl Core {
    pub(crate) fn pin_set(&mut self, call: CallId, caller: &Caller, request: &pin_set::Request) -> Result<(), Error> {
        self.check_person(caller)?;
        if !(MIN_PIN_BYTES..=MAX_PIN_BYTES).contains(&request.pin.len()) {
            let message = format!("a PIN has {MIN_PIN_BYTES} to {MAX_PIN_BYTES} bytes");
            return Err(Error::new(ErrorCode::Invalid, message).hint("choose one that programs do not guess"));
        }
        let replaced = self.pin.is_some();
        if replaced {
            self.check_pin(request.old.as_deref())?;
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let pin = Pin::new(self.random(), &request.pin);
        entries.writes.push(Write::Pin(pin.clone()));
        self.pin = Some(pin);
        self.commit_call(entries, call, Finish::Reply(Box::new(Reply::PinSet(pin_set::Reply { replaced }))));
        Ok(())
    }

    /// Checks that a person calls, as far as the caller says.
    ///
    /// # Errors
    /// If it is another kind of agent.
    pub(crate) fn check_person(&self, caller: &Caller) -> Result<(), Error> {
        if caller.kind == AgentKind::Person {
            return Ok(());
        }
        let message = format!("{} is an AI agent, and only people can do this", caller.name);
        Err(Error::new(ErrorCode::Forbidden, message).hint("ask a person: \"fedp2p approve ask\""))
    }

    /// Checks that whoever calls knows the node's PIN.
    ///
    /// # Errors
    /// If there is none, none was given, it is wrong, or too many were.
    pub(crate) fn check_pin(&mut self, given: Option<&str>) -> Result<(), Error> {
        let now = self.now.wall_ms;
        if let Some(pin) = self.pin.as_mut().filter(|pin| pin.failed > now) {
            // A clock that was wrong noted this: it is as if it had been now.
            pin.failed = now;
            let writes = vec![Write::Pin(pin.clone())];
            self.commit_entries(Entries { writes, ..Entries::default() });
        }
        let Some(pin) = &mut self.pin else {
            return Err(Error::new(
                ErrorCode::Forbidden,
                "people answer with the PIN of their node, and it has none yet",
            )
            .hint("set one with \"fedp2p pin\""));
        };
        let Some(given) = given else {
            return Err(Error::new(ErrorCode::Forbidden, "this takes the PIN of the node")
                .hint("call from a terminal, which asks for it, or give --pin-stdin"));
        };
        let wait = pin.waits(now);
        if wait > 0 {
            let message = format!("too many wrong PINs: the next is looked at in {} s", wait.div_ceil(1000));
            return Err(Error::new(ErrorCode::Busy, message).hint("wait, and try again"));
        }
        let right = pin.is(given);
        if right && pin.failures == 0 {
            return Ok(());
        }
        (pin.failures, pin.failed) = if right { (0, 0) } else { (pin.failures.saturating_add(1), now) };
        let writes = vec![Write::Pin(pin.clone())];
        self.commit_entries(Entries { writes, ..Entries::default() });
        if right {
            return Ok(());
        }
        self.notice("somebody gave a wrong PIN".to_owned());
        Err(Error::new(ErrorCode::Forbidden, "this is not the PIN of the node").hint("nothing was changed; try again"))
    }
}
