#[path = "../tests/hostile/forge.rs"]
mod forge;
use fedp2p_crdt::{document::*, genesis};
use fedp2p_protocols::id::*;
use forge::*;
use std::time::{Duration, Instant};
fn id() -> DocumentId { DocumentId { node: NodeId::from_bytes([7; 32]), log: LogId::from_bytes([8; 16]), conversation: ConversationId::from_bytes([9; 16]), epoch: 0 } }
fn run(name: &str, opening: Vec<Op>, changes: usize, mut make: impl FnMut(u64, usize) -> Vec<Op>) {
    let mut ops = vec![Op::map((1, genesis::OPS), &id().node.to_string())];
    ops.extend(opening);
    let mut d = Document::new(id());
    let mut next = Forge::first(id().actor(), &ops);
    let mut count = ops.len();
    let (mut worst, mut total, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for i in 0..=changes {
        let b = next.bytes();
        bytes += b.len();
        let t = Instant::now();
        if let Err(e) = d.admit(&b) { println!("  {name}: change {i}: {e}"); break; }
        let e = t.elapsed();
        worst = worst.max(e); total += e;
        next.deps = vec![hash(&b)];
        next.seq += 1;
        next.start_op = count as u64 + 2;
        let ops = make(next.start_op, i);
        count += ops.len();
        next.set_ops(&ops);
    }
    let t = Instant::now(); let s = d.save().map(|s| s.len()); let ts = t.elapsed();
    let raw = d.raw_changes();
    let t = Instant::now(); Document::restore(id(), raw.iter().map(|c| &c[..])).unwrap(); 
    println!("{name}: {} changes {count} ops {bytes} bytes: total {total:?} worst {worst:?}; save {s:?} {ts:?} restore {:?}", d.changes(), t.elapsed());
}
fn main() {
    let n: usize = 250;
    for per in [16usize, 256, 1000, 4000] {
        run(&format!("hot key no preds {per}"), vec![], n, |_, _| vec![Op::put((0, 2), "z", ""); per]);
        run(&format!("hot key chained {per}"), vec![Op::put((0, 2), "z", "")], n, |s, _| (0..per).map(|i| Op::put((0, 2), "z", "").over(&[s + i as u64 - 1])).collect());
        run(&format!("new maps {per}"), vec![Op::map((0, 2), "agents")], n, |_, c| (0..per).map(|i| Op::map((0, 3), &format!("{c}-{i}"))).collect());
    }
    // one agent full of junk fields
    run("junk fields 1000", vec![Op::map((0, 2), "agents"), Op::map((0, 3), "a"), Op::put((0, 4), "kind", "ai")], n, |_, c| (0..1000).map(|i| Op::put((0, 4), &format!("{c}-{i}"), "")).collect());
    // one voter with very many ballots
    let u = |o: (u64, u64), k: &str| Op { value: (3, vec![1]), ..Op::put(o, k, "") };
    run("ballots 800", vec![Op::map((0, 2), "ballots"), Op::map((0, 3), &id().node.to_string()), Op::map((0, 4), "p"), Op::map((0, 5), "v")], n, |s, c| (0..800u64).flat_map(|i| { let m = (0, s + i * 4); [Op::map((0, 6), &format!("{}", c as u64 * 800 + i + 1)), u(m, "revision"), Op::put(m, "choice", "a"), u(m, "at")] }).collect());
    run("counted 1000", vec![Op::map((0, 2), "proposals"), Op::map((0, 3), "p"), Op::put((0,4),"by","a"), Op::put((0,4),"question","a"), Op::put((0,4),"mechanism","poll"), u((0,4),"revision"), u((0,4),"opened"), Op::map((0,4),"options"), Op::put((0,10),"00","a"), Op::map((0,4),"closed"), u((0,12),"at"), Op::map((0,12),"counted"), Op::map((0,14), &id().node.to_string())], n, |_, c| (0..1000).map(|i| u((0, 15), &format!("v{c}-{i}"))).collect());
}
