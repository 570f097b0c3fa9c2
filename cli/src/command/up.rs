//! `fedp2p up`: starts the daemon, in this terminal or in the background.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fedp2p_node::client::ConnectError;
use fedp2p_node::daemon::{self, Options, Report};
use fedp2p_protocols::api::{Error as Refusal, ErrorCode, Operation, status, watch};
use fedp2p_protocols::name::{NodeName, OrganisationName};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use super::join::ticket;
use crate::context::{Context, here, light_runtime};
use crate::error::{Error, Exit};
use crate::mcp::http;
use crate::mcp::tools::Profile;
use crate::ui::live::Live;
use crate::ui::show;

/// How long a daemon in the background has until it is ready; joining takes most of it.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// When to say that it takes a while.
const SAY_SOMETHING: Duration = Duration::from_secs(1);
/// How often to look whether it is ready.
const LOOK: Duration = Duration::from_millis(10);
/// A log file beyond this is put aside when a daemon starts.
const MAX_LOG_BYTES: u64 = 8 * 1024 * 1024;
/// How much of a log is looked at for the reason of a failure.
const MAX_TAIL_BYTES: u64 = 16 * 1024;
/// The variable that hands a ticket over: other users can read a command line, but not this.
const TICKET: &str = "FEDP2P_TICKET";

/// Start this machine's node
#[derive(Debug, Args)]
#[command(after_help = "\
On a fresh machine this makes a node key and an organisation of its own. Ctrl-C or \"fedp2p down\" stops it.

Examples:
  fedp2p up
  fedp2p up --detach
  fedp2p up --join TICKET --name taichi
  fedp2p up --listen 0.0.0.0:4001 --peer taichi.example.org:4001 --no-mdns")]
pub(crate) struct Arguments {
    #[command(flatten)]
    start: Start,

    /// Run in the background and return once the node is ready
    #[arg(long)]
    detach: bool,
}

/// How the daemon is started.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Start {
    /// Join an organisation with this ticket first; - reads it from stdin
    #[arg(long, value_name = "TICKET", env = TICKET, hide_env_values = true)]
    pub(crate) join: Option<String>,

    /// Call this node so; a fresh one is called like its host
    #[arg(long)]
    pub(crate) name: Option<NodeName>,

    /// Call a fresh organisation so; it is called like you
    #[arg(long, value_name = "NAME")]
    pub(crate) organisation: Option<OrganisationName>,

    /// Listen here instead of everywhere: IP:PORT or multiaddr; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,

    /// Dial this node: HOST:PORT or multiaddr; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(crate) peer: Vec<String>,

    /// Do not look for nodes on the local network
    #[arg(long)]
    pub(crate) no_mdns: bool,

    /// Log only what an admin should know, not every message, pulse and vote; always so with --detach
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Which tools AI tools are offered that connect over HTTP
    #[arg(long, value_name = "PROFILE", default_value = "default")]
    pub(crate) mcp_profile: Profile,

    /// Do not let AI tools connect over HTTP
    #[arg(long)]
    pub(crate) no_mcp: bool,

    /// What a commit survives: normal a killed process, full a power cut too
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    pub(crate) durability: Durability,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// A killed process
    #[default]
    Normal,
    /// A power cut too, at 4 ms or more for each commit
    Full,
}

impl Start {
    fn options(self, home: &Path) -> Options {
        Options {
            home: home.to_owned(),
            person: Some(here()),
            join: self.join,
            name: self.name,
            organisation: self.organisation,
            listen: self.listen,
            mdns: !self.no_mdns,
            peers: self.peer,
            full_durability: self.durability == Durability::Full,
        }
    }

    /// Returns the words that say the same to another process, all but the ticket.
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |flag: &str, value: &str| words.push(format!("--{flag}={value}"));
        if let Some(name) = &self.name {
            option("name", name.as_str());
        }
        if let Some(organisation) = &self.organisation {
            option("organisation", organisation.as_str());
        }
        self.listen.iter().for_each(|address| option("listen", address));
        self.peer.iter().for_each(|address| option("peer", address));
        if self.durability == Durability::Full {
            option("durability", "full");
        }
        if let Some(profile) = self.mcp_profile.to_possible_value().filter(|_| self.mcp_profile != Profile::Default) {
            option("mcp-profile", profile.get_name());
        }
        for (flag, given) in [("--no-mdns", self.no_mdns), ("--no-mcp", self.no_mcp)] {
            words.extend(given.then(|| flag.to_owned()));
        }
        words
    }

    /// Returns whether a daemon that runs as `status` says is already what is asked for.
    fn is_satisfied_by(&self, status: &status::Reply) -> bool {
        let node = &status.node;
        self.join.is_none()
            && self.name.as_ref().is_none_or(|name| *name == node.name)
            && self.organisation.as_ref().is_none_or(|name| *name == node.organisation_name)
            && self.listen.is_empty()
            && self.peer.is_empty()
            && !self.no_mdns
            && !self.no_mcp
            && self.mcp_profile == Profile::Default
            && self.durability == Durability::Normal
    }
}

/// Starts the daemon.
pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let mut start = arguments.start;
    start.join = start.join.map(ticket).transpose()?;
    let running = light_runtime()?.block_on(running(context))?;
    match running {
        Some(status) if arguments.detach && start.is_satisfied_by(&status) => {
            context.out.note("the daemon is already running");
            context.show::<status::Request>(&status, |_| header(&status, context))
        }
        Some(status) => Err(already_running(&status, &start, context)),
        None if arguments.detach => {
            let status = light_runtime()?.block_on(detach(&start, context))?;
            context.show::<status::Request>(&status, |_| header(&status, context))
        }
        None => foreground(start, context),
    }
}

/// Returns how the daemon of this home is doing, if there is one.
async fn running(context: &Context) -> Result<Option<status::Reply>, Error> {
    match context.connect().await {
        Ok(mut client) => Ok(Some(client.call(status::Request {}).await?)),
        Err(ConnectError::NoDaemon) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn already_running(status: &status::Reply, start: &Start, context: &Context) -> Error {
    let program = &context.program;
    let hint = if start.join.is_some() {
        format!("let it join: \"{program} join TICKET\"")
    } else {
        format!("talk to it with \"{program} status\", or stop it first with \"{program} down\"")
    };
    let message = format!("a daemon with this home is already running (process {})", status.pid);
    Refusal::new(ErrorCode::Conflict, message).hint(hint).into()
}

fn foreground(start: Start, context: &Context) -> Result<(), Error> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::system("start the runtime"))?;
    let (out, live, program) = (context.out.clone(), Live::new(&context.out), context.program.clone());
    let (quiet, home) = (start.quiet, context.home.clone());
    let door = Mutex::new(Some((!start.no_mcp).then_some(start.mcp_profile)));
    let report = move |report: Report| {
        if matches!(report, Report::Ready(_))
            && let Some(profile) = door.lock().unwrap_or_else(PoisonError::into_inner).take()
            && let Err(error) = http::open(&home, profile)
        {
            // The node does without: other doors are open.
            out.note(&format!("no AI tool can connect over HTTP: {error}"));
        }
        if quiet && matches!(&report, Report::Event(event) if !matches!(**event, watch::Event::Notice { .. })) {
            return;
        }
        let printed = match report {
            Report::Ready(status) if out.json() => out.envelope(status::Request::NAME, &status, None),
            Report::Event(event) if out.json() => out.envelope(watch::Request::NAME, &event, None),
            Report::Log(text) if out.json() => out.envelope("log", &text, None),
            Report::Ready(status) => {
                let node = show::node(&status, &out);
                out.print(&welcome(&status.version, &node, &program, "Ctrl-C"))
            }
            Report::Event(event) => out.print(&live.event(&event)),
            Report::Log(text) => out.print(&live.log(&text)),
        };
        // The node serves others, and goes on when nobody looks at its log any more.
        drop(printed);
    };
    runtime.block_on(daemon::run(start.options(context.home.root()), report))?;
    Ok(())
}

/// Starts a daemon in the background and waits until it is ready. Where somebody else has started one at the same time,
/// that one is waited for.
///
/// # Errors
/// With the daemon's own words and exit code if it does not come up, or if the other one is not what was asked for.
pub(crate) async fn detach(start: &Start, context: &Context) -> Result<status::Reply, Error> {
    let (log, from) = open_log(context)?;
    let mut child = Some(spawn(start, context, log)?);
    let mut lost = None;
    let started = Instant::now();
    let mut said = false;
    loop {
        let ended = child.as_mut().map(Child::try_wait).transpose().map_err(Error::system("wait for the daemon"))?;
        if let Some(status) = ended.flatten() {
            child = None;
            lost = Some(failure(status, &words_since(context, from), context));
        }
        if let Ok(mut client) = context.connect().await
            && let Ok(status) = client.call(status::Request {}).await
        {
            let is_wanted = lost.is_none() || start.is_satisfied_by(&status);
            return if is_wanted { Ok(status) } else { Err(already_running(&status, start, context)) };
        }
        if let Some(error) = lost.take_if(|error| started.elapsed() > READY_LIMIT || !says_in_use(error)) {
            return Err(error);
        }
        if let Some(child) = child.as_ref().filter(|_| started.elapsed() > READY_LIMIT) {
            return Err(Error::NotYet {
                message: format!("the daemon (process {}) runs but is not ready", child.id()),
                hint: format!("see what it does: {}", context.home.log_file().display()),
            });
        }
        if started.elapsed() > SAY_SOMETHING && !said {
            said = true;
            context.out.note(if start.join.is_some() { "joining …" } else { "starting …" });
        }
        sleep(LOOK).await;
    }
}

/// Whether a daemon has ended because another one has the home.
fn says_in_use(error: &Error) -> bool {
    let said = daemon::Error::InUse { pid: None }.to_string();
    matches!(error, Error::Child { message, .. } if *message == said)
}

fn spawn(start: &Start, context: &Context, log: File) -> Result<Child, Error> {
    let program = std::env::current_exe().map_err(Error::system("find this program's file"))?;
    let errors = log.try_clone().map_err(Error::system("open the log file"))?;
    let mut command = Command::new(program);
    command.arg("--home").arg(context.home.root()).args(["--color", "never", "up", "--quiet"]).args(start.words());
    match &start.join {
        Some(ticket) => command.env(TICKET, ticket),
        None => command.env_remove(TICKET),
    };
    // A group of its own, so that Ctrl-C in this terminal does not reach it.
    command.process_group(0).current_dir(context.home.root()).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().map_err(Error::system("start the daemon"))
}

/// Opens the log file for a new daemon and returns where it begins to write.
fn open_log(context: &Context) -> Result<(File, u64), Error> {
    let (home, path) = (context.home.root(), context.home.log_file());
    let cannot = |what: &str, path: &Path| Error::system(format!("{what} {}", path.display()));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(home);
    made.map_err(cannot("make the home folder", home))?;
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        let old = path.with_extension("log.old");
        std::fs::rename(&path, &old).map_err(cannot("put aside the log file", &path))?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let mut file = file.map_err(cannot("open the log file", &path))?;
    let from = file.seek(SeekFrom::End(0)).map_err(cannot("read the log file", &path))?;
    Ok((file, from))
}

/// Returns what was written to the log since `from`, or the end of it if that is much.
fn words_since(context: &Context, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(context.home.log_file())?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(MAX_TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// Turns the last words of a daemon that did not come up into a failure of ours.
fn failure(status: ExitStatus, words: &str, context: &Context) -> Error {
    let exit = Exit::of_code(status.code());
    let log = context.home.log_file();
    match reason(words) {
        Some((message, hint)) => {
            Error::Child { message, hint: hint.unwrap_or_else(|| format!("see {}", log.display())), exit }
        }
        None => {
            let lines: Vec<&str> = words.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                context.out.note(&format!("  {}", crate::ui::escape::line(line)));
            }
            Error::Child {
                message: format!("the daemon stopped before it was ready ({status})"),
                hint: format!("see {}", log.display()),
                exit,
            }
        }
    }
}

/// Finds the failure that a daemon printed last, and its hint.
pub(crate) fn reason(words: &str) -> Option<(String, Option<String>)> {
    let lines: Vec<&str> = words.lines().collect();
    let at = lines.iter().rposition(|line| line.starts_with("error: "))?;
    let message = lines[at].strip_prefix("error: ")?.to_owned();
    let hint = lines[at..].iter().find_map(|line| line.strip_prefix("hint: "));
    Some((message, hint.map(str::to_owned)))
}

fn header(status: &status::Reply, context: &Context) -> String {
    let stop = format!("{} down", context.program);
    welcome(&status.version, &show::node(status, &context.out), &context.program, &stop)
}

/// Returns what a person sees when a node is ready: what it is, and what to do next.
fn welcome(version: &str, node: &str, program: &str, stop: &str) -> String {
    format!(
        "fedp2p {version} is ready\n\n{node}\n  \
         invite a machine   {program} invite\n  \
         see everybody      {program} pulse\n  \
         say something      {program} send --all \"Hello\"\n  \
         read what waits    {program} inbox --watch\n  \
         stop               {stop}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Start {
        Line::try_parse_from(line.split(' ')).unwrap().arguments.start
    }

    #[test]
    fn a_detached_daemon_is_told_the_same_but_not_the_ticket() {
        let line = "up --join secret --name taichi --listen 127.0.0.1:0 --listen [::1]:0 --no-mdns --durability full";
        let start = parse(line);
        let words = start.words();
        assert!(words.iter().all(|word| !word.contains("secret")), "{words:?}");
        let again = parse(&format!("up {}", words.join(" ")));
        let home = Path::new("/x");
        let mut expected = start.options(home);
        expected.join = None;
        assert_eq!(format!("{:?}", again.options(home)), format!("{expected:?}"));
    }

    #[test]
    fn options_are_what_was_typed() {
        let options = parse("up --peer taichi:4001").options(Path::new("/x"));
        assert!(options.mdns && !options.full_durability);
        assert_eq!(options.peers, ["taichi:4001"]);
    }

    #[test]
    fn the_reason_of_a_failure_is_what_the_daemon_printed_last() {
        let words =
            "error: old\nhint: old\n2026 log\nerror: the ticket has expired\n  did you mean x?\nhint: ask again\n";
        assert_eq!(reason(words), Some(("the ticket has expired".to_owned(), Some("ask again".to_owned()))));
        assert_eq!(reason("error: only this"), Some(("only this".to_owned(), None)));
        assert_eq!(reason("killed"), None);
    }
}
