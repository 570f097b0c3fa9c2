//! What daemons and commands that stay print.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::code;
use crate::{PATIENCE, eventually};

/// The lines that a program has printed so far.
#[derive(Debug, Default)]
pub(super) struct Printed {
    pub(super) lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) lines: Vec<Value>,
    ended: bool,
}

impl Printed {
    pub(super) fn follow(self: Arc<Self>, output: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                self.lines.lock().unwrap().lines.push(value);
                self.more.notify_all();
            }
            self.lines.lock().unwrap().ended = true;
            self.more.notify_all();
        });
    }

    /// Waits for a line that `pick` takes; nothing if the output ends before.
    pub(super) fn wait<T>(&self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.lines.iter().find_map(&mut pick) {
                return Some(found);
            }
            if lines.ended {
                return None;
            }
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}; printed: {:#?}", lines.lines));
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A command that stays. It is killed when this is dropped.
#[derive(Debug)]
pub struct Following {
    pub(super) child: Child,
    pub(super) printed: Arc<Printed>,
}

impl Following {
    /// Waits until it has printed a line that contains `text`; lines of JSON count as their text.
    ///
    /// # Panics
    /// If it ends before.
    pub fn wait_for(&self, text: &str) {
        let contains = |line: &Value| line.to_string().contains(text).then_some(());
        self.printed.wait(text, contains).unwrap_or_else(|| panic!("ended without printing {text:?}"));
    }

    /// Interrupts it as Ctrl-C does and returns its exit code.
    pub fn interrupt(&mut self) -> i32 {
        self.signal(Signal::INT);
        self.wait_for_end()
    }

    /// Interrupts it as Ctrl-C does.
    pub fn signal_interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills it at once, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_end();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end and returns its exit code.
    pub fn wait_for_end(&mut self) -> i32 {
        eventually("the command ends", || {
            let ended = self.child.try_wait().unwrap();
            ended.map(code).ok_or_else(|| "it runs".to_owned())
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
