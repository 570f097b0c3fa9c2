#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]
//! What a hostile change may cost in memory: less than 1 MB, while it is judged and for good.
//!
//! Memory is counted by the allocator, so this is the only test in its process. Time is measured by the bench `gate`.

use peak_alloc::PeakAlloc;

#[path = "hostile/costly.rs"]
mod costly;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "hostile/forge.rs"]
mod forge;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "hostile/victim.rs"]
mod victim;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MOST_BYTES: usize = 1_000_000;

#[test]
fn no_hostile_change_costs_a_megabyte() {
    for (document, author) in costly::authors() {
        for attack in costly::attacks(&author) {
            let mut victim = author.document.clone();
            let before = HEAP.current_usage();
            HEAP.reset_peak_usage();
            let verdict = victim.admit(&attack.bytes);
            let (peak, kept) = (HEAP.peak_usage() - before, HEAP.current_usage().saturating_sub(before));
            let what = format!("{} on {document}", attack.name);
            assert_eq!(verdict.is_ok(), attack.allowed, "{what}: {verdict:?}");
            assert!(peak < MOST_BYTES, "{what} takes {peak} bytes");
            assert!(attack.allowed || kept == 0, "{what} was refused and leaves {kept} bytes");
        }
    }
}
