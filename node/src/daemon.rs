//! A daemon from start to end: opens the home, joins or founds an organisation, runs the loop, and starts again when
//! the node changes its membership.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use fedp2p_core::Core;
use fedp2p_core::input::Start;
use fedp2p_core::store::StoreError;
use fedp2p_protocols::api::{self, Answer, ErrorCode, NodeInfo, Reply, join, status, watch};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::LogEpochId;
use fedp2p_protocols::name::{AgentName, NodeName, OrganisationName};
use fedp2p_protocols::op::NodeKey;
use libp2p::Multiaddr;
use rand_core::{OsRng, RngCore};
use tokio::sync::mpsc;

use crate::applicant::Applicant;
use crate::home::Home;
use crate::net::{self, Net};
use crate::running::{Clock, Exit, Loop, Outside, Workers};
use crate::server::{MAX_WAITING_CALLS, Server};
use crate::store::{Database, Durability, NewEpoch, OpenError, Opened, Options as StoreOptions};
use crate::{keys, listen};

/// Most events of the store that wait for the loop.
const STORE_EVENTS: usize = 4096;
/// How often a port is looked for that is free.
const LOOKS_FOR_PORT: u32 = 3;

/// How a daemon is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The home folder.
    pub home: PathBuf,
    /// A ticket to join with before anything else, for a home that is new or alone in its organisation.
    pub join: Option<String>,
    /// The name of the node, when its home is new or joins; made from the host name if absent.
    pub name: Option<NodeName>,
    /// The name of the organisation, when the home is new; made from the user name if absent.
    pub organisation: Option<OrganisationName>,
    /// The person whose user runs the daemon; others can write to this agent at once.
    pub person: Option<AgentName>,
    /// `IP:PORT` or multiaddr to listen on; every interface and the remembered port if empty.
    pub listen: Vec<String>,
    /// Whether to look for nodes by mDNS.
    pub mdns: bool,
    /// Addresses of nodes to dial: `HOST:PORT` or multiaddr.
    pub peers: Vec<String>,
    /// Whether every commit waits for the disk.
    pub full_durability: bool,
}

/// What a daemon tells the terminal it runs in.
#[derive(Debug, Clone)]
pub enum Report {
    /// It serves clients and the network now, and this is how it is doing.
    Ready(Box<status::Reply>),
    /// Something happened.
    Event(Box<watch::Event>),
    /// A line for the log.
    Log(String),
}

/// Why a daemon did not start or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Refused, with a hint for the person who asked.
    #[error("{0}")]
    Refused(api::Error),
    /// Another daemon uses the home folder.
    #[error("another daemon uses this home folder")]
    InUse {
        /// Its process, if it can be told.
        pid: Option<u32>,
    },
}

pub(crate) fn refused(code: ErrorCode, message: impl Into<String>, hint: &str) -> Error {
    Error::Refused(api::Error::new(code, message).hint(hint))
}

pub(crate) fn storage(what: &str, error: &dyn std::error::Error) -> Error {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    refused(
        ErrorCode::Storage,
        format!("{what}: {error}{cause}"),
        "check the folder, its space and its permissions, or give another with --home DIR",
    )
}

/// Runs until it is told to stop by `down`, SIGINT or SIGTERM.
///
/// # Errors
/// If the home folder, the network or the ticket cannot be used. Nothing is half-made then.
pub async fn run(options: Options, report: impl Fn(Report) + Send + Sync + 'static) -> Result<(), Error> {
    let home = Home::locate(Some(&options.home))
        .map_err(|error| refused(ErrorCode::Storage, error.to_string(), &error.hint()))?;
    home.open_runtime_dir().map_err(|error| refused(ErrorCode::Storage, error.to_string(), &error.hint()))?;
    let _lock = lock(&home)?;
    let (calls, mut incoming) = mpsc::channel(MAX_WAITING_CALLS);
    let mut stop = signals();
    let mut server = None;
    let mut ticket = options.join.clone().map(|ticket| join::Request { ticket, name: options.name.clone() });
    let mut waiting: Option<mpsc::Sender<Answer>> = None;
    let mut looks = 1;
    loop {
        let started = tokio::select! {
            started = begin(&home, &options, ticket.take(), &report) => started,
            // Joining waits for another node. Whoever stops it may show the same ticket again.
            Some(()) = stop.recv() => return Ok(()),
        };
        let (prepared, info) = match (started, &waiting) {
            (Ok(prepared), _) => prepared,
            (Err(Error::Refused(error)), Some(client)) => {
                // The ticket was not good: the client hears why, and the node goes on as what it was.
                let _gone = client.try_send(Answer::Error(error));
                waiting = None;
                begin(&home, &options, None, &report).await?
            }
            (Err(error), _) => return Err(error),
        };
        if let Some(client) = waiting.take() {
            let _gone = client.try_send(Answer::Ok(Reply::Join(join::Reply { node: info })));
        }
        if server.is_none() {
            let made = Server::start(&home.socket(), calls.clone());
            server = Some(made.map_err(|error| storage("the local socket cannot be made", &error))?);
            if let Err(error) = home.note_runtime_dir() {
                let text = format!("clients with another environment will not find the socket: {error}");
                report(Report::Log(text));
            }
        }
        let outside = Outside { calls: &mut incoming, stop: &mut stop, report: &report };
        let running = match prepared.start(outside) {
            // Something took the port since it was seen to be free; the next look finds another.
            Err(NotStarted::Net(net::Error::Listen { .. })) if looks < LOOKS_FOR_PORT => {
                looks += 1;
                continue;
            }
            started => started.map_err(NotStarted::refusal)?,
        };
        match running.run().await {
            Exit::Stop => return Ok(()),
            Exit::Join { request, answer } => {
                ticket = Some(request);
                waiting = Some(answer);
            }
            Exit::Lost(what) => {
                return Err(refused(
                    ErrorCode::Internal,
                    format!("{what} has ended by itself"),
                    "start again with \"fedp2p up\"",
                ));
            }
        }
    }
}

/// Takes the home folder for this process.
fn lock(home: &Home) -> Result<File, Error> {
    let fail = |error: std::io::Error| storage("the home folder cannot be used", &error);
    make_home(home).map_err(fail)?;
    let path = home.lock();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let taken = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    match taken {
        Ok(()) => {
            // The number is for people; the lock is what counts.
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
            Err(Error::InUse { pid: read.ok().and_then(|_| text.trim().parse().ok()) })
        }
        Err(error) => Err(fail(error.into())),
    }
}

fn make_home(home: &Home) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if home.root().is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.root())
}

/// SIGINT and SIGTERM, as they come.
fn signals() -> mpsc::Receiver<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::channel(4);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        if let Ok(mut signal) = signal(kind) {
            let sender = sender.clone();
            drop(tokio::spawn(async move { while signal.recv().await.is_some() && sender.send(()).await.is_ok() {} }));
        }
    }
    // Keeps the channel open where signals cannot be had.
    drop(tokio::spawn(async move { sender.closed().await }));
    receiver
}

/// A node that is ready to run.
struct Prepared {
    database: Database,
    start: Start,
    net: net::Config,
}

impl Prepared {
    fn start(self, outside: Outside<'_>) -> Result<Loop<'_>, NotStarted> {
        let (events, store_events) = mpsc::channel(STORE_EVENTS);
        let (net, net_events) = Net::start(self.net)?;
        let store = self.database.start(events).map_err(std::io::Error::other)?;
        let clock = Clock::new();
        let (core, effects) = Core::new(clock.now(), self.start);
        Ok(Loop::new(core, effects, clock, Workers { net, net_events, store, store_events }, outside)?)
    }
}

/// A node could not be started.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Thread(#[from] std::io::Error),
}

impl NotStarted {
    fn refusal(self) -> Error {
        match self {
            Self::Net(error @ net::Error::Listen { .. }) => refused(
                ErrorCode::Conflict,
                format!("{error}: {}", cause(&error)),
                "stop what uses the port, or listen elsewhere: --listen IP:PORT",
            ),
            Self::Net(error @ (net::Error::Key | net::Error::Transport(_))) => {
                refused(ErrorCode::Internal, error.to_string(), "start again with \"fedp2p up\"")
            }
            Self::Thread(error) => storage("a thread cannot be started", &error),
        }
    }
}

/// The innermost reason that says something.
fn cause(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.map(ToString::to_string).filter(|text| !text.is_empty()).last().unwrap_or_default()
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Opens the database and makes or changes the membership as asked.
async fn begin(
    home: &Home,
    options: &Options,
    ticket: Option<join::Request>,
    report: &(impl Fn(Report) + Send + Sync),
) -> Result<(Prepared, NodeInfo), Error> {
    let durability = if options.full_durability { Durability::Full } else { Durability::Normal };
    let (database, opened) = Database::open(&home.database(), &StoreOptions::with(durability))
        .map_err(|error| open_refused(home, &error))?;
    let key = own_key(home, &opened)?;
    let applicant = Applicant { home, options, database: &database, opened: &opened, key: &key, report };
    let member = applicant.member(ticket).await?;
    let epoch = match opened.new_epoch {
        None | Some(NewEpoch::FirstStart) => member.epoch,
        Some(why) => {
            report(Report::Log(format!("a new log epoch starts: {}", reason(why))));
            let epoch = LogEpochId::from_bytes(random());
            database.set_epoch(&epoch).map_err(|error| storage("the log epoch cannot be written", &error))?;
            epoch
        }
    };
    let net = net_config(home, options, &database, &opened, &key, &member.chain, report).await?;
    let own = member.chain.certificate().clone();
    let info = NodeInfo {
        id: key.id(),
        name: own.name,
        organisation: own.organisation,
        organisation_name: own.organisation_name,
    };
    let start = Start {
        key,
        root: member.root,
        chain: member.chain,
        epoch,
        seed: random(),
        home: home.root().display().to_string(),
        pid: std::process::id(),
        warnings: Vec::new(),
        person: options.person.clone(),
        inviter: member.inviter,
        stored: opened.stored,
    };
    Ok((Prepared { database, start, net }, info))
}

fn reason(why: NewEpoch) -> &'static str {
    match why {
        NewEpoch::FirstStart => "this is the first start",
        NewEpoch::UncleanAfterReboot => "the machine stopped before everything was on the disk",
        NewEpoch::Copied => "the home folder was copied or restored",
    }
}

fn open_refused(home: &Home, error: &OpenError) -> Error {
    let hint = match error {
        OpenError::Newer { .. } => "update fedp2p on this machine, or give another home with --home DIR",
        OpenError::Foreign { .. } => "give another home with --home DIR; nothing was touched",
        OpenError::Database { source: StoreError::Corrupt(_), .. } => &home.without_database(),
        OpenError::File { .. } | OpenError::Empty { .. } | OpenError::Database { .. } => {
            "check the folder, its space and its permissions; \"fedp2p log verify\" looks for damage"
        }
    };
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    refused(ErrorCode::Storage, format!("{error}{cause}"), hint)
}

/// The node's key; made on the first start, and missed if it is gone later.
fn own_key(home: &Home, opened: &Opened) -> Result<NodeKey, Error> {
    let path = home.node_key();
    let found = keys::load(&path).map_err(|error| storage("the node's key cannot be used", &error))?;
    match (found, opened.meta.node) {
        (Some(key), Some(node)) if key.id() != node => Err(refused(
            ErrorCode::Conflict,
            "the key and the database in the home folder are of two nodes",
            "put back the key that belongs to this database",
        )),
        (Some(key), _) => Ok(key),
        (None, Some(_)) => Err(refused(
            ErrorCode::NotFound,
            format!("the node's key {} is gone", path.display()),
            "put it back, or start afresh with another home: --home DIR",
        )),
        (None, None) => keys::create(&path).map_err(|error| storage("the node's key cannot be made", &error)),
    }
}

async fn net_config(
    home: &Home,
    options: &Options,
    database: &Database,
    opened: &Opened,
    key: &NodeKey,
    chain: &Chain,
    report: &(impl Fn(Report) + Send + Sync),
) -> Result<net::Config, Error> {
    let chosen = listen::choose(&options.listen, opened.meta.port)
        .map_err(|error| refused(ErrorCode::Invalid, error.to_string(), "give an address as IP:PORT"))?;
    if let Some(port) = chosen.remember {
        database.set_port(port).map_err(|error| storage("the port cannot be remembered", &error))?;
    }
    if let Some(taken) = chosen.taken {
        report(Report::Log(format!("port {taken} is in use; listening on another one this time")));
    }
    let mut peers: Vec<Multiaddr> = Vec::new();
    for text in &options.peers {
        let found = net::address::resolve(text).await;
        peers.extend(found.map_err(|error| {
            refused(ErrorCode::Invalid, format!("--peer {text}: {error}"), "give an address as HOST:PORT")
        })?);
    }
    let now = now_ms();
    let current = opened.stored.members.iter().filter_map(|chain| Chain::decode(chain).ok());
    let organisation = chain.certificate().organisation;
    let members = current
        .filter(|member| member.certificate().organisation == organisation && member.is_current(now))
        .map(|member| member.subject())
        .filter(|member| *member != key.id())
        .collect();
    let remembered = database.peers().map_err(|error| storage("the remembered nodes cannot be read", &error))?;
    Ok(net::Config {
        key: key.seed(),
        chain: chain.clone(),
        listen: chosen.addresses,
        mdns: options.mdns,
        members,
        remembered: remembered.into_iter().map(|peer| (peer.node, peer.addresses)).collect(),
        peers,
        registry: Some(home.registry()),
    })
}
