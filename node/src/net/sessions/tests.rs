use fedp2p_protocols::op::NodeKey;
use futures::io::Cursor;

use super::super::conduct::Conduct;
use super::*;

#[test]
fn a_frame_that_came_back_is_not_overtaken_in_its_session() {
    let peer = NodeKey::from_seed([1; 32]).id();
    let lanes = Lanes::default();
    assert_eq!(lanes.send(&peer, vec![0]), Err(vec![0]), "there is no session");
    let (lane, mut frames) = queue(1);
    lanes.open(peer, lane);
    assert_eq!(lanes.send(&peer, vec![1]), Ok(()));
    assert_eq!(lanes.send(&peer, vec![2]), Err(vec![2]), "the queue is full");
    assert_eq!(frames.try_recv(), Some(vec![1]));
    assert_eq!(lanes.send(&peer, vec![3]), Err(vec![3]));
    let (lane, mut frames) = queue(1);
    lanes.open(peer, lane);
    assert_eq!(lanes.send(&peer, vec![4]), Ok(()));
    assert_eq!(frames.try_recv(), Some(vec![4]));
    lanes.close(&peer);
    assert_eq!(lanes.send(&peer, vec![5]), Err(vec![5]));
}

#[tokio::test]
async fn a_peer_that_is_throttled_is_not_taken_for_a_silent_one() {
    let peer = NodeKey::from_seed([1; 32]).id();
    let (heard, mut liveness) = (Heard::new(Instant::now()), Liveness::default());
    let (events, mut taken) = mpsc::channel(8);
    let allowance = Conduct::default().allowance(&PeerId::random(), Instant::now());
    let heavy = [&[fedp2p_protocols::sync::PUSH][..], &[0; MAX_FRAME_BYTES - 1]].concat();
    while allowance.charge(&heavy, Instant::now()).wait.is_zero() {}
    // Both frames come with one read, before the question.
    let mut sent = Vec::new();
    for number in 0..2 {
        frames::append(&mut sent, &Frame::Ping(number).encode());
    }
    let reader = {
        let heard = heard.clone();
        tokio::spawn(async move { read(peer, Cursor::new(sent), &heard, &events, &allowance).await })
    };
    taken.recv().await.unwrap();
    let asked = Instant::now();
    liveness.asked(asked);
    taken.recv().await.unwrap();
    liveness.heard(heard.last());
    assert!(!liveness.is_in_doubt(asked + Duration::from_secs(3600)), "it is we who did not look");
    reader.abort();
}

#[tokio::test]
async fn a_peer_whose_frames_the_loop_does_not_take_is_not_taken_for_a_silent_one() {
    let peer = NodeKey::from_seed([1; 32]).id();
    let (heard, mut liveness) = (Heard::new(Instant::now()), Liveness::default());
    let (events, mut taken) = mpsc::channel(1);
    let allowance = Conduct::default().allowance(&PeerId::random(), Instant::now());
    let mut sent = Vec::new();
    for number in 0..3 {
        frames::append(&mut sent, &Frame::Ping(number).encode());
    }
    let mut reading = Box::pin(read(peer, Cursor::new(sent), &heard, &events, &allowance));
    // One frame fits into the channel, the next waits.
    assert!(futures::poll!(&mut reading).is_pending());
    let asked = Instant::now();
    liveness.asked(asked);
    tokio::time::sleep(Duration::from_millis(1)).await;
    liveness.heard(heard.last());
    assert!(!liveness.is_in_doubt(asked + Duration::from_secs(3600)));
    taken.recv().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_has_pushed_much_waits_until_its_frame_was_looked_at() {
    let peer = NodeKey::from_seed([1; 32]).id();
    let (events, mut taken) = mpsc::channel(8);
    let allowance = Conduct::default().allowance(&PeerId::random(), Instant::now());
    let entries = |count| Frame::Push { ops: vec![vec![7; 300]; count] };
    let (one, many) = (entries(1).encode(), entries(PART + 1).encode());
    while allowance.charge(&one, Instant::now()).paced.is_none() {}
    let mut sent = Vec::new();
    frames::append(&mut sent, &many);
    let heard = Heard::new(Instant::now());
    let mut reading = Box::pin(read(peer, Cursor::new(sent), &heard, &events, &allowance));
    assert!(futures::poll!(&mut reading).is_pending());
    let Some(Event::Frame { frame, done: Some(done), .. }) = taken.recv().await else { panic!("not the frame") };
    assert_eq!(frame, entries(PART).encode(), "not more than a part at once");
    assert!(futures::poll!(&mut reading).is_pending());
    assert!(taken.try_recv().is_err(), "the next part is not looked at yet");
    drop(done);
    tokio::select! {
        _ended = &mut reading => panic!("there is more to read"),
        next = taken.recv() => assert!(matches!(next, Some(Event::Frame { frame, done: Some(_), .. }) if frame == one)),
    }
}
