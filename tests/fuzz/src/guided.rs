#![no_main]
#![expect(clippy::print_stderr, reason = "libFuzzer prints there as well")]
//! One target under libFuzzer. The environment variable `FEDP2P_FUZZ_TARGET` says which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock};

use fedp2p_fuzz::{Target, find};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();
/// The last panic: most are caught by the gate, whose work that is.
static LAST: Mutex<String> = Mutex::new(String::new());

fn init() {
    let name = std::env::var("FEDP2P_FUZZ_TARGET").unwrap_or_default();
    let target = find(&name).expect("FEDP2P_FUZZ_TARGET names a target");
    TARGET.get_or_init(|| target);
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST.lock() {
            *last = panic.to_string();
        }
    }));
}

fuzz_target!(init: init(), |data: &[u8]| {
    let target = TARGET.get().expect("libFuzzer begins with init");
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        eprintln!("{}", LAST.lock().map(|last| last.clone()).unwrap_or_default());
        std::process::abort();
    }
});
