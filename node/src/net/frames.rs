//! Frames on a stream: a 32-bit big-endian length, then that many bytes.
//!
//! Used by the hello, the joining handshake and the sync sessions. The length is checked before anything is allocated.

use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A frame could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum FrameError {
    /// The stream broke or ended.
    #[error("the stream ended")]
    Io(#[from] std::io::Error),
    /// The other end announced more than the protocol allows.
    #[error("a frame of {found} bytes, {limit} are allowed")]
    TooLarge {
        /// Bytes that were announced.
        found: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
}

/// Reads one frame of at most `limit` bytes.
///
/// # Errors
/// If the stream ends or the frame is larger.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let found = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if found > limit {
        return Err(FrameError::TooLarge { found, limit });
    }
    let mut frame = vec![0; found];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Appends `content` as a frame to `buffer`.
pub(super) fn append(buffer: &mut Vec<u8>, content: &[u8]) {
    let length = u32::try_from(content.len()).expect("a frame of ours is far below 4 GiB");
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(content);
}

/// Writes one frame and flushes.
///
/// # Errors
/// If the stream is broken.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), content: &[u8]) -> Result<(), FrameError> {
    let mut buffer = Vec::with_capacity(content.len() + 4);
    append(&mut buffer, content);
    stream.write_all(&buffer).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn a_frame_reads_back() {
        let mut buffer = Vec::new();
        append(&mut buffer, b"abc");
        append(&mut buffer, b"");
        let mut cursor = Cursor::new(buffer);
        assert_eq!(read(&mut cursor, 3).await.unwrap(), b"abc");
        assert_eq!(read(&mut cursor, 3).await.unwrap(), b"");
        assert!(matches!(read(&mut cursor, 3).await, Err(FrameError::Io(_))));
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
        let mut cursor = Cursor::new(u32::MAX.to_be_bytes().to_vec());
        let error = read(&mut cursor, 1000).await.unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { limit: 1000, .. }));
    }
}
