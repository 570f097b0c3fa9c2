//! Where a node keeps its things: its home folder and the private folder for what lives only while the machine runs.
//!
//! The home holds keys, the database and the log file and belongs to one daemon at a time. The runtime folder holds
//! sockets and the registry of live daemons; whoever can write there could pose as a daemon, so it must be ours alone.
//! Nothing here reads the environment except [`Home::locate`].

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use unix as platform;

mod note;
mod unix;

/// Longest path that a local socket can have on every platform we know.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a flag nor the environment says where the home is.
    #[error("cannot tell where the home folder is: HOME is not set")]
    Unknown,
    /// A path that cannot be made absolute.
    #[error("{} cannot be used as the home folder", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime folder cannot be made or looked at.
    #[error("the runtime folder {} cannot be used", path.display())]
    Runtime {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime folder is a link or a file.
    #[error("the runtime folder {} is not a folder of its own", path.display())]
    NotAFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The runtime folder belongs to somebody else.
    #[error("the runtime folder {} belongs to another user ({owner})", path.display())]
    OtherUser {
        /// The folder.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// Others may enter the runtime folder.
    #[error("the runtime folder {} is open to other users (mode {mode:04o})", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What says where the runtime folder of the daemon is cannot be relied on.
    #[error("{} does not say where the daemon is: {why}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No socket can have a path that long.
    #[error("the runtime folder {} has too long a path for a socket", path.display())]
    TooLong {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// What the person who asked can do about it, one action.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown => "give the folder with --home DIR".to_owned(),
            Self::Path { .. } => "give another folder with --home DIR".to_owned(),
            Self::Runtime { .. } | Self::NotAFolder { .. } | Self::OtherUser { .. } | Self::TooLong { .. } => {
                "set XDG_RUNTIME_DIR to a short path of a folder that only you can enter".to_owned()
            }
            Self::Note { path, .. } => format!("remove {} and start the node again", path.display()),
            Self::Open { path, .. } => format!("close it with: chmod 700 '{}'", path.display()),
        }
    }
}

/// What the environment says, apart from it so that tests can say something else.
#[derive(Debug, Clone, Default)]
struct Environment {
    fedp2p_home: Option<OsString>,
    data_home: Option<OsString>,
    runtime_dir: Option<OsString>,
    user_home: Option<OsString>,
    temp: PathBuf,
}

impl Environment {
    fn of_process() -> Self {
        let text = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            fedp2p_home: text("FEDP2P_HOME"),
            data_home: text("XDG_DATA_HOME"),
            runtime_dir: text("XDG_RUNTIME_DIR"),
            user_home: text("HOME"),
            temp: std::env::temp_dir(),
        }
    }

    fn home(&self) -> Result<PathBuf, Error> {
        if let Some(home) = &self.fedp2p_home {
            return Ok(home.into());
        }
        let user_home = || self.user_home.as_ref().map(PathBuf::from).ok_or(Error::Unknown);
        if cfg!(target_os = "macos") {
            return Ok(user_home()?.join("Library/Application Support/fedp2p"));
        }
        // The XDG rules say that a path that is not absolute is to be ignored.
        match self.data_home.as_ref().map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(data) => Ok(data.join("fedp2p")),
            None => Ok(user_home()?.join(".local/share/fedp2p")),
        }
    }

    fn runtime(&self) -> PathBuf {
        match self.runtime_dir.as_ref().map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(runtime) => runtime.join("fedp2p"),
            None => self.temp.join(format!("fedp2p-{}", platform::user())),
        }
    }
}

/// The folders of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Absolute, with links resolved as far as it exists, so that one folder has one socket.
    root: PathBuf,
    runtime: PathBuf,
}

impl Home {
    /// Returns the home that `flag` or else the environment names: `FEDP2P_HOME`, or the user's data folder.
    ///
    /// # Errors
    /// If nothing says where the home is, or the path cannot be made absolute.
    pub fn locate(flag: Option<&Path>) -> Result<Self, Error> {
        Self::locate_in(flag, &Environment::of_process())
    }

    /// Returns the home at `root` whose runtime folder is `runtime`, whatever the environment says.
    ///
    /// # Errors
    /// If the path cannot be made absolute.
    pub fn at(root: &Path, runtime: PathBuf) -> Result<Self, Error> {
        Ok(Self { root: resolve(root)?, runtime })
    }

    fn locate_in(flag: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let root = match flag {
            Some(path) => path.to_owned(),
            None => environment.home()?,
        };
        Self::at(&root, environment.runtime())
    }

    /// Returns whether a program finds this home that is told nothing but where the user's own home folder is, as
    /// programs are that start others in an environment of their own.
    pub fn is_usual(&self) -> bool {
        let bare = Environment { user_home: Environment::of_process().user_home, ..Environment::default() };
        Self::locate_in(None, &bare).is_ok_and(|usual| usual.root == self.root)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of the node's key.
    pub fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }

    /// The file of the organisation's root key, where this node founded it.
    pub fn organisation_key(&self) -> PathBuf {
        self.root.join("organisation.key")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("fedp2p.db")
    }

    /// What to do when the database is damaged: everything but the keys comes back from the other nodes, and the name
    /// that was in it has to be given again.
    pub fn without_database(&self) -> String {
        let database = self.database();
        let start = if self.organisation_key().exists() {
            "--name NAME --organisation NAME\" with the names of before"
        } else {
            "--name NAME --join TICKET\" with its old name and a new ticket"
        };
        format!(
            "stop the node, put {} and the files -wal and -shm beside it aside, leave the keys, start with \"fedp2p up \
             {start}, and let the other nodes send the history again",
            database.display()
        )
    }

    /// The file whose lock says that a daemon uses the home.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Where a daemon writes that has no terminal.
    pub fn log_file(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// The folder for sockets and the registry. It may not exist yet: see [`Home::open_runtime_dir`].
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime
    }

    /// The socket of the daemon that uses this home.
    pub fn socket(&self) -> PathBuf {
        let hash = blake3::hash(self.root.as_os_str().as_encoded_bytes()).to_hex();
        self.runtime.join(format!("{}.sock", &hash[..16]))
    }

    /// The folder in which the live daemons of this user on this machine list themselves.
    pub fn registry(&self) -> PathBuf {
        self.runtime.join("peers")
    }

    /// Makes the runtime folder if it is missing and checks that it is ours alone.
    ///
    /// # Errors
    /// If it cannot be made, is somebody else's, or lets others in.
    pub fn open_runtime_dir(&self) -> Result<&Path, Error> {
        platform::create_private_folder(&self.runtime)
            .map_err(|source| Error::Runtime { path: self.runtime.clone(), source })?;
        self.check_runtime_dir()?;
        Ok(&self.runtime)
    }

    /// Returns whether the runtime folder exists, having checked that it is ours alone. For clients, which make nothing.
    ///
    /// # Errors
    /// If it is somebody else's, lets others in, or cannot hold a socket.
    pub fn check_runtime_dir(&self) -> Result<bool, Error> {
        if self.socket().as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(Error::TooLong { path: self.runtime.clone() });
        }
        platform::check_private_folder(&self.runtime)
    }

    /// Returns the number of the user whom the home folder belongs to, or nothing if it does not exist.
    pub fn owner(&self) -> Option<u32> {
        platform::owner(&self.root)
    }
}

/// Makes `path` absolute and resolves the links of the part of it that exists.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let fail = |source| Error::Path { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(fail)?;
    for existing in absolute.ancestors() {
        match std::fs::canonicalize(existing) {
            Ok(resolved) => {
                let rest = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
                // Joining an empty path would add a separator at the end, and so another hash.
                return Ok(if rest.as_os_str().is_empty() { resolved } else { resolved.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn environment() -> Environment {
        Environment { user_home: Some("/nowhere/ada".into()), temp: "/nowhere/tmp".into(), ..Environment::default() }
    }

    #[test]
    fn flag_wins_over_variable_and_variable_over_default() {
        let mut environment = environment();
        let root = |flag: Option<&str>, environment: &Environment| {
            Home::locate_in(flag.map(Path::new), environment).unwrap().root().to_owned()
        };
        assert!(root(None, &environment).starts_with("/nowhere/ada"));
        environment.fedp2p_home = Some("/nowhere/variable".into());
        assert_eq!(root(None, &environment), Path::new("/nowhere/variable"));
        assert_eq!(root(Some("/nowhere/flag"), &environment), Path::new("/nowhere/flag"));
    }

    #[test]
    fn without_any_home_the_flag_is_the_hint() {
        let error = Home::locate_in(None, &Environment::default()).unwrap_err();
        assert!(error.hint().contains("--home"));
    }

    #[test]
    fn relative_runtime_variable_is_ignored() {
        let mut environment = environment();
        environment.runtime_dir = Some("relative".into());
        assert!(environment.runtime().starts_with("/nowhere/tmp"));
        environment.runtime_dir = Some("/run/user/7".into());
        assert_eq!(environment.runtime(), Path::new("/run/user/7/fedp2p"));
    }

    #[test]
    fn a_home_has_one_socket_whatever_path_leads_to_it_and_before_it_exists() {
        let temp = tempfile::tempdir().unwrap();
        let home = |path: &Path| Home::at(path, temp.path().join("run")).unwrap();
        let root = temp.path().join("home");
        let before = home(&root).socket();
        std::fs::create_dir(&root).unwrap();
        symlink(&root, temp.path().join("link")).unwrap();
        assert_eq!(before, home(&root).socket());
        assert_eq!(before, home(&temp.path().join("link")).socket());
        assert_eq!(before, home(&temp.path().join("home/")).socket());
        assert_ne!(before, home(temp.path()).socket());
    }

    #[test]
    fn runtime_folder_is_made_for_us_alone() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path(), temp.path().join("a/fedp2p")).unwrap();
        assert!(!home.check_runtime_dir().unwrap());
        let path = home.open_runtime_dir().unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(home.check_runtime_dir().unwrap());
    }

    #[test]
    fn runtime_folder_that_others_can_enter_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run");
        let home = Home::at(temp.path(), path.clone()).unwrap();
        home.open_runtime_dir().unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
        let error = home.open_runtime_dir().unwrap_err();
        assert!(matches!(error, Error::Open { mode: 0o750, .. }), "{error}");
        assert!(error.hint().starts_with("close it with: chmod 700"));
    }

    #[test]
    fn runtime_folder_behind_a_link_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        symlink(temp.path().join("real"), temp.path().join("run")).unwrap();
        let home = Home::at(temp.path(), temp.path().join("run")).unwrap();
        assert!(matches!(home.open_runtime_dir(), Err(Error::NotAFolder { .. })));
    }

    #[test]
    fn runtime_folder_too_deep_for_a_socket_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path(), temp.path().join("x".repeat(90))).unwrap();
        assert!(matches!(home.check_runtime_dir(), Err(Error::TooLong { .. })));
    }
}
