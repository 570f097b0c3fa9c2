//! Lets a program do the work: the document on its stdin, its exit code and output as what came of it.
//!
//! The program leads a process group of its own. When it takes too long, or when nobody wants what it does any more, the
//! whole group gets SIGTERM and, a grace later, SIGKILL. When it has ended by itself, what it left behind keeps running
//! only if it let go of stdout and stderr; else it is killed. Should the runner itself be killed, a
//! [watchdog](super::watchdog) ends its programs.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::document::Document;
use super::outcome::{self, End, Outcome, Text};
use super::watchdog::Watchdog;
use super::{Cancel, cancelled};

/// How long the output may still come after the program has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How many bytes of stderr are kept, the last ones.
const KEPT_ERRORS: usize = 8 * 1024;

/// A program and how it is run.
#[derive(Debug)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) words: Vec<OsString>,
    /// What it finds in its environment beside ours.
    pub(crate) variables: Vec<(&'static str, OsString)>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// How long it has after SIGTERM.
    pub(crate) grace: Duration,
    /// How many bytes of stdout are kept, the first ones.
    pub(crate) most_output: usize,
    /// Ends it should we be killed.
    pub(crate) watchdog: Option<Watchdog>,
}

impl Program {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Whether there is such a program, as far as can be told without running it.
    pub(crate) fn exists(&self) -> bool {
        let Some(name) = self.words.first().map(PathBuf::from) else { return false };
        if name.components().count() > 1 {
            return name.is_file();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
    }

    /// Does some work.
    pub(crate) async fn work(&self, document: &Document, cancel: &mut Cancel) -> Outcome {
        match self.start() {
            Ok(child) => self.attend(child, document.line(), cancel).await,
            Err(error) => Outcome::Unavailable(format!("{} cannot be started: {error}", self.name())),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let (name, arguments) = self.words.split_first().ok_or(io::ErrorKind::NotFound)?;
        Command::new(name)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn attend(&self, mut child: Child, input: Vec<u8>, cancel: &mut Cancel) -> Outcome {
        let group = Group::of(&child);
        let _watched = self.watchdog.as_ref().zip(group.0).map(|(watchdog, group)| watchdog.watch(group));
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input closes it.
            tokio::spawn(async move { drop(stdin.write_all(&input).await) });
        }
        let stdout = child.stdout.take().map(|pipe| tokio::spawn(first(pipe, self.most_output)));
        let stderr = child.stderr.take().map(|pipe| tokio::spawn(last(pipe, KEPT_ERRORS)));
        let end = tokio::select! {
            status = child.wait() => status.map(end),
            () = sleep(self.timeout) => {
                group.end(&mut child, self.grace).await;
                Ok(End::TimedOut(self.timeout))
            }
            () = cancelled(cancel) => {
                group.end(&mut child, self.grace).await;
                return Outcome::Stopped;
            }
        };
        let (stdout, stderr) = (group.read(stdout).await, group.read(stderr).await);
        match end {
            Ok(end) => outcome::of_program(end, stdout, &stderr),
            Err(error) => Outcome::Failed(format!("it is not known how {} ended: {error}", self.name())),
        }
    }
}

fn end(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Code(code),
        None => End::Signal(status.signal().unwrap_or_default()),
    }
}

/// The process group of a program.
#[derive(Debug, Clone, Copy)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may have ended by itself just now.
            let _gone = kill_process_group(group, signal);
        }
    }

    /// Ends the whole group: first kindly, and then not.
    async fn end(self, child: &mut Child, grace: Duration) {
        self.signal(Signal::TERM);
        let kindly = timeout(grace, child.wait()).await;
        // The others of the group too, whatever its leader did.
        self.signal(Signal::KILL);
        if kindly.is_err() {
            drop(child.wait().await);
        }
    }

    /// Returns what was read, once the pipe is closed. What of the group holds it open for long is killed.
    async fn read(self, reading: Option<JoinHandle<Text>>) -> Text {
        let Some(mut reading) = reading else { return Text::default() };
        if let Ok(read) = timeout(LAST_WORDS, &mut reading).await {
            return read.unwrap_or_default();
        }
        self.signal(Signal::KILL);
        match timeout(LAST_WORDS, &mut reading).await {
            Ok(read) => read.unwrap_or_default(),
            Err(_) => {
                reading.abort();
                Text::default()
            }
        }
    }
}

/// Reads a pipe to its end and keeps so many of the first bytes.
async fn first(mut pipe: impl AsyncRead + Unpin, most: usize) -> Text {
    let mut kept = Vec::new();
    let whole = read(&mut pipe, |part| {
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(&part[..part.len().min(room)]);
    });
    let mut whole = whole.await;
    // Lines end, texts do not.
    if kept.len() as u64 == whole && kept.last() == Some(&b'\n') {
        kept.pop();
        whole -= 1;
    }
    text(&kept, whole)
}

/// Reads a pipe to its end and keeps so many of the last bytes.
async fn last(mut pipe: impl AsyncRead + Unpin, most: usize) -> Text {
    let mut kept = Vec::new();
    let whole = read(&mut pipe, |part| {
        kept.extend_from_slice(part);
        let old = kept.len().saturating_sub(most);
        kept.drain(..old);
    });
    let whole = whole.await;
    text(&kept, whole)
}

async fn read(pipe: &mut (impl AsyncRead + Unpin), mut take: impl FnMut(&[u8])) -> u64 {
    let mut whole = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        take(&buffer[..read]);
        whole += read as u64;
    }
    whole
}

/// What was kept as text; what is no text is shown as such.
fn text(kept: &[u8], whole: u64) -> Text {
    let complete = kept.len() as u64 == whole;
    let kept = String::from_utf8_lossy(kept).into_owned();
    // A replaced character can be longer than what it stands for.
    let whole = if complete { kept.len() as u64 } else { whole };
    Text { kept, whole }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::watch;

    use super::*;
    use crate::agent::document::Work;
    use crate::agent::{Why, samples};

    fn shell(script: &str) -> Program {
        Program {
            words: ["sh", "-c", script].map(OsString::from).to_vec(),
            variables: vec![("FEDP2P_AGENT", "coder".into())],
            timeout: Duration::from_secs(20),
            grace: Duration::from_millis(200),
            most_output: 1000,
            watchdog: None,
        }
    }

    async fn run(program: &Program) -> Outcome {
        let (_sender, mut cancel) = watch::channel(None);
        let task = Box::new(samples::task("profile", "x"));
        let document = Document::new("coder@taichi".parse().unwrap(), Work::Task { task }, Vec::new());
        program.work(&document, &mut cancel).await
    }

    fn done(outcome: Outcome) -> String {
        let Outcome::Done(answer) = outcome else { panic!("{outcome:?}") };
        answer.text.within(usize::MAX)
    }

    #[tokio::test]
    async fn a_program_reads_the_document_and_its_output_is_the_result() {
        let read = done(run(&shell("cat")).await);
        assert!(read.contains("\"kind\":\"task\"") && !read.ends_with('\n'), "{read}");
        assert_eq!(done(run(&shell("echo $FEDP2P_AGENT")).await), "coder");
        assert_eq!(done(run(&shell("exec 0<&-; echo did not read")).await), "did not read");
    }

    #[tokio::test]
    async fn output_is_read_to_the_end_and_kept_up_to_a_limit() {
        let Outcome::Done(answer) = run(&shell("head -c 5000000 /dev/zero | tr '\\0' x")).await else { panic!() };
        assert_eq!((answer.text.kept.len(), answer.text.whole), (1000, 5_000_000));
        let Outcome::Failed(why) = run(&shell("seq 1 100000 >&2; exit 9")).await else { panic!() };
        assert!(why.starts_with("exit code 9: … ") && why.ends_with("100000"), "{why}");
        let Outcome::Failed(why) = run(&shell("kill -SEGV $$")).await else { panic!() };
        assert_eq!(why, "killed by signal 11");
        assert_eq!(done(run(&shell("printf '\\377ok'")).await), "\u{fffd}ok");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let pipe = folder.path().join("pipe");
        // The grandchild ignores SIGTERM and holds a pipe open as long as it lives.
        let script = format!(
            "mkfifo {pipe}; (trap '' TERM; sleep 100 > {pipe}) & cat {pipe} > /dev/null; touch {alive}",
            pipe = pipe.display(),
            alive = alive.display()
        );
        let program = Program { timeout: Duration::from_millis(300), ..shell(&script) };
        let before = Instant::now();
        let Outcome::Failed(why) = run(&program).await else { panic!() };
        assert!(why.contains("longer than 0.3 s"), "{why}");
        assert!(before.elapsed() < Duration::from_secs(20));
        assert!(!alive.exists());
    }

    #[tokio::test]
    async fn what_holds_the_output_open_is_not_waited_for() {
        let before = Instant::now();
        assert_eq!(done(run(&shell("sleep 100 & echo done")).await), "done");
        assert!(before.elapsed() < Duration::from_secs(50));
    }

    #[tokio::test]
    async fn what_nobody_wants_any_more_is_ended() {
        let (sender, mut cancel) = watch::channel(None);
        sender.send_replace(Some(Why::Stopping));
        let message = Box::new(samples::message(1, "ada@taichi", "x"));
        let document = Document::new("coder@taichi".parse().unwrap(), Work::Message { message }, Vec::new());
        assert_eq!(shell("sleep 100").work(&document, &mut cancel).await, Outcome::Stopped);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_not_available() {
        let program = Program { words: vec!["/nowhere/program".into()], ..shell("") };
        assert!(!program.exists() && shell("").exists());
        assert!(matches!(run(&program).await, Outcome::Unavailable(_)));
    }
}
