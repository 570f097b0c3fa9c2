//! Frames on the local socket: a 32-bit big-endian length and as many bytes of JSON.
//!
//! Both ends use this, each with the limit of what it reads. A length above the limit is refused before anything is
//! read for it, and memory grows with what has really arrived, never with what was announced.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of the length in front of each frame.
const LENGTH_BYTES: usize = 4;
/// Least and most room to make before reading.
const ROOM_BYTES: (usize, usize) = (4 * 1024, 256 * 1024);
/// A buffer that has grown beyond this is given back once it is empty.
const KEEP_BYTES: usize = 1024 * 1024;

/// Why a frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Over the limit.
    #[error("a frame has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// Not what was expected.
    #[error("a frame does not hold what it should")]
    Json(#[from] serde_json::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Reads frames from one end of a connection.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    limit: usize,
    /// What has arrived; everything before `start` was handed out.
    buffer: Vec<u8>,
    start: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `inner` frames of at most `limit` bytes.
    pub fn new(inner: R, limit: usize) -> Self {
        Self { inner, limit, buffer: Vec::new(), start: 0 }
    }

    /// Returns the next frame, or nothing if the connection ended after the last one.
    ///
    /// # Errors
    /// If the frame is over the limit, cut short, or the connection fails. The reader is of no use afterwards.
    ///
    /// # Cancel safety
    /// What has arrived stays in the reader, so dropping the future loses nothing.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let missing = match self.take()? {
                Taken::Frame(frame) => return Ok(Some(frame)),
                Taken::Missing(bytes) => bytes,
            };
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.reserve(missing.clamp(ROOM_BYTES.0, ROOM_BYTES.1));
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(Error::Truncated) };
            }
        }
    }

    /// Returns the value that the next frame holds, or nothing at the end of the connection.
    ///
    /// # Errors
    /// As [`Reader::read`], and if the frame does not hold a `T`.
    ///
    /// # Cancel safety
    /// As [`Reader::read`].
    pub async fn read_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        match self.read().await? {
            Some(frame) => Ok(Some(serde_json::from_slice(&frame)?)),
            None => Ok(None),
        }
    }

    fn take(&mut self) -> Result<Taken, Error> {
        let waiting = &self.buffer[self.start..];
        let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(Taken::Missing(LENGTH_BYTES - waiting.len()));
        };
        let bytes = u32::from_be_bytes(*length) as usize;
        if bytes > self.limit {
            let limit = self.limit;
            return Err(Error::TooLarge { bytes, limit });
        }
        let Some(frame) = rest.get(..bytes) else {
            return Ok(Taken::Missing(bytes - rest.len()));
        };
        let frame = frame.to_vec();
        self.start += LENGTH_BYTES + bytes;
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEEP_BYTES);
        }
        Ok(Taken::Frame(frame))
    }
}

enum Taken {
    Frame(Vec<u8>),
    /// How many more bytes it takes to go on.
    Missing(usize),
}

/// Returns the frame that holds `value`, ready to be written.
///
/// # Errors
/// If it would be over `limit`, or `value` has no JSON form.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, Error> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, value)?;
    let bytes = frame.len() - LENGTH_BYTES;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= limit);
    let length = length.ok_or(Error::TooLarge { bytes, limit })?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Writes `value` as one frame of at most `limit` bytes.
///
/// # Errors
/// As [`encode`], in which case nothing is written, and if the connection fails.
///
/// # Cancel safety
/// None: a dropped future may leave half a frame behind.
pub async fn write_json<W, T>(writer: &mut W, value: &T, limit: usize) -> Result<(), Error>
where
    W: AsyncWrite + Unpin,
    T: Serialize,
{
    let frame = encode(value, limit)?;
    writer.write_all(&frame).await?;
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], limit: usize) -> Result<Option<Vec<u8>>, Error> {
        Reader::new(bytes, limit).read().await
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = encode(&"first", 100).unwrap();
        bytes.extend(encode(&vec![7; 3000], 10_000).unwrap());
        bytes.extend(encode(&"last", 100).unwrap());
        for pieces in [1, 3, 4096, bytes.len()] {
            let (mut near, far) = tokio::io::duplex(pieces);
            let mut reader = Reader::new(far, 10_000);
            let write = async {
                near.write_all(&bytes).await.unwrap();
                drop(near);
            };
            let check = async {
                assert_eq!(reader.read_json::<String>().await.unwrap().as_deref(), Some("first"));
                let long: Option<Vec<u16>> = reader.read_json().await.unwrap();
                assert_eq!(long.map(|list| list.len()), Some(3000));
                assert_eq!(reader.read_json::<String>().await.unwrap().as_deref(), Some("last"));
                assert!(reader.read().await.unwrap().is_none());
            };
            tokio::join!(write, check);
        }
    }

    #[tokio::test]
    async fn announced_length_over_the_limit_is_refused_without_waiting_for_it() {
        let error = read(&[0xff, 0xff, 0xff, 0xff], 16).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 16, .. }), "{error}");
    }

    #[tokio::test]
    async fn end_inside_a_frame_is_an_error_and_between_frames_is_the_end() {
        assert!(read(&[], 16).await.unwrap().is_none());
        for bytes in [&[0, 0][..], &[0, 0, 0, 2], &[0, 0, 0, 2, b'1']] {
            assert!(matches!(read(bytes, 16).await, Err(Error::Truncated)), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn value_over_the_limit_is_not_written_at_all() {
        let mut out = Vec::new();
        let error = write_json(&mut out, &"x".repeat(100), 50).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { bytes: 102, limit: 50 }), "{error}");
        assert!(out.is_empty());
    }

    #[tokio::test]
    async fn frame_of_garbage_is_an_error() {
        let mut reader = Reader::new(&[0, 0, 0, 1, b'{'][..], 16);
        assert!(matches!(reader.read_json::<bool>().await, Err(Error::Json(_))));
    }
}
