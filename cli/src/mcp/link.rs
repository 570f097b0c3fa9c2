//! One agent's way to the daemon: a connection that speaks for it as long as it lasts, a few for calls, and what
//! happens meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedp2p_node::client::{CallError, Client, ConnectError, Watch};
use fedp2p_node::home::Home;
use fedp2p_protocols::api::watch::{self, Hold, Topic};
use fedp2p_protocols::api::{Caller, ErrorCode, NodeInfo, Operation, inbox, status, vote_list};
use fedp2p_protocols::name::{Address, AgentName};
use fedp2p_protocols::pulse::AgentKind;
use tokio::sync::{OwnedMutexGuard, Semaphore, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::receipt::Handed;
use super::start::Starter;
use crate::error::Error;

/// Most calls of one agent that the daemon has at one time; others wait.
const MAX_CALLS: usize = 8;
/// Most events that wait for one that listens. Whoever falls behind looks at everything again.
const MAX_EVENTS: usize = 256;
/// How long a call waits until another one's answer was written.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// How long after the first failure to look whether the daemon is back; each time twice as long.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The longest that this becomes.
const LOOK_AGAIN_MOST: Duration = Duration::from_secs(5);
/// What is listened to.
const TOPICS: [Topic; 7] =
    [Topic::Inbox, Topic::Pulse, Topic::Votes, Topic::Notes, Topic::Claims, Topic::Tasks, Topic::Peers];

/// One agent's way to the daemon. The agent is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    home: Home,
    caller: Caller,
    node: NodeInfo,
    starter: Starter,
    idle: Mutex<Vec<Client>>,
    places: Semaphore,
    events: broadcast::Sender<watch::Event>,
    /// Why the agent is not held any more, once somebody else took it while the daemon was away.
    lost: Arc<Mutex<Option<String>>>,
    /// Who has it hands out messages.
    turn: Arc<tokio::sync::Mutex<()>>,
    listener: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Link {
    /// Begins to speak as an agent.
    ///
    /// # Errors
    /// If there is no daemon, or another client speaks as the agent.
    pub(crate) async fn open(home: &Home, agent: AgentName, hold: Hold, starter: Starter) -> Result<Self, Error> {
        let caller = Caller { name: agent, kind: AgentKind::Ai };
        let mut client = connect(home, &caller, &starter).await?;
        let node = client.call(status::Request::default()).await?.node;
        let watch = connect(home, &caller, &starter).await?.watch(request(hold)).await?;
        let (events, _) = broadcast::channel(MAX_EVENTS);
        let lost = Arc::default();
        let hearer = Hearer {
            home: home.clone(),
            caller: caller.clone(),
            hold,
            events: events.clone(),
            lost: Arc::clone(&lost),
        };
        let listener = tokio::spawn(hearer.run(watch));
        let (idle, places) = (Mutex::new(vec![client]), Semaphore::new(MAX_CALLS));
        let turn = Arc::default();
        Ok(Self { home: home.clone(), caller, node, starter, idle, places, events, lost, turn, listener })
    }

    /// The agent's address.
    pub(crate) fn address(&self) -> Address {
        Address::local(self.caller.name.clone(), self.node.name.clone())
    }

    /// The node.
    pub(crate) fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// Tells what happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<watch::Event> {
        self.events.subscribe()
    }

    /// Makes a call in the agent's name.
    ///
    /// # Errors
    /// If it is refused, there is no daemon, or somebody else is the agent now.
    pub(crate) async fn call<O>(&self, operation: O) -> Result<O::Reply, Error>
    where
        O: Operation + Clone + Send + Sync,
        O::Reply: Send,
    {
        if let Some(lost) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(fedp2p_protocols::api::Error::new(ErrorCode::Conflict, lost)
                .hint("another client took this name while the daemon was away: start this one again")
                .into());
        }
        let _place = self.places.acquire().await.expect("nobody closes the places");
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let fresh = idle.is_none();
            let mut client = match idle {
                Some(client) => client,
                None => connect(&self.home, &self.caller, &self.starter).await?,
            };
            match client.call(operation.clone()).await {
                // A connection to a daemon that has stopped since.
                Err(CallError::NotSent(_)) if !fresh => {}
                Err(CallError::Lost { access: fedp2p_protocols::api::Access::Read }) if !fresh => {}
                result => {
                    if matches!(result, Ok(_) | Err(CallError::Refused(_))) {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
                    }
                    return Ok(result?);
                }
            }
        }
    }

    /// Waits until no other call hands out messages. Whoever does not get its answer written for long does not keep the
    /// others: then there is no turn, and they hand out the same.
    pub(crate) async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        timeout(TURN_LIMIT, Arc::clone(&self.turn).lock_owned()).await.ok()
    }

    /// Says in one line what waits for the agent beside what is just handed to it; nothing if nothing does, or it cannot
    /// be told.
    pub(super) async fn notice(&self, handed: Option<&Handed>) -> Option<String> {
        if handed.is_none() {
            drop(self.turn().await);
        }
        let inbox = self.call(inbox::Request { limit: 1, ..Default::default() }).await.ok()?;
        let votes = self.call(vote_list::Request::default()).await.ok()?;
        let me = self.address();
        let asked = votes.proposals.iter().filter(|vote| vote.silent.contains(&me) && vote.by != me).count();
        let waiting = inbox.messages.len() as u64 + inbox.more;
        let messages = waiting.saturating_sub(handed.map_or(0, |handed| handed.messages));
        let mut parts = Vec::new();
        if messages > 0 {
            parts.push(format!("{messages} unread: federation_inbox"));
        }
        if asked > 0 {
            parts.push(format!("{asked} to decide: federation_consensus_results"));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

async fn connect(home: &Home, caller: &Caller, starter: &Starter) -> Result<Client, Error> {
    match Client::connect(home, caller.clone()).await {
        Err(ConnectError::NoDaemon) => {
            starter.start().await?;
            Ok(Client::connect(home, caller.clone()).await?)
        }
        result => Ok(result?),
    }
}

fn request(hold: Hold) -> watch::Request {
    watch::Request { topics: TOPICS.to_vec(), hold: Some(hold) }
}

/// What keeps hearing, and speaks for the agent by doing so.
struct Hearer {
    home: Home,
    caller: Caller,
    hold: Hold,
    events: broadcast::Sender<watch::Event>,
    lost: Arc<Mutex<Option<String>>>,
}

impl Hearer {
    async fn run(self, first: Watch) {
        let mut watch = first;
        loop {
            while let Ok(Some(event)) = watch.next().await {
                // Nobody may be listening.
                let _heard = self.events.send(event);
            }
            watch = match self.again().await {
                Ok(watch) => watch,
                Err(lost) => {
                    *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(lost);
                    return;
                }
            };
        }
    }

    /// Waits until the daemon is back, and speaks for the agent again.
    async fn again(&self) -> Result<Watch, String> {
        let mut pause = LOOK_AGAIN;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MOST);
            let Ok(client) = Client::connect(&self.home, self.caller.clone()).await else { continue };
            match client.watch(request(self.hold)).await {
                Ok(watch) => return Ok(watch),
                Err(CallError::Refused(error)) if error.code == ErrorCode::Conflict => return Err(error.message),
                Err(_) => {}
            }
        }
    }
}
