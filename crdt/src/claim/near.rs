//! Which claims can be on the same as another at all, so that only those are compared.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::claim::{Glob, Resource};
use fedp2p_protocols::name::RepositoryName;
use fedp2p_protocols::task::TaskKey;

/// What claims are on, by the order in which it was added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Near<'a> {
    added: u32,
    tasks: BTreeMap<&'a TaskKey, Vec<u32>>,
    repositories: BTreeMap<&'a RepositoryName, Files<'a>>,
}

/// What claims on files of one repository are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files<'a> {
    all: Vec<u32>,
    /// By the first name of a pattern.
    named: BTreeMap<&'a str, Vec<u32>>,
    /// Those with a pattern whose first name has a wildcard.
    anywhere: Vec<u32>,
}

/// The first names of these patterns, each once, unless one has a wildcard.
fn first_names(globs: &[Glob]) -> BTreeSet<Option<&str>> {
    globs.iter().map(Glob::first_name).collect()
}

impl<'a> Near<'a> {
    /// Adds what the next claim is on.
    pub(super) fn add(&mut self, resource: &'a Resource) {
        let at = self.added;
        self.added += 1;
        match resource {
            Resource::Task(key) => self.tasks.entry(key).or_default().push(at),
            Resource::Files { repository, globs } => {
                let files = self.repositories.entry(repository).or_default();
                files.all.push(at);
                for name in first_names(globs) {
                    name.map_or(&mut files.anywhere, |name| files.named.entry(name).or_default()).push(at);
                }
            }
        }
    }

    /// Which of those added may be on something that is in `resource`, in the order in which they were added: no other is.
    pub(super) fn find(&self, resource: &Resource) -> Vec<u32> {
        match resource {
            Resource::Task(key) => self.tasks.get(key).cloned().unwrap_or_default(),
            Resource::Files { repository, globs } => {
                self.repositories.get(repository).map(|files| files.find(&first_names(globs))).unwrap_or_default()
            }
        }
    }
}

impl Files<'_> {
    fn find(&self, names: &BTreeSet<Option<&str>>) -> Vec<u32> {
        if names.contains(&None) {
            return self.all.clone();
        }
        let named = names.iter().flatten().filter_map(|name| self.named.get(name)).flatten();
        let mut found: Vec<u32> = named.chain(&self.anywhere).copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
