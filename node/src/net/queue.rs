//! The queue of frames that wait to be written to one peer: bounded in number and in bytes, so that a peer that does
//! not read costs little memory whatever others say meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Most bytes of frames that wait: several windows of sync and a full list of heads, so only who does not read gets there.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// The end that frames are put into.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    frames: mpsc::Sender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

/// The end that they are taken from.
#[derive(Debug)]
pub(super) struct Waiting {
    frames: mpsc::Receiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

/// Makes a queue for at most so many frames.
pub(super) fn queue(frames: usize) -> (Queue, Waiting) {
    let (sender, receiver) = mpsc::channel(frames);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { frames: sender, bytes: Arc::clone(&bytes) }, Waiting { frames: receiver, bytes })
}

impl Queue {
    /// Adds a frame.
    ///
    /// # Errors
    /// With the frame, if there is no room for it or nobody takes it any longer.
    pub(super) fn push(&self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        let size = frame.len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > MAX_QUEUED_BYTES {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(frame);
        }
        self.frames.try_send(frame).map_err(|refused| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            refused.into_inner()
        })
    }
}

impl Waiting {
    /// Takes the next frame; nothing once the other end is gone.
    ///
    /// # Cancel safety
    /// No frame is lost.
    pub(super) async fn recv(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.recv().await?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }

    /// Takes the next frame if it is there.
    pub(super) fn try_recv(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.try_recv().ok()?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 64 * 1024;

    #[test]
    fn frames_for_a_peer_that_does_not_read_are_bounded_in_bytes_and_in_number() {
        let (queue, mut waiting) = super::queue(1024);
        let frame = vec![0; FRAME];
        let queued = std::iter::repeat_with(|| queue.push(frame.clone())).take_while(Result::is_ok).count();
        assert_eq!(queued, MAX_QUEUED_BYTES / FRAME);
        assert_eq!(std::iter::from_fn(|| waiting.try_recv()).count(), queued);
        assert_eq!((0..2000).filter(|_| queue.push(vec![0]).is_ok()).count(), 1024);
    }

    #[tokio::test]
    async fn frames_that_were_taken_make_room_for_others() {
        let (queue, mut waiting) = super::queue(4);
        for _ in 0..MAX_QUEUED_BYTES / FRAME * 3 {
            queue.push(vec![0; FRAME]).unwrap();
            assert_eq!(waiting.recv().await.map(|frame| frame.len()), Some(FRAME));
        }
        drop(waiting);
        assert_eq!(queue.push(vec![7]), Err(vec![7]));
    }
}
