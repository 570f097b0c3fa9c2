//! The joining handshake: Noise XXpsk3 with a ticket's secret, then one request and one answer.
//!
//! It runs over a stream that libp2p has already authenticated, and binds itself to both ends' keys by its prologue,
//! so a handshake cannot be relayed. Messages, in order, each behind a 32-bit length:
//!
//! 1. joiner: ticket id, then Noise message 1 (`e`)
//! 2. inviter: Noise message 2 (`e, ee, s, es`)
//! 3. joiner: Noise message 3 (`s, se, psk`) whose payload is the [`Request`]
//! 4. inviter: the [`Answer`], encrypted
//!
//! Only the holder of the secret can make message 3; only then does the inviter say anything of the organisation.
//! Source of the pattern: The Noise Protocol Framework, revision 34, section 9.

use noise_protocol::{CipherState, HandshakeState, patterns::noise_xx_psk3};
use noise_rust_crypto::{Blake2s, ChaCha20Poly1305, X25519};

use crate::certificate::{Chain, ChainError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{NodeId, TicketId};
use crate::limits::MAX_JOIN_BYTES;
use crate::name::NodeName;

/// Name of the stream protocol.
pub const PROTOCOL: &str = "/fedp2p/join/1";

type Noise = HandshakeState<X25519, ChaCha20Poly1305, Blake2s>;
type Cipher = CipherState<ChaCha20Poly1305>;

/// The handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The other end does not hold the same ticket, or the bytes were changed.
    #[error("the other end does not hold this ticket")]
    Noise,
    /// The content of a message is not what it should be.
    #[error("a message of the handshake cannot be read")]
    Decode(#[from] DecodeError),
    /// The certificate that came back is not valid.
    #[error("the certificate that came back is not valid")]
    Chain(#[from] ChainError),
}

/// What the joiner asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name it would like to have.
    pub name: NodeName,
}

/// Why a joiner is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turned {
    /// The ticket has expired.
    Expired,
    /// The ticket was used by another node.
    Used,
    /// Another node of the organisation has this name; the inviter proposes another.
    NameTaken {
        /// A name that is free.
        free: NodeName,
    },
    /// The inviting node may no longer admit others, or could not write.
    Unable,
}

/// What the inviter answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The joiner is a member.
    Admitted {
        /// The joiner's certificate.
        chain: Chain,
        /// The inviter's own.
        inviter: Chain,
    },
    /// It is not.
    Turned(Turned),
}

impl Answer {
    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Admitted { chain, inviter } => {
                w.u8(0).bytes(&chain.encode()).bytes(&inviter.encode());
            }
            Self::Turned(Turned::Expired) => {
                w.u8(1);
            }
            Self::Turned(Turned::Used) => {
                w.u8(2);
            }
            Self::Turned(Turned::NameTaken { free }) => {
                w.u8(3).text(free.as_str());
            }
            Self::Turned(Turned::Unable) => {
                w.u8(4);
            }
        }
        w.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, JoinError> {
        let mut r = Reader::new(bytes);
        let answer = match r.u8("answer")? {
            0 => Self::Admitted {
                chain: Chain::decode(r.bytes(MAX_JOIN_BYTES, "certificate")?)?,
                inviter: Chain::decode(r.bytes(MAX_JOIN_BYTES, "certificate")?)?,
            },
            1 => Self::Turned(Turned::Expired),
            2 => Self::Turned(Turned::Used),
            3 => Self::Turned(Turned::NameTaken { free: r.name("name")? }),
            4 => Self::Turned(Turned::Unable),
            _ => return Err(DecodeError::Invalid("answer").into()),
        };
        r.finish()?;
        Ok(answer)
    }
}

fn noise(initiator: bool, joiner: &NodeId, inviter: &NodeId) -> Noise {
    let prologue = [PROTOCOL.as_bytes(), joiner.as_bytes(), inviter.as_bytes()].concat();
    let key = <X25519 as noise_protocol::DH>::genkey();
    Noise::new(noise_xx_psk3(), initiator, prologue, Some(key), None, None, None)
}

/// Both ends' first message: which ticket this is about.
///
/// # Errors
/// If the bytes are too short.
pub fn split_first(message: &[u8]) -> Result<(TicketId, &[u8]), DecodeError> {
    let mut r = Reader::new(message);
    Ok((r.ticket_id()?, r.remaining()))
}

/// The joiner's end, in the order `new`, [`Joiner::second`], [`Joining::answer`].
pub struct Joiner {
    noise: Noise,
    secret: [u8; 32],
}

/// The joiner's end while it waits for the answer.
pub struct Joining {
    receive: Cipher,
}

impl Joiner {
    /// Starts and returns the first message.
    ///
    /// # Errors
    /// If the handshake library refuses, which the pattern rules out.
    pub fn new(joiner: &NodeId, inviter: &NodeId, secret: [u8; 32]) -> Result<(Self, Vec<u8>), JoinError> {
        let mut noise = noise(true, joiner, inviter);
        let mut first = TicketId::of(&secret).as_bytes().to_vec();
        first.extend(noise.write_message_vec(&[]).map_err(|_| JoinError::Noise)?);
        Ok((Self { noise, secret }, first))
    }

    /// Takes the inviter's message and returns the request.
    ///
    /// # Errors
    /// If the message does not belong to this handshake.
    pub fn second(mut self, message: &[u8], request: &Request) -> Result<(Joining, Vec<u8>), JoinError> {
        self.noise.read_message_vec(message).map_err(|_| JoinError::Noise)?;
        self.noise.push_psk(&self.secret);
        let mut w = Writer::new();
        w.text(request.name.as_str());
        let third = self.noise.write_message_vec(&w.into_bytes()).map_err(|_| JoinError::Noise)?;
        let (_, receive) = self.noise.get_ciphers();
        Ok((Joining { receive }, third))
    }
}

impl Joining {
    /// Reads the inviter's answer.
    ///
    /// # Errors
    /// If it was not made by the inviter of this handshake or is not well formed.
    pub fn answer(mut self, message: &[u8]) -> Result<Answer, JoinError> {
        let clear = self.receive.decrypt_vec(message).map_err(|()| JoinError::Noise)?;
        Answer::decode(&clear)
    }
}

/// The inviter's end, in the order `new`, [`Inviter::request`], [`Inviting::answer`].
pub struct Inviter {
    noise: Noise,
    secret: [u8; 32],
}

/// The inviter's end while the request is decided.
pub struct Inviting {
    send: Cipher,
}

impl Inviter {
    /// Takes the joiner's first Noise message and returns the second.
    ///
    /// # Errors
    /// If the message is not one.
    pub fn new(
        joiner: &NodeId,
        inviter: &NodeId,
        secret: [u8; 32],
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), JoinError> {
        let mut noise = noise(false, joiner, inviter);
        noise.read_message_vec(message).map_err(|_| JoinError::Noise)?;
        let second = noise.write_message_vec(&[]).map_err(|_| JoinError::Noise)?;
        Ok((Self { noise, secret }, second))
    }

    /// Takes the third message and returns what the joiner asks for.
    ///
    /// # Errors
    /// If the joiner does not hold the ticket's secret.
    pub fn request(mut self, message: &[u8]) -> Result<(Inviting, Request), JoinError> {
        self.noise.push_psk(&self.secret);
        let clear = self.noise.read_message_vec(message).map_err(|_| JoinError::Noise)?;
        let mut r = Reader::new(&clear);
        let name = r.name("name")?;
        r.finish()?;
        let (_, send) = self.noise.get_ciphers();
        Ok((Inviting { send }, Request { name }))
    }
}

impl Inviting {
    /// Returns the last message.
    pub fn answer(mut self, answer: &Answer) -> Vec<u8> {
        self.send.encrypt_vec(&answer.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINER: NodeId = NodeId::from_bytes([1; 32]);
    const INVITER: NodeId = NodeId::from_bytes([2; 32]);

    fn request() -> Request {
        Request { name: "baby".parse().unwrap() }
    }

    #[test]
    fn both_ends_agree_when_both_hold_the_secret() {
        let (joiner, first) = Joiner::new(&JOINER, &INVITER, [9; 32]).unwrap();
        let (ticket, rest) = split_first(&first).unwrap();
        assert_eq!(ticket, TicketId::of(&[9; 32]));
        let (inviter, second) = Inviter::new(&JOINER, &INVITER, [9; 32], rest).unwrap();
        let (joining, third) = joiner.second(&second, &request()).unwrap();
        let (inviting, asked) = inviter.request(&third).unwrap();
        assert_eq!(asked, request());
        let turned = Answer::Turned(Turned::NameTaken { free: "baby-2".parse().unwrap() });
        assert_eq!(joining.answer(&inviting.answer(&turned)).unwrap(), turned);
    }

    #[test]
    fn a_wrong_secret_fails_at_the_third_message() {
        let (joiner, first) = Joiner::new(&JOINER, &INVITER, [9; 32]).unwrap();
        let (_, rest) = split_first(&first).unwrap();
        let (inviter, second) = Inviter::new(&JOINER, &INVITER, [8; 32], rest).unwrap();
        let (_, third) = joiner.second(&second, &request()).unwrap();
        assert!(inviter.request(&third).is_err());
    }

    #[test]
    fn a_relayed_handshake_fails_at_the_first_message() {
        let other = NodeId::from_bytes([3; 32]);
        let (_, first) = Joiner::new(&JOINER, &INVITER, [9; 32]).unwrap();
        let (_, rest) = split_first(&first).unwrap();
        for (joiner, inviter) in [(JOINER, other), (other, INVITER)] {
            assert!(Inviter::new(&joiner, &inviter, [9; 32], rest).is_err());
        }
    }
}
