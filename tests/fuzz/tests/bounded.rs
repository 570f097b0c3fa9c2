#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]
//! Each target on its seeds, its corpus and the same mutations every time; and that they came deep enough.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_fuzz::mutate::Mutator;
use fedp2p_fuzz::{find, targets};

/// Most bytes of all committed inputs.
const MOST_CORPUS_BYTES: usize = 300 * 1024;
/// Most inputs that are kept because they came where none did before.
const MOST_FRESH: usize = 200;

fn bounded(name: &str) {
    let target = find(name).unwrap();
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    let mut inputs = (target.seeds)();
    inputs.extend(target.committed());
    for input in &inputs {
        *reached.entry((target.run)(input)).or_default() += 1;
    }
    let mut mutator = Mutator::new(name);
    let most = inputs.len() + MOST_FRESH;
    for _ in 0..target.rounds {
        let input = mutator.next(&inputs);
        let count = reached.entry((target.run)(&input)).or_default();
        *count += 1;
        // What is rare is worth going on from.
        if *count < 4 && inputs.len() < most {
            inputs.push(input);
        }
    }
    let missed: Vec<_> = target.depths.iter().filter(|depth| !reached.contains_key(**depth)).collect();
    assert!(missed.is_empty(), "{name} never came to {missed:?}, only to {reached:?}");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { bounded(stringify!($name)); })*

        #[test]
        fn every_target_has_a_bounded_run() {
            let tested = BTreeSet::from([$(stringify!($name)),*]);
            assert_eq!(targets::ALL.iter().map(|target| target.name).collect::<BTreeSet<_>>(), tested);
        }
    };
}

targets! { op frame hello join ticket payload socket gate note core }

#[test]
fn the_corpus_is_small() {
    let bytes: usize = targets::ALL.iter().flat_map(|target| target.committed()).map(|input| input.len()).sum();
    assert!(bytes <= MOST_CORPUS_BYTES, "{bytes} bytes");
}
