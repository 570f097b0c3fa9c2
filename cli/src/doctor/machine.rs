//! The home folder, the disk, the clock and the network of this machine. Nothing here asks the daemon.

use std::fs::{self, Metadata};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fedp2p_node::home::Home;

use super::Finding;
use crate::shell;

/// Below this there is no room for a day's work, in bytes.
const LITTLE_ROOM: u64 = 500 * 1024 * 1024;
/// Below this the daemon may stop writing any moment, in bytes.
const NO_ROOM: u64 = 50 * 1024 * 1024;
/// 1 January 2025: a clock that is before has never been set.
const EARLIEST_MS: u64 = 1_735_689_600_000;
/// 1 January 2100.
const LATEST_MS: u64 = 4_102_444_800_000;
/// Where nodes look for each other on the local network.
const MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Looks at the home folder and the keys in it: whether they are there and nobody else's.
pub(crate) fn home(home: &Home, program: &str) -> Vec<Finding> {
    let root = home.root();
    let Ok(metadata) = fs::metadata(root) else {
        let found = format!("{} is not there yet", root.display());
        return vec![Finding::bad("home", found, format!("make it by starting the node: \"{program} up --detach\""))];
    };
    let mut findings = vec![private("home", root, &metadata)];
    for (what, path) in [("node key", home.node_key()), ("organisation key", home.organisation_key())] {
        if let Ok(metadata) = fs::metadata(&path) {
            findings.push(private(what, &path, &metadata));
        }
    }
    findings
}

fn private(what: &str, path: &Path, metadata: &Metadata) -> Finding {
    let (ours, shown) = (rustix::process::geteuid().as_raw(), path.display());
    let word = shell::word(&path.display().to_string());
    if metadata.uid() != ours {
        let found = format!("{shown} belongs to user {}, and you are {ours}", metadata.uid());
        return Finding::bad(what, found, format!("give it to you: chown -R {ours} {word}"));
    }
    let open = metadata.mode() & 0o077;
    if open != 0 {
        let found = format!("others may open {shown} (mode {:04o})", metadata.mode() & 0o7777);
        return Finding::bad(what, found, format!("close it: chmod go-rwx {word}"));
    }
    Finding::good(what, format!("{shown}, yours alone"))
}

/// Looks at how much room there is where the home folder is.
pub(crate) fn disk(home: &Home) -> Finding {
    let existing = home.root().ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let hint = "make room on that disk, or put the node elsewhere with --home DIR";
    let stat = match rustix::fs::statvfs(existing) {
        Ok(stat) => stat,
        Err(error) => return Finding::doubtful("disk", format!("the system does not say: {error}"), hint),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} MiB free at {}", free / (1024 * 1024), existing.display());
    match free {
        free if free < NO_ROOM => Finding::bad("disk", found, hint),
        free if free < LITTLE_ROOM => Finding::doubtful("disk", found, hint),
        _ => Finding::good("disk", found),
    }
}

/// Looks whether the clock can be right; `now_ms` is what it says.
pub(crate) fn clock(now_ms: u64) -> Finding {
    let hint = "set the clock, best by NTP: timedatectl set-ntp true";
    if !(EARLIEST_MS..LATEST_MS).contains(&now_ms) {
        return Finding::bad("clock", "the clock of this machine is years off", hint);
    }
    let state = Path::new("/run/systemd/timesync");
    if state.is_dir() && !state.join("synchronized").exists() {
        return Finding::doubtful("clock", "the clock of this machine has not been set by NTP", hint);
    }
    Finding::good("clock", "plausible")
}

/// Looks whether nodes on the local network can find this machine by multicast.
pub(crate) fn multicast() -> Finding {
    let joined = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.join_multicast_v4(&MULTICAST, &Ipv4Addr::UNSPECIFIED));
    match joined {
        Ok(()) => Finding::good("local network", "multicast can be joined: nodes find each other"),
        Err(error) => Finding::doubtful(
            "local network",
            format!("no multicast: {error}"),
            "name other nodes when you start: fedp2p up --peer HOST:PORT",
        ),
    }
}

/// Returns the firewall that is switched on here, if one is known.
pub(crate) fn active_firewall() -> Option<&'static str> {
    let ufw = fs::read_to_string("/etc/ufw/ufw.conf");
    if ufw.is_ok_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes")) {
        return Some("ufw");
    }
    Path::new("/run/firewalld").is_dir().then_some("firewalld")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_open_home_is_named_with_what_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("my node");
        fs::create_dir(&root).unwrap();
        let node = Home::at(&root, folder.path().join("run")).unwrap();
        let verdict = |mode| {
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
            home(&node, "fedp2p").remove(0)
        };
        assert_eq!(verdict(0o700).verdict, Verdict::Good);
        let open = verdict(0o755);
        assert_eq!(open.verdict, Verdict::Bad);
        assert!(open.hint.unwrap().starts_with("close it: chmod go-rwx '"));
    }

    #[test]
    fn a_home_that_is_not_there_is_made_by_starting_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let node = Home::at(&folder.path().join("none"), folder.path().join("run")).unwrap();
        let findings = home(&node, "fedp2p");
        assert!(findings[0].verdict == Verdict::Bad && findings[0].hint.as_ref().unwrap().contains("up --detach"));
    }

    #[test]
    fn a_clock_that_was_never_set_is_bad() {
        assert_eq!(clock(0).verdict, Verdict::Bad);
        assert_ne!(clock(EARLIEST_MS + 1).verdict, Verdict::Bad);
    }
}
