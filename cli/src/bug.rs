//! What is said when a bug shows itself: one line and a hint instead of a backtrace.
//!
//! A panic on the main thread ends the program with exit code 70. On another thread it is the business of whoever
//! started that thread (the daemon catches those it expects), so it is a line for the log and no more.

use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::thread;

use crate::error::Report;
use crate::ui::Output;
use crate::ui::colour::When;

/// What the last panic on the main thread said.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Takes over what happens at a panic.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = describe(info);
        if thread::current().name() == Some("main") {
            *LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(text);
        } else {
            Output::new(false, When::Auto).note(&format!("a thread panicked: {text}"));
        }
    }));
}

/// Says what the last panic on the main thread was.
pub(crate) fn report() {
    let last = LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    Output::new(false, When::Auto).failure_in_words(&Report {
        code: "internal".to_owned(),
        message: format!("this is a bug in fedp2p: {}", last.as_deref().unwrap_or("no more is known")),
        hint: "report it with the command that you ran and the version (fedp2p --version)".to_owned(),
        suggestions: Vec::new(),
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown panic");
    match info.location() {
        Some(place) => format!("{text} ({}:{})", place.file(), place.line()),
        None => text.to_owned(),
    }
}
