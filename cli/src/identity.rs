//! What an agent is called that was not given a name: by the tool that it runs in and the project that it works on.
//!
//! Every door that a tool uses (its hooks, its connection for tools and the commands that its model runs) comes to the
//! same name without asking anybody, now and tomorrow. Only a second client at the same time has another, which the
//! others find in [`crate::speakers`]. A name that was given, with `--agent` or `FEDP2P_AGENT`, goes before it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fedp2p_protocols::name::{self, AgentName};

/// Most characters of a tool's name in the name of an agent.
const MAX_CLIENT: usize = 20;
/// Most characters of a folder's name in the name of an agent.
const MAX_FOLDER: usize = 36;
/// How many digits of the path's hash tell folders of one name apart.
const HASH_DIGITS: usize = 4;
/// What tools put behind their names that says nothing about them.
const CLIENT_SUFFIXES: [&str; 3] = ["-mcp-client", "-client", "-mcp"];
/// The tools that `setup` knows and a variable that each sets for the commands of its model. Cursor and Cline do that in
/// terminals, in which another tool may have been started: they come last.
const SIGNS: [(&str, &str); 8] = [
    ("claude-code", "CLAUDECODE"),
    ("codex", "CODEX_THREAD_ID"),
    ("codex", "CODEX_SANDBOX"),
    ("gemini", "GEMINI_CLI"),
    ("copilot", "COPILOT_CLI"),
    ("opencode", "OPENCODE"),
    ("cursor", "CURSOR_AGENT"),
    ("cline", "CLINE_ACTIVE"),
];

/// Returns the name of the agent that `client` runs for `project`, such as `claude-code-website-3f2a`.
///
/// `project` is any folder of the project: all folders of one git work tree are one project. The digits come from the
/// whole path, so folders of the same name in two places have different agents.
pub(crate) fn agent_for(client: &str, project: &Path) -> AgentName {
    let root = project_root(project);
    let folder = root.file_name().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    let client = word(without_suffix(client), MAX_CLIENT).unwrap_or_else(|| "agent".to_owned());
    let hash = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
    let parts = [Some(client), word(&folder, MAX_FOLDER), Some(hash[..HASH_DIGITS].to_owned())];
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join("-");
    name.parse().expect("parts of names within their limits make a name")
}

/// Returns the tool whose model runs this command, as far as the environment says. An empty variable says nothing.
pub(crate) fn tool_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    SIGNS.into_iter().find(|(_, name)| is_set(name)).map(|(tool, _)| tool)
}

/// Whether `folder` lies in a git work tree. Tools that are not started for a project run in some other folder.
pub(crate) fn is_project(folder: &Path) -> bool {
    project_root(folder).join(".git").exists()
}

/// Returns the folder of the git work tree that `folder` lies in, or `folder` itself if it lies in none.
fn project_root(folder: &Path) -> PathBuf {
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned());
    let root = folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    root.unwrap_or(folder)
}

fn without_suffix(client: &str) -> &str {
    let stripped = CLIENT_SUFFIXES.iter().find_map(|suffix| client.strip_suffix(suffix));
    stripped.filter(|rest| !rest.is_empty()).unwrap_or(client)
}

/// Returns `text` as a part of a name, at most `limit` characters long.
fn word(text: &str, limit: usize) -> Option<String> {
    let mut word = name::normalise(text)?;
    word.truncate(limit);
    Some(word.trim_end_matches(['-', '_']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Tool;

    #[test]
    fn a_tool_is_known_by_what_it_sets_for_its_commands() {
        for (tool, sign) in SIGNS {
            assert_eq!(tool_of(|name| (name == sign).then(|| "1".into())), Some(tool));
            assert_eq!(tool_of(|name| (name == sign).then(OsString::new)), None);
            assert!(Tool::find(tool).is_some(), "its server is named after {tool}");
        }
        assert_eq!(
            tool_of(|name| matches!(name, "CLINE_ACTIVE" | "CLAUDECODE").then(|| "1".into())),
            Some("claude-code")
        );
    }

    #[test]
    fn an_agent_is_called_like_its_tool_and_its_project() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("My Website");
        std::fs::create_dir(&project).unwrap();
        let name = agent_for("claude-code", &project);
        assert!(name.as_str().starts_with("claude-code-my-website-"), "{name}");
        assert_eq!(name.as_str().len(), "claude-code-my-website-".len() + HASH_DIGITS);
        assert_eq!(agent_for("claude-code", &project), name);
        assert_ne!(agent_for("codex", &project), name);
        assert_eq!(agent_for("codex-mcp-client", &project), agent_for("codex", &project));
    }

    #[test]
    fn folders_of_one_name_have_different_agents_and_those_of_one_work_tree_the_same() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (home.path().join("a/app"), home.path().join("b/app"));
        std::fs::create_dir_all(one.join("src/deep")).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        assert_ne!(agent_for("cline", &one), agent_for("cline", &other));
        std::fs::create_dir(one.join(".git")).unwrap();
        assert_eq!(agent_for("cline", &one), agent_for("cline", &one.join("src/deep")));
    }

    #[test]
    fn whatever_tool_and_folder_are_called_there_is_a_name() {
        let long = "x".repeat(300);
        for (client, folder) in [("", "/"), ("…", "/愛"), (&long, &*format!("/{long}")), ("-mcp", "/_-_")] {
            let name = agent_for(client, Path::new(folder));
            assert!(name.as_str().len() <= 64, "{name}");
        }
    }
}
