//! A daemon, its tasks, and a program in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::{task_list, task_new, task_show};
use fedp2p_protocols::task::State;
use fedp2p_tests::node::{Following, Node};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually_within, holds};

/// How long all work may take: minutes, in a debug build on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// A world with one daemon.
pub(crate) struct Team {
    pub(crate) world: World,
    pub(crate) node: Node,
}

impl Team {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let mut node = world.node("taichi");
        node.up(&[]);
        Self { world, node }
    }

    /// A shell script that finds the document in `$doc` and the folder for its files in `$here`.
    pub(crate) fn script(&self, name: &str, body: &str) -> String {
        let path = self.world.path(name);
        let here = self.here();
        fs::create_dir_all(&here).unwrap();
        fs::write(&path, format!("#!/bin/sh\nhere={}\ndoc=$(cat)\n{body}\n", here.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// The folder for the files of scripts.
    pub(crate) fn here(&self) -> PathBuf {
        self.world.path("files")
    }

    /// Makes a file that a script waits for.
    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.here().join(name), "").unwrap();
    }

    /// Waits for a file of a script and returns what is in it.
    #[track_caller]
    pub(crate) fn wait_for_file(&self, name: &str) -> String {
        eventually_within(LONG, &format!("there is a file {name}"), || {
            fs::read_to_string(self.here().join(name)).map_err(|error| error.to_string())
        })
    }

    /// Starts `agent run` with these words.
    pub(crate) fn run(&self, words: &[&str]) -> Following {
        self.node.follow(&[&["--json", "agent", "run"], words].concat())
    }

    /// Makes tasks that are called like this.
    #[track_caller]
    pub(crate) fn make(&self, ids: impl IntoIterator<Item = String>) {
        let mut session = self.node.session();
        for id in ids {
            let request = task_new::Request { title: format!("do {id}"), id: Some(id), ..Default::default() };
            session.call(request).unwrap();
        }
    }

    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Task {
        *self.node.call(task_show::Request { id: id.to_owned() })
    }

    /// Waits until a task is in a state, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_task(&self, id: &str, state: State) -> Task {
        eventually_within(LONG, &format!("{id} is {state}"), || {
            let task = self.task(id);
            holds(task.state == state, &task).map(|()| task)
        })
    }

    /// Waits until all tasks are over, and returns them with all that was said of them.
    #[track_caller]
    pub(crate) fn wait_for_all(&self) -> Vec<Task> {
        let all = eventually_within(LONG, "all tasks are over", || {
            let tasks = self.node.call(task_list::Request { all: true, ..Default::default() }).tasks;
            let open: Vec<&Task> = tasks.iter().filter(|task| !task.state.is_terminal()).collect();
            holds(open.is_empty(), &open).map(|()| tasks)
        });
        all.iter().map(|task| self.task(&task.id)).collect()
    }
}
