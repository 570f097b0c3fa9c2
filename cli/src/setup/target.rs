//! For whom a tool is set up, where its files are, and the commands that are written into them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fedp2p_protocols::name::AgentName;

use super::Tool;
use crate::error::Error;
use crate::shell;

/// For whom a tool is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For everything that this user does with it.
    User,
    /// For what is done in this folder.
    Project(PathBuf),
}

/// A tool, for whom it is set up, and how our program is called.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Which.
    pub(crate) tool: &'static Tool,
    /// For whom.
    pub(crate) scope: Scope,
    /// How our program is called from anywhere.
    pub(crate) launch: Launch,
    /// The home folder of the user.
    pub(crate) user_home: &'a Path,
    /// The file that was named for a tool whose files are not known.
    pub(crate) file: Option<PathBuf>,
    /// What the environment says.
    pub(crate) variable: fn(&str) -> Option<OsString>,
}

/// How our program is called.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Its path, or its name where that leads to it.
    pub(crate) program: String,
    /// The home folder that it is told, unless it is the usual one.
    pub(crate) home: Option<PathBuf>,
    /// The agent that it is told to be, unless the name follows from tool and project.
    pub(crate) agent: Option<AgentName>,
}

impl Launch {
    fn flags(&self) -> Vec<String> {
        let home = self.home.iter().flat_map(|home| ["--home".to_owned(), home.display().to_string()]);
        let agent = self.agent.iter().flat_map(|agent| ["--agent".to_owned(), agent.to_string()]);
        home.chain(agent).collect()
    }
}

impl Target<'_> {
    /// The folder in which the tool has its settings: `name` in the project, or else what `variable` says, or else
    /// `name` in the user's home.
    pub(crate) fn folder(&self, variable: Option<&str>, name: &str) -> PathBuf {
        match &self.scope {
            Scope::Project(project) => project.join(name),
            Scope::User => {
                let set = variable.and_then(|variable| self.path_in(variable));
                set.unwrap_or_else(|| self.user_home.join(name))
            }
        }
    }

    /// The absolute path that a variable of the environment holds.
    pub(crate) fn path_in(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The words after the program that start our server of tools.
    pub(crate) fn server_arguments(&self) -> Vec<String> {
        let mut words = self.launch.flags();
        words.extend(["mcp", "--client", self.tool.name].map(str::to_owned));
        words
    }

    /// The words that run a hook of ours, all but its name.
    pub(crate) fn hook_words(&self) -> Vec<String> {
        let mut words = vec![self.launch.program.clone()];
        words.extend(self.launch.flags());
        words.extend(["hook", self.tool.name].map(str::to_owned));
        words
    }

    /// The shell line that runs a hook of ours.
    pub(crate) fn hook_line(&self, event: &str) -> String {
        let words = self.hook_words();
        let words = words.iter().map(String::as_str).chain([event]);
        words.map(shell::word).collect::<Vec<_>>().join(" ")
    }
}

/// Finds out how our program is called: by its name where others may read it and it leads here, else by its path.
///
/// # Errors
/// If the system does not say where the program is.
pub(crate) fn program(scope: &Scope) -> Result<String, Error> {
    let path = std::env::current_exe().map_err(Error::system("find this program's file"))?;
    let found = std::env::var_os("PATH").is_some_and(|paths| leads_to(&paths, &path));
    let by_name = matches!(scope, Scope::Project(_)) && found;
    Ok(if by_name { SELF.to_owned() } else { path.display().to_string() })
}

/// The name of our program.
const SELF: &str = "fedp2p";

/// Whether the first program of our name in `paths` is this one.
fn leads_to(paths: &std::ffi::OsStr, program: &Path) -> bool {
    let first = std::env::split_paths(paths).map(|folder| folder.join(SELF)).find(|path| path.is_file());
    let same = |path: PathBuf| path.canonicalize().ok() == program.canonicalize().ok();
    first.is_some_and(same)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tool that is set up for a user whose home is `home`.
    pub(crate) fn target<'a>(tool: &'static Tool, home: &'a Path, scope: Scope) -> Target<'a> {
        let launch = Launch { program: "/opt/fed p2p/fedp2p".to_owned(), home: None, agent: None };
        Target { tool, scope, launch, user_home: home, file: Some(home.join("tool.json")), variable: |_| None }
    }

    #[test]
    fn the_same_home_and_agent_are_named_in_everything_that_is_written() {
        let home = PathBuf::from("/home/ada");
        let mut target = target(&crate::setup::codex::TOOL, &home, Scope::User);
        assert_eq!(target.hook_line("Stop"), "'/opt/fed p2p/fedp2p' hook codex Stop");
        target.launch.home = Some("/srv/node".into());
        target.launch.agent = Some("coder".parse().unwrap());
        assert_eq!(target.server_arguments().join(" "), "--home /srv/node --agent coder mcp --client codex");
        assert!(target.hook_line("Stop").ends_with("--home /srv/node --agent coder hook codex Stop"));
    }

    #[test]
    fn the_folder_is_the_projects_or_the_one_of_the_environment_or_the_users() {
        let home = PathBuf::from("/home/ada");
        let mut target = target(&crate::setup::codex::TOOL, &home, Scope::User);
        assert_eq!(target.folder(Some("CODEX_HOME"), ".codex"), Path::new("/home/ada/.codex"));
        target.variable = |name| (name == "CODEX_HOME").then(|| "/srv/codex".into());
        assert_eq!(target.folder(Some("CODEX_HOME"), ".codex"), Path::new("/srv/codex"));
        target.scope = Scope::Project("/src/x".into());
        assert_eq!(target.folder(Some("CODEX_HOME"), ".codex"), Path::new("/src/x/.codex"));
    }
}
