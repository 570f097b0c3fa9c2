//! Opening: what the file is, how the last run ended, whether the log epoch may go on.

use std::fs;

use super::*;
use crate::store::{Durability, LastStop, NewEpoch, OpenError};

fn set(home: &Home, key: &str, value: &str) {
    let sql = "UPDATE meta SET value = ? WHERE key = ?";
    assert_eq!(home.sqlite().execute(sql, (value, key)), Ok(1));
}

#[test]
fn a_first_start_is_told_until_the_database_is_founded() {
    let home = Home::empty();
    for _ in 0..2 {
        let (database, opened) = home.open();
        assert_eq!(opened.new_epoch, Some(NewEpoch::FirstStart));
        assert_eq!((opened.meta.node, opened.meta.epoch), (None, None));
        database.close().unwrap();
    }
    let (database, _) = home.open();
    found(&database);
    database.set_port(4_242).unwrap();
    database.close().unwrap();
    let (_, opened) = home.open();
    assert_eq!((opened.new_epoch, opened.last_stop), (None, LastStop::Clean));
    assert_eq!(opened.meta.node, Some(node(1)));
    assert_eq!(opened.meta.chain.as_deref(), Some(b"chain".as_slice()));
    assert_eq!(opened.meta.port, Some(4_242));
    assert_eq!(opened.meta.name, Some("taichi".parse().unwrap()));
}

#[test]
fn a_database_belongs_to_one_node() {
    let home = Home::new();
    let (database, _) = home.open();
    let again = Founding {
        node: node(2),
        chain: b"other",
        epoch: LogEpochId::from_bytes([4; 16]),
        name: &"other".parse().unwrap(),
    };
    database.found(&again).unwrap_err();
    database.set_membership(b"joined").unwrap();
    let meta = database.meta().unwrap();
    assert_eq!((meta.node, meta.chain), (Some(node(1)), Some(b"joined".to_vec())));
}

#[test]
fn a_crash_keeps_what_was_committed_and_is_noticed() {
    let home = Home::new();
    let mut running = home.start();
    running.commit(vec![Author::new(2).say("hello").at(1)]);
    drop(running);
    let (_, opened) = home.open();
    assert_eq!(opened.last_stop, LastStop::Unclean);
    assert_eq!(opened.stored.position, 1);
    // The machine was not switched off, so nothing is lost and the log goes on.
    assert_eq!(opened.new_epoch, None);
}

#[test]
fn after_a_power_cut_a_new_epoch_is_due_until_it_is_written() {
    let home = Home::new();
    drop(home.start());
    set(&home, "boot", "another boot");
    let (database, opened) = home.open();
    assert_eq!(opened.new_epoch, Some(NewEpoch::UncleanAfterReboot));
    // A stop before the epoch was written changes nothing, be it clean or not.
    drop(database);
    let (database, opened) = home.open();
    assert_eq!(opened.new_epoch, Some(NewEpoch::UncleanAfterReboot));
    database.close().unwrap();
    let (database, opened) = home.open();
    assert_eq!(opened.new_epoch, Some(NewEpoch::UncleanAfterReboot));
    database.set_epoch(&LogEpochId::from_bytes([5; 16])).unwrap();
    drop(database);
    let (_, opened) = home.open();
    assert_eq!(opened.new_epoch, None);
}

#[test]
fn a_reboot_after_a_clean_stop_changes_nothing() {
    let home = Home::new();
    home.start().store.close().unwrap();
    set(&home, "boot", "another boot");
    let (_, opened) = home.open();
    assert_eq!((opened.new_epoch, opened.last_stop), (None, LastStop::Clean));
}

#[test]
fn with_full_durability_a_power_cut_loses_nothing() {
    let mut home = Home::new();
    home.options.durability = Durability::Full;
    drop(home.start());
    set(&home, "boot", "another boot");
    // What counts is how the run that was cut off had written.
    home.options.durability = Durability::Normal;
    let (database, opened) = home.open();
    assert_eq!((opened.new_epoch, opened.last_stop), (None, LastStop::Unclean));
    drop(database);
    set(&home, "boot", "another boot");
    home.options.durability = Durability::Full;
    assert_eq!(home.open().1.new_epoch, Some(NewEpoch::UncleanAfterReboot));
}

#[test]
fn a_copy_and_a_restored_backup_get_a_new_epoch() {
    let home = Home::new();
    let other = Home::empty();
    copy(&home.path(), &other.path());
    assert_eq!(other.open().1.new_epoch, Some(NewEpoch::Copied));
    assert_eq!(home.open().1.new_epoch, None);

    let backup = home.folder.path().join("backup");
    copy(&home.path(), &backup);
    fs::rename(&backup, home.path()).unwrap();
    assert_eq!(home.open().1.new_epoch, Some(NewEpoch::Copied));
}

#[test]
fn a_copy_of_a_running_database_holds_what_was_committed() {
    let home = Home::new();
    let mut running = home.start();
    running.commit(vec![Author::new(2).say("hello").at(1)]);
    let other = Home::empty();
    let log = |home: &Home| home.folder.path().join("fedp2p.db-wal");
    copy(&home.path(), &other.path());
    copy(&log(&home), &log(&other));
    let (_, opened) = other.open();
    assert_eq!(opened.stored.position, 1);
    assert_eq!(opened.last_stop, LastStop::Unclean);
    assert_eq!(opened.new_epoch, Some(NewEpoch::Copied));
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let home = Home::new();
    home.sqlite().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(home.path()).unwrap();
    let error = Database::open(&home.path(), &home.options).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert_eq!(fs::read(home.path()).unwrap(), before);
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let tables = Home::empty();
    tables.sqlite().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let marked = Home::empty();
    marked.sqlite().execute_batch("PRAGMA application_id = 5; CREATE TABLE t (a)").unwrap();
    let text = Home::empty();
    fs::write(text.path(), "this is a text, and longer than the header of a database: ".repeat(9)).unwrap();
    for home in [tables, marked, text] {
        let before = fs::read(home.path()).unwrap();
        let error = Database::open(&home.path(), &home.options).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
        assert_eq!(fs::read(home.path()).unwrap(), before);
    }
}

#[test]
fn a_file_that_was_only_begun_is_a_first_start() {
    let home = Home::empty();
    fs::write(home.path(), "").unwrap();
    assert_eq!(home.open().1.new_epoch, Some(NewEpoch::FirstStart));

    // Cut off between choosing the journal and making the tables.
    let home = Home::empty();
    home.sqlite().pragma_update(None, "journal_mode", "WAL").unwrap();
    assert_eq!(home.open().1.new_epoch, Some(NewEpoch::FirstStart));
}

#[test]
fn damage_is_found_after_a_power_cut() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    let writes = (1..=200).map(|position| author.say("hello").at(position)).collect();
    running.commit(writes);
    drop(running);
    set(&home, "boot", "another boot");
    let whole = fs::read(home.path()).unwrap();
    for page in 1..whole.len() / 4_096 {
        let mut bytes = whole.clone();
        bytes[page * 4_096..(page + 1) * 4_096].fill(0xa5);
        fs::write(home.path(), &bytes).unwrap();
        let error = Database::open(&home.path(), &home.options).unwrap_err();
        let OpenError::Database { source, .. } = &error else { panic!("page {page}: {error:?}") };
        assert!(matches!(source, StoreError::Corrupt(_)), "page {page}: {source:?}");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut running = home.start();
    running.commit(vec![Author::new(2).say("hello").at(1)]);
    for name in ["fedp2p.db", "fedp2p.db-wal", "fedp2p.db-shm"] {
        let mode = fs::metadata(home.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::empty();
    let mode = |mode| fs::set_permissions(home.folder.path(), fs::Permissions::from_mode(mode));
    mode(0o500).unwrap();
    let result = Database::open(&home.path(), &home.options);
    mode(0o700).unwrap();
    // Permissions do not hold root back.
    if !rustix::process::geteuid().is_root() {
        assert!(matches!(result, Err(OpenError::File { .. })), "{result:?}");
    }
    let missing = home.folder.path().join("no such folder/fedp2p.db");
    let error = Database::open(&missing, &home.options).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
}

#[test]
fn a_clean_stop_leaves_one_file() {
    let home = Home::new();
    let mut running = home.start();
    running.commit(vec![Author::new(2).say("hello").at(1)]);
    running.store.close().unwrap();
    let files = fs::read_dir(home.folder.path()).unwrap().count();
    assert_eq!(files, 1);
}

#[test]
fn changes_are_loaded_from_the_document_epoch_that_was_named_last() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    let mut continued = Author::new(2);
    continued.log = LogId::from_bytes([22; 16]);
    let mut other = Author::new(3);
    let mut writes = Vec::new();
    for epoch in [0, 1, 1, 2] {
        writes.push(changed(writes.len() as u64 + 1, author.change(epoch), epoch));
    }
    writes.push(author.say("in between").at(5));
    writes.push(changed(6, continued.change(3), 3));
    writes.push(changed(7, other.change(0), 0));
    for epoch in [1, 2] {
        writes.push(Write::Document { author: node(2), conversation: LOBBY, epoch });
    }
    running.commit(writes);
    let outcome = running.read(Read::Changes { author: node(2), conversation: LOBBY });
    let ReadOutcome::Changes(all) = outcome else { panic!("{outcome:?}") };
    assert_eq!(all.len(), 5);
    running.store.close().unwrap();
    let (_, opened) = home.open();
    let loaded: Vec<_> = opened
        .stored
        .changes
        .iter()
        .map(|change| (change.header().author, Change::decode(change.payload()).unwrap().epoch))
        .collect();
    assert_eq!(loaded, [(node(2), 2), (node(2), 3), (node(3), 0)]);
}
