//! Where the daemon of a home has its runtime folder, noted in the home: programs that start others may hand on an
//! environment that leads elsewhere. A note of anybody else is refused, and so is a folder that is not ours alone.

use std::io;
use std::path::PathBuf;

use super::{Error, Home, MAX_SOCKET_PATH_BYTES, platform};

impl Home {
    /// The file that says where the runtime folder of this home's daemon is.
    pub fn runtime_note(&self) -> PathBuf {
        self.root().join("runtime")
    }

    /// Notes where the runtime folder is. Only for the daemon that has the lock of the home.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_runtime_dir(&self) -> io::Result<()> {
        let path = self.runtime_note();
        let text = self.runtime_dir().as_os_str().as_encoded_bytes();
        // A full disk need not keep a node from starting where it was before.
        if platform::read_private_file(&path, MAX_SOCKET_PATH_BYTES).is_ok_and(|there| there.as_deref() == Some(text)) {
            return Ok(());
        }
        platform::write_private_file(&path, text)
    }

    /// Returns this home with the runtime folder that its daemon has noted, if that is another one.
    ///
    /// # Errors
    /// If the note cannot be relied on: it is not ours alone, too long, or no absolute path.
    pub fn as_noted(&self) -> Result<Option<Self>, Error> {
        let path = self.runtime_note();
        let wrong = |why| Error::Note { path: path.clone(), why };
        let Some(text) = platform::read_private_file(&path, MAX_SOCKET_PATH_BYTES).map_err(wrong)? else {
            return Ok(None);
        };
        let runtime = platform::path_of(text);
        if !runtime.is_absolute() {
            return Err(wrong("it is no absolute path"));
        }
        Ok((runtime != self.runtime).then(|| Self { root: self.root.clone(), runtime }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_noted_folder_is_found_from_an_environment_that_leads_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let daemon = Home::at(temp.path(), temp.path().join("run")).unwrap();
        let client = Home::at(temp.path(), temp.path().join("elsewhere")).unwrap();
        assert_eq!(client.as_noted().unwrap(), None);
        daemon.note_runtime_dir().unwrap();
        assert_eq!(client.as_noted().unwrap(), Some(daemon.clone()));
        assert_eq!(daemon.as_noted().unwrap(), None);
        assert_eq!(fs::metadata(daemon.runtime_note()).unwrap().permissions().mode() & 0o777, 0o600);
        client.note_runtime_dir().unwrap();
        assert_eq!(daemon.as_noted().unwrap(), Some(client));
    }

    #[test]
    fn a_note_that_is_open_too_long_a_link_or_no_path_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path(), temp.path().join("run")).unwrap();
        let refused = |text: &str, mode: u32| {
            fs::write(home.runtime_note(), text).unwrap();
            fs::set_permissions(home.runtime_note(), fs::Permissions::from_mode(mode)).unwrap();
            home.as_noted().unwrap_err().to_string()
        };
        assert!(refused("/run/user/7/fedp2p", 0o644).contains("other users"));
        assert!(refused(&format!("/{}", "x".repeat(MAX_SOCKET_PATH_BYTES)), 0o600).contains("long"));
        assert!(refused("run", 0o600).contains("absolute"));
        fs::remove_file(home.runtime_note()).unwrap();
        fs::write(temp.path().join("other"), "/run").unwrap();
        symlink("other", home.runtime_note()).unwrap();
        assert!(home.as_noted().unwrap_err().to_string().contains("file of its own"));
    }
}
