use fedp2p_crdt::{content::*, document::*};
use fedp2p_protocols::{id::*, pulse::*, vote::*};
use std::time::Instant;
fn id(n: u8, epoch: u32) -> DocumentId { DocumentId { node: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([2; 16]), conversation: ConversationId::from_bytes([3; 16]), epoch } }
fn main() {
    let mut c = Content::default();
    let f = |s: &str| Some(format!("{s} some text of a usual length"));
    for i in 0..100 {
        c.agents.insert(format!("agent-{i}").parse().unwrap(), Agent { kind: AgentKind::Ai, said: Some(Said { at: 1, pulse: Pulse { summary: f("a"), action: f("b"), thinking: f("c"), wondering: f("d"), offering: f("e"), status: f("g") } }) });
        c.proposals.insert(format!("p{i}"), Proposal { by: "agent-1".parse().unwrap(), question: "which one?".into(), options: vec!["a".into(), "b".into(), "c".into()], mechanism: Mechanism::Poll, revision: 1, opened: 5, closed: None });
    }
    let t = Instant::now();
    let (mut w, changes) = Document::restate(id(1, 0), &c, 1000).unwrap();
    println!("restate {:?} {} changes sizes {:?}", t.elapsed(), changes.len(), changes.iter().map(|c| c.len()).collect::<Vec<_>>());
    assert_eq!(w.content(), &c);
    let t = Instant::now();
    let mut r = Document::restore(id(1, 0), changes.iter().map(|c| &c[..])).unwrap();
    println!("restore {:?}", t.elapsed());
    assert_eq!(r.content(), &c);
    for hot in [true, false] {
        let (mut tw, mut ta) = (vec![], vec![]);
        let mut size = 0;
        for i in 0..100u64 {
            let a = if hot { 7 } else { i % 100 };
            let mut p = c.agents[&format!("agent-{a}").parse().unwrap()].said.clone().unwrap().pulse;
            p.action = Some(format!("step {i}"));
            let t = Instant::now();
            let b = w.write(&[Edit::Say { agent: format!("agent-{a}").parse().unwrap(), pulse: p, at: 100 + i }], 2000).unwrap().unwrap();
            tw.push(t.elapsed());
            size = b.len();
            let t = Instant::now();
            r.admit(&b).unwrap();
            ta.push(t.elapsed());
        }
        assert_eq!(w.content(), r.content());
        tw.sort(); ta.sort();
        println!("hot {hot}: write p50 {:?} max {:?}; admit p50 {:?} max {:?}; {size} bytes", tw[50], tw[99], ta[50], ta[99]);
    }
    let t = Instant::now();
    let s = w.save().unwrap();
    println!("save {:?} {}", t.elapsed(), s.len());
    let raw = w.raw_changes();
    let t = Instant::now();
    let r2 = Document::restore(id(1, 0), raw.iter().map(|c| &c[..])).unwrap();
    println!("restore {} {:?}", raw.len(), t.elapsed());
    assert_eq!(r2.content(), w.content());
    let pic = fedp2p_crdt::picture::Picture::of([(id(1, 0).node, w.content())]);
    let t = Instant::now();
    pic.digest();
    println!("digest {:?}", t.elapsed());
    // hostile: everything on one hot key
    let mut w = Document::new(id(1, 0));
    let mut small = Document::new(id(1, 0));
    let _ = (&mut w, &mut small);
}
