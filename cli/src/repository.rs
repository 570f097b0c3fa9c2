//! The git repository that a command is about: where it is, what all call it, and what is in its index.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use fedp2p_protocols::name::{RepositoryName, normalise};

use crate::error::Error;

/// The commit that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// One of what is staged, or of a merge that stopped.
    Commit,
    /// The same in the place of the last one.
    Amend,
    /// One that a merge makes by itself.
    Merge,
}

/// A repository with a work tree.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// Where its work tree begins.
    pub(crate) root: PathBuf,
    /// From there to where we are.
    prefix: PathBuf,
}

impl Repository {
    /// Finds the repository that `folder` is in.
    ///
    /// # Errors
    /// If it is in none, or git cannot be run.
    pub(crate) fn find(folder: &Path) -> Result<Self, Error> {
        let found = git(folder, ["rev-parse", "--show-toplevel"])?;
        let Some(root) = found else {
            return Err(Error::usage(
                format!("{} is in no git repository", folder.display()),
                "go to one, or name the repository: --repository NAME",
            ));
        };
        let prefix = git(folder, ["rev-parse", "--show-prefix"])?.unwrap_or_default();
        Ok(Self { root: PathBuf::from(root), prefix: PathBuf::from(prefix) })
    }

    /// Runs git in it and returns what it printed, or nothing if it refused.
    ///
    /// # Errors
    /// If git cannot be run.
    pub(crate) fn git<const N: usize>(&self, arguments: [&str; N]) -> Result<Option<String>, Error> {
        git(&self.root, arguments)
    }

    /// What all who work on the repository call it: what the setting `fedp2p.repository` says, else the last part of
    /// where it was cloned from, else the name of its folder.
    ///
    /// # Errors
    /// If none of these makes a name.
    pub(crate) fn name(&self) -> Result<RepositoryName, Error> {
        let set = self.git(["config", "--get", "fedp2p.repository"])?;
        let origin = self.git(["config", "--get", "remote.origin.url"])?;
        let common = self.git(["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        let folder = common.as_deref().and_then(|common| Path::new(common).parent()).and_then(Path::file_name);
        let candidates =
            [set, origin.map(|url| last_part(&url)), folder.map(|name| name.to_string_lossy().into_owned())];
        let name = candidates.into_iter().flatten().find_map(|text| normalise(&text)?.parse().ok());
        name.ok_or_else(|| Error::usage("the repository has no name", "give it one: git config fedp2p.repository NAME"))
    }

    /// Returns a path that was typed here as one from the root of the repository.
    ///
    /// # Errors
    /// If it is empty or leads out of the repository.
    pub(crate) fn below_root(&self, typed: &str) -> Result<String, Error> {
        if typed.is_empty() {
            return Err(Error::usage(
                "an empty path is no file",
                "name a file or folder; \".\" is the one that you are in",
            ));
        }
        let outside = || {
            let hint = format!("name something below {}", self.root.display());
            Error::usage(format!("{typed:?} is not in this repository"), hint)
        };
        let typed_path = Path::new(typed);
        let path = if typed_path.is_absolute() {
            typed_path.strip_prefix(&self.root).map_err(|_| outside())?.to_owned()
        } else {
            self.prefix.join(typed_path)
        };
        let mut names: Vec<&OsStr> = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name),
                Component::CurDir => {}
                Component::ParentDir => drop(names.pop().ok_or_else(outside)?),
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        // The whole repository, which only sharers can have.
        Ok(if names.is_empty() { "**".to_owned() } else { names.join("/") })
    }

    /// The files that the next commit would change. Of a commit with several parents these are the files that are as in none
    /// of them: who takes a file as it stands on one side edits nothing.
    ///
    /// # Errors
    /// If git cannot be run or refuses.
    pub(crate) fn staged(&self, next: Next) -> Result<Vec<String>, Error> {
        let parents = match next {
            Next::Amend => self.parents_of_head()?,
            Next::Commit => self.merged_by_hand()?,
            Next::Merge => merged_by_git(),
        };
        let changed = |from: &str| {
            self.files(["diff", "--cached", "--name-only", "--no-renames", "--no-relative", "-z", from, "--"])
        };
        let mut files = match next {
            Next::Commit | Next::Merge => {
                self.files(["diff", "--cached", "--name-only", "--no-renames", "--no-relative", "-z"])?
            }
            Next::Amend if parents.is_empty() => self.files(["ls-files", "--full-name", "-z", ":/"])?,
            Next::Amend => changed(&parents[0])?,
        };
        let beside = if next == Next::Amend { parents.get(1..).unwrap_or_default() } else { &parents[..] };
        for parent in beside {
            let of_this: BTreeSet<String> = changed(parent)?.into_iter().collect();
            files.retain(|file| of_this.contains(file));
        }
        Ok(files)
    }

    /// The parents of the last commit, if there is one.
    fn parents_of_head(&self) -> Result<Vec<String>, Error> {
        let line = self.git(["rev-list", "--parents", "-n", "1", "HEAD"])?.unwrap_or_default();
        Ok(line.split_whitespace().skip(1).map(str::to_owned).collect())
    }

    /// What a merge brings in that stopped and is committed by hand, if one is under way.
    fn merged_by_hand(&self) -> Result<Vec<String>, Error> {
        let path = self.git(["rev-parse", "--path-format=absolute", "--git-path", "MERGE_HEAD"])?;
        let heads = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Ok(heads.split_whitespace().map(str::to_owned).collect())
    }

    /// The files that the last commit changed, of a merge those that are as in none of its parents.
    ///
    /// # Errors
    /// If git cannot be run or refuses.
    pub(crate) fn committed(&self) -> Result<Vec<String>, Error> {
        self.files(["diff-tree", "--root", "--no-commit-id", "--name-only", "--no-renames", "-c", "-r", "-z", "HEAD"])
    }

    fn files<const N: usize>(&self, arguments: [&str; N]) -> Result<Vec<String>, Error> {
        let listed = self.git(arguments)?.ok_or_else(|| {
            let message = format!("git does not say what has changed in {}", self.root.display());
            Error::usage(message, "look at \"git status\"")
        })?;
        Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }
}

/// What a merge brings in that commits by itself: git names it in the environment of its hooks.
fn merged_by_git() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| name.strip_prefix("GITHEAD_").map(str::to_owned)).collect()
}

/// The last part of where a repository was cloned from.
fn last_part(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    url.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
}

/// Runs git in a folder and returns what it printed, or nothing if it refused.
fn git<const N: usize>(folder: &Path, arguments: [&str; N]) -> Result<Option<String>, Error> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    let output = output.map_err(Error::system("run git"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success().then(|| text.trim_end_matches('\n').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_called_like_what_it_was_cloned_from() {
        for url in
            ["https://example.org/team/fedp2p.git", "git@example.org:fedp2p", "../fedp2p/", "/srv/git/fedp2p.git"]
        {
            assert_eq!(last_part(url), "fedp2p", "{url}");
        }
    }

    #[test]
    fn what_is_typed_in_a_folder_is_meant_there() {
        let repository = Repository { root: "/home/ada/x".into(), prefix: "crdt/src".into() };
        for (typed, path) in
            [("a.rs", "crdt/src/a.rs"), ("../*.toml", "crdt/*.toml"), ("../../", "**"), ("/home/ada/x/docs", "docs")]
        {
            assert_eq!(repository.below_root(typed).unwrap(), path, "{typed}");
        }
        assert!(repository.below_root("").is_err(), "an unset variable claims nothing");
        assert!(repository.below_root("../../../y").is_err() && repository.below_root("/home/ada/y").is_err());
    }
}
