//! Many agents on several daemons take tasks from one board until none is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedp2p_node::client::{CallError, Client};
use fedp2p_protocols::api::task::{Counts, Task};
use fedp2p_protocols::api::watch::{self, Topic};
use fedp2p_protocols::api::{task_list, task_new, task_next, task_show, task_update};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::State;
use fedp2p_tests::crowd::Dice;
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, eventually_within, holds};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::sync::watch::{Receiver, channel};
use tokio::time::timeout;

/// How long a part of the work may take: minutes, in a debug build on a busy machine.
const LONG: Duration = Duration::from_secs(450);
/// In a debug build every task costs several times as much.
const TASKS: usize = if cfg!(debug_assertions) { 120 } else { 500 };
const AGENTS: usize = 5;
/// Which node is killed.
const KILLED: usize = 3;
/// How long a lease lasts without a sign of life: the shortest there is.
const LEASE_S: u32 = 5;
/// How long an agent with nothing to do waits for news before it looks again: leases run out without any.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Changes whenever something about a task has.
type News = Receiver<()>;
/// What became of the tasks that agents have ended.
#[derive(Default)]
struct Ends {
    /// The tasks whose agents were told that they are completed, and by which node.
    told: Vec<(String, usize)>,
    /// The tasks whose agents were told nothing, as the daemon was killed.
    untold: Vec<String>,
}

type Done = Arc<Mutex<Ends>>;

/// Makes tasks on the first node, most of which come after one or two of the last few.
fn make(node: &Node) {
    let mut session = node.session();
    let mut dice = Dice::new(4);
    for number in 0..TASKS {
        let needs = if number == 0 { 0 } else { dice.below(3) };
        let before = |dice: &mut Dice| format!("t{}", number - 1 - dice.below(number.min(20)));
        let request = task_new::Request {
            title: format!("task {number}"),
            id: Some(format!("t{number}")),
            after: (0..needs).map(|_| before(&mut dice)).collect(),
            ..task_new::Request::default()
        };
        session.call(request).unwrap();
    }
}

fn next() -> task_next::Request {
    task_next::Request { ttl_s: Some(LEASE_S), ..task_next::Request::default() }
}

/// An agent that does tasks until none is left, or its daemon is gone.
async fn work(mut client: Client, at: usize, mut news: News, done: Done) {
    loop {
        news.mark_unchanged();
        let Ok(next) = client.call(next()).await else { return };
        match next.task {
            Some(task) => {
                let state = Some(State::Completed);
                let end = task_update::Request { id: task.id.clone(), state, ..task_update::Request::default() };
                let ended = client.call(end).await;
                let mut ends = done.lock().unwrap();
                match ended {
                    Ok(_) => ends.told.push((task.id, at)),
                    // Another may have it by now, if this one was too slow.
                    Err(CallError::Refused(_)) => {}
                    Err(_) => ends.untold.push(task.id),
                }
            }
            None if next.open == 0 => return,
            None => match timeout(LOOK_AGAIN, news.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => return,
            },
        }
    }
}

/// An agent that takes a task and never says another word. Returns the task.
async fn die(mut client: Client) -> String {
    loop {
        let next = client.call(next()).await.unwrap();
        if let Some(task) = next.task {
            return task.id;
        }
    }
}

async fn client(node: &Node, number: usize) -> Client {
    node.client(&format!("worker{number}"), AgentKind::Ai).await
}

/// Says whenever something about a task has changed, until the node is gone.
async fn listen(node: &Node) -> News {
    let listener = node.client("listener", AgentKind::Ai).await;
    let mut events = listener.watch(watch::Request { topics: vec![Topic::Tasks], ..Default::default() }).await.unwrap();
    let (said, news) = channel(());
    tokio::spawn(async move {
        while let Ok(Some(_)) = events.next().await {
            said.send_replace(());
        }
    });
    news
}

/// How many tasks a node knows that are not over.
fn open(node: &Node) -> usize {
    let found = node.call(task_list::Request { limit: Some(1), ..task_list::Request::default() });
    found.tasks.len() + found.more as usize
}

/// All tasks as a node lists them, without what depends on the time that it saw pass.
fn listed(node: &Node) -> Vec<Task> {
    let request = task_list::Request { all: true, ..task_list::Request::default() };
    let mut tasks = node.call(request).tasks;
    for holder in tasks.iter_mut().filter_map(|task| task.holder.as_mut()) {
        holder.lapsed = false;
    }
    tasks.sort_by(|a, b| a.id.cmp(&b.id));
    tasks
}

/// Every task was completed, and by one agent. What a node has completed that is killed before it can tell anybody, another
/// does again.
fn each_once(ends: &Ends) {
    let mut by: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (id, at) in &ends.told {
        by.entry(id).or_default().push(*at);
    }
    let twice: Vec<_> = by.iter().filter(|(_, at)| at.iter().filter(|at| **at != KILLED).count() > 1).collect();
    assert!(twice.is_empty(), "completed twice: {twice:?}");
    let is_done = |id: &String| by.contains_key(id.as_str()) || ends.untold.contains(id);
    let forgotten: Vec<String> = (0..TASKS).map(|number| format!("t{number}")).filter(|id| !is_done(id)).collect();
    assert!(forgotten.is_empty(), "completed by nobody: {forgotten:?}");
    assert!(ends.untold.len() <= AGENTS, "each agent of the daemon that was killed had one: {:?}", ends.untold);
}

#[test]
fn twenty_agents_on_four_daemons_do_every_task_once() {
    let world = World::new();
    let mut nodes = world.daemons(4);
    make(&nodes[0]);
    for node in &nodes {
        eventually("all tasks are known", || {
            let found = open(node);
            holds(found == TASKS, found)
        });
    }
    let done = Done::default();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut workers, abandoned) = runtime.block_on(async {
        // Two take a task and die: one whose daemon lives on, and one that its daemon is killed with.
        let abandoned = [die(client(&nodes[1], AGENTS).await).await, die(client(&nodes[KILLED], AGENTS).await).await];
        let mut workers = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let news = listen(node).await;
            for number in 0..AGENTS {
                workers.push(tokio::spawn(work(client(node, number).await, at, news.clone(), Arc::clone(&done))));
            }
        }
        (workers, abandoned)
    });
    eventually_within(LONG, "some work is done", || {
        let done = done.lock().unwrap().told.len();
        holds(done > TASKS / 5, done)
    });
    nodes[KILLED].kill();
    let (ended, all_ended) = oneshot::channel();
    runtime.spawn(async move {
        for worker in workers.drain(..) {
            worker.await.unwrap();
        }
        ended.send(()).unwrap();
    });
    runtime.block_on(async { timeout(LONG, all_ended).await }).expect("all work is done").unwrap();
    nodes[KILLED].up(&["--quiet"]);
    eventually_within(LONG, "all tasks are over", || {
        let open: Vec<usize> = nodes.iter().map(open).collect();
        holds(open.iter().all(|open| *open == 0), open)
    });
    let first = eventually("all tasks are completed, and all nodes show the same", || {
        let lists: Vec<Vec<Task>> = nodes.iter().map(listed).collect();
        let failed: Vec<&Task> = lists[0].iter().filter(|task| task.state != State::Completed).collect();
        holds(failed.is_empty(), failed)?;
        for list in &lists[1..] {
            let differ: Vec<_> = list.iter().zip(&lists[0]).filter(|(task, first)| task != first).take(1).collect();
            holds(list == &lists[0], differ)?;
        }
        Ok(lists[0].clone())
    });
    each_once(&done.lock().unwrap());
    // Of those that are over the last ones stay in the picture.
    let mut session = nodes[KILLED].session();
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for task in &first {
        let shown = session.call(task_show::Request { id: task.id.clone() }).unwrap();
        let ends = shown.statements.iter().filter(|said| said.state == State::Completed && said.counts == Counts::Yes);
        let ends: Vec<String> = ends.map(|said| said.by.to_string()).collect();
        assert_eq!(ends.len(), 1, "{shown:?}");
        *by.entry(ends[0].clone()).or_default() += 1;
        assert!(!abandoned.contains(&task.id) || !ends[0].starts_with("worker5@"), "the dead do not work");
    }
    assert!(by.len() > 10, "all take part: {by:?}");
}
