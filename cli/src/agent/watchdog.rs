//! Ends the programs of a runner that was killed.
//!
//! A runner that gets SIGKILL cannot end what it has started, and two would soon work on one task. So it starts a process
//! beside itself that knows the process groups of its programs and reads from a pipe. When the runner is gone, however
//! that came, the pipe is closed, and the process ends those groups and itself.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long the programs have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// The process that ends the programs of this runner once this is gone.
#[derive(Debug, Clone)]
pub(crate) struct Watchdog {
    child: Arc<Mutex<Child>>,
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// If the system has no resources for it.
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // What interrupts the runner in a terminal is not meant for it.
        command.args(["agent", "watchdog"]).process_group(0).stdin(Stdio::piped());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child: Arc::new(Mutex::new(child)) })
    }

    /// Has it end this process group if the runner goes before what is returned does.
    pub(crate) fn watch(&self, group: Pid) -> Watched {
        self.tell('+', group);
        Watched { watchdog: self.clone(), group }
    }

    fn tell(&self, what: char, group: Pid) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut child.stdin {
            // Without it the programs of a killed runner run on, as they would if it had never been.
            drop(writeln!(pipe, "{what}{}", group.as_raw_nonzero()));
        }
    }
}

/// A process group that is ended if the runner goes before this does.
#[derive(Debug)]
pub(crate) struct Watched {
    watchdog: Watchdog,
    group: Pid,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watchdog.tell('-', self.group);
    }
}

/// Is the process beside a runner: reads which groups there are until the runner is gone, and ends those.
pub(crate) fn run(input: impl BufRead) {
    let groups = left(input);
    let signal = |signal| {
        for group in &groups {
            // It may have ended by itself just now.
            let _gone = kill_process_group(*group, signal);
        }
    };
    if !groups.is_empty() {
        signal(Signal::TERM);
        std::thread::sleep(GRACE);
        signal(Signal::KILL);
    }
}

/// The groups that had begun and not ended when the input did.
fn left(input: impl BufRead) -> Vec<Pid> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        if let Some(group) = line.strip_prefix('+').and_then(|group| group.parse::<i32>().ok()) {
            groups.insert(group);
        } else if let Some(group) = line.strip_prefix('-').and_then(|group| group.parse::<i32>().ok()) {
            groups.remove(&group);
        }
    }
    groups.into_iter().filter(|group| *group > 1).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_that_have_not_ended_are_left() {
        let groups =
            |lines: &str| left(lines.as_bytes()).iter().map(|group| group.as_raw_nonzero().get()).collect::<Vec<_>>();
        assert_eq!(groups("+10\n+11\n-10\n+12\n"), [11, 12]);
        assert_eq!(groups("+0\n+1\n+-5\nnonsense\n+\n"), [0; 0]);
    }
}
