//! Honest and hostile writers, whose changes reach several replicas in different interleavings: what the honest ones
//! say is byte-equal everywhere to what they wrote, and all replicas agree on what became of the hostile one.

use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId, merged};
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::pulse::AgentKind;
use proptest::prelude::*;

use crate::forge::{Forge, chunk};
use crate::victim::{self, opening};

const HONEST: [u8; 2] = [1, 2];

fn id(node: u8) -> DocumentId {
    DocumentId { node: NodeId::from_bytes([node; 32]), ..victim::id() }
}

/// What the hostile writer does instead of its next change.
#[derive(Clone, Debug)]
enum Trick {
    /// The change as it should be.
    Honest,
    /// A byte of it is another, under a right checksum.
    Byte(prop::sample::Index, u8),
    /// A column is another.
    Column(u64, Vec<u8>),
    /// Under the name of an honest writer.
    Actor(usize),
    /// The same again.
    Again,
}

fn trick() -> impl Strategy<Value = Trick> {
    let column = prop::sample::select(vec![0x01u64, 0x02, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73]);
    prop_oneof![
        2 => Just(Trick::Honest),
        3 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, to)| Trick::Byte(at, to)),
        2 => (column, prop::collection::vec(any::<u8>(), 0..8)).prop_map(|(name, data)| Trick::Column(name, data)),
        1 => (0usize..2).prop_map(Trick::Actor),
        1 => Just(Trick::Again),
    ]
}

fn register(document: &mut Document, number: usize) -> Vec<u8> {
    let name = format!("agent-{number}").parse().unwrap();
    document.write(&[Entry::Agent(name, Agent { kind: AgentKind::Ai, said: None }).into()], 1_000).unwrap().unwrap()
}

/// What the hostile writer sends.
fn hostile(tricks: &[Trick]) -> Vec<Vec<u8>> {
    let mut document = Document::new(victim::id());
    let first = Forge::first(victim::id().actor(), &opening());
    let mut sent = vec![first.bytes()];
    document.admit(&first.bytes()).unwrap();
    for (number, trick) in tricks.iter().enumerate() {
        let good = register(&mut document.clone(), number);
        let bytes = match trick {
            Trick::Honest => good,
            Trick::Byte(at, to) => {
                // The contents stand behind magic, checksum, kind and length.
                let length = 1 + good[9..].iter().position(|byte| byte & 0x80 == 0).unwrap();
                let mut contents = good[9 + length..].to_vec();
                *at.get_mut(&mut contents) ^= to;
                chunk(1, &contents)
            }
            Trick::Column(name, data) => {
                let mut next = first.clone();
                (next.seq, next.start_op) = (document.changes() + 1, 6);
                next.column(*name, data.clone()).bytes()
            }
            Trick::Actor(of) => Forge::first(id(HONEST[*of]).actor(), &opening()).bytes(),
            Trick::Again => sent[number].clone(),
        };
        // It goes on from whatever was taken.
        let _verdict = document.admit(&bytes);
        sent.push(bytes);
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_others_say_stays_byte_equal_on_every_replica(
        tricks in prop::collection::vec(trick(), 1..10),
        counts in prop::array::uniform2(1usize..6),
        orders in prop::array::uniform3(prop::collection::vec(0usize..3, 0..40)),
    ) {
        let mut writers = HONEST.map(|node| Document::new(id(node)));
        let mut queues: Vec<Vec<Vec<u8>>> = Vec::new();
        for (writer, count) in writers.iter_mut().zip(counts) {
            queues.push((0..count).map(|number| register(writer, number)).collect());
        }
        queues.push(hostile(&tricks));
        let mut agreed = None;
        for order in orders {
            let mut replica = [Document::new(id(1)), Document::new(id(2)), Document::new(victim::id())];
            let mut next = [0; 3];
            let mut verdicts = Vec::new();
            // In the order asked for, then whatever is left.
            for author in order.into_iter().chain([0, 1, 2].into_iter().flat_map(|author| vec![author; 16])) {
                let Some(bytes) = queues[author].get(next[author]) else { continue };
                next[author] += 1;
                let verdict = replica[author].admit(bytes);
                if author == 2 { verdicts.push(verdict) } else { verdict.unwrap() }
                // Whoever it claims to be from, it does not enter the document of another.
                if author == 2 {
                    prop_assert!(replica[0].clone().admit(bytes).is_err() && replica[1].clone().admit(bytes).is_err());
                }
            }
            for (writer, copy) in writers.iter().zip(&replica) {
                prop_assert_eq!(writer.content(), copy.content());
                prop_assert_eq!(writer.save().unwrap(), copy.save().unwrap());
            }
            let all = Picture::of(replica.iter().map(|document| (document.id().node, document.content()))).digest();
            let outcome = (verdicts, merged(&replica).unwrap(), all);
            let agreed = agreed.get_or_insert_with(|| outcome.clone());
            prop_assert_eq!(&*agreed, &outcome);
        }
    }
}
