//! Reads and writes the fixed binary forms of the wire.
//!
//! Integers are big-endian and have their full width; a list is a count and its items; text and bytes are a length
//! and their content. There is one way to write a value, so what decodes and is written again is the same bytes.
//! The reader never allocates more than what is left to read.

use crate::id::{ConversationId, LogEpochId, LogId, NetworkId, NodeId, OpId, OrganisationId, Serial, TicketId};

/// Bytes from outside are not what their format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes ended early.
    #[error("cut short while reading {0}")]
    Truncated(&'static str),
    /// Bytes follow the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// A length or count is over its limit.
    #[error("{what} is {found}, at most {limit} is allowed")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// What the bytes claim.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A value that its field cannot have.
    #[error("{0} has a value that it cannot have")]
    Invalid(&'static str),
    /// A version of the format that this program does not know.
    #[error("version {0} is not known here; update fedp2p")]
    Version(u8),
}

/// Takes values off the front of a slice.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn raw(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        if self.rest.len() < count {
            return Err(DecodeError::Truncated(what));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// Takes everything that is left.
    pub fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes a fixed number of bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.raw(N, what)?;
        Ok(<[u8; N]>::try_from(bytes).expect("raw returns the length asked for"))
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// If none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Takes a 16-bit integer.
    ///
    /// # Errors
    /// If fewer than 2 bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// Takes a 32-bit integer.
    ///
    /// # Errors
    /// If fewer than 4 bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// Takes a 64-bit integer.
    ///
    /// # Errors
    /// If fewer than 8 bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Takes a byte that must be 0 or 1.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(what)),
        }
    }

    /// Takes a 16-bit count of at most `limit`.
    ///
    /// # Errors
    /// If it is over the limit.
    pub fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let found = usize::from(self.u16(what)?);
        if found > limit {
            return Err(DecodeError::TooLarge { what, found, limit });
        }
        Ok(found)
    }

    /// Takes bytes of at most `limit` behind a 32-bit length.
    ///
    /// # Errors
    /// If the length is over the limit or over what is left.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let found = self.u32(what)? as usize;
        if found > limit {
            return Err(DecodeError::TooLarge { what, found, limit });
        }
        self.raw(found, what)
    }

    /// Takes UTF-8 text of at most `limit` bytes behind a 16-bit length.
    ///
    /// # Errors
    /// If it is too long or not UTF-8.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = self.count(limit, what)?;
        std::str::from_utf8(self.raw(length, what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// Takes a name.
    ///
    /// # Errors
    /// If it is not well formed.
    pub fn name<T: std::str::FromStr>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        self.text(crate::limits::MAX_NAME_BYTES, what)?.parse().map_err(|_| DecodeError::Invalid(what))
    }
}

macro_rules! read_ids {
    ($($method:ident $write:ident $id:ident $what:literal;)*) => {
        impl Reader<'_> {
            $(
                #[doc = concat!("Takes a ", $what, ".")]
                ///
                /// # Errors
                /// If the bytes end early.
                pub fn $method(&mut self) -> Result<$id, DecodeError> {
                    self.array($what).map($id::from_bytes)
                }
            )*
        }
        impl Writer {
            $(
                #[doc = concat!("Appends a ", $what, ".")]
                pub fn $write(&mut self, id: &$id) -> &mut Self {
                    self.raw(id.as_bytes())
                }
            )*
        }
    };
}

read_ids! {
    node_id node_id NodeId "node id";
    organisation_id organisation_id OrganisationId "organisation id";
    network_id network_id NetworkId "network id";
    log_id log_id LogId "log id";
    log_epoch_id log_epoch_id LogEpochId "log epoch id";
    conversation_id conversation_id ConversationId "conversation id";
    op_id op_id OpId "op id";
    ticket_id ticket_id TicketId "ticket id";
    serial serial Serial "serial number";
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// Starts with an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    /// How many bytes were written.
    pub fn written(&self) -> usize {
        self.buffer.len()
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Appends a 16-bit integer.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 32-bit integer.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 64-bit integer.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends 1 for true and 0 for false.
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Appends a 16-bit count.
    ///
    /// # Panics
    /// If `count` does not fit; every list that is written has a limit far below.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u16(u16::try_from(count).expect("lists on the wire are bounded below 65,536"))
    }

    /// Appends bytes behind a 32-bit length.
    ///
    /// # Panics
    /// If there are 4 GiB or more.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).expect("bytes on the wire are bounded below 4 GiB")).raw(bytes)
    }

    /// Appends text behind a 16-bit length.
    ///
    /// # Panics
    /// If there are 64 KiB or more.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len()).raw(text.as_bytes())
    }
}
