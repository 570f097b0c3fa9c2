//! The proof of the history, and what becomes of reads when the disk lies.

use std::fs;

use fedp2p_protocols::api::log_verify::{Broken, Reply};

use super::*;
use crate::store::{OpenError, verify_file};

/// A closed database with 300 entries in two logs.
fn filled() -> (Home, [Author; 2]) {
    let home = Home::new();
    let mut authors = [Author::new(2), Author::new(3)];
    let mut running = home.start();
    let writes = (1..=300).map(|position: u64| {
        let text = format!("message number {position}");
        authors[usize::from(position.is_multiple_of(2))].say(&text).at(position)
    });
    running.commit(writes.collect());
    running.store.close().unwrap();
    (home, authors)
}

fn broken(home: &Home) -> Broken {
    verify_file(&home.path()).unwrap().broken.unwrap()
}

#[test]
fn a_whole_history_is_proven() {
    let (home, _) = filled();
    let reply = verify_file(&home.path()).unwrap();
    assert_eq!(Reply { took_ms: 0, ..reply }, Reply { ops: 300, logs: 2, broken: None, took_ms: 0 });
    let mut running = home.start();
    let outcome = running.read(Read::Verify);
    assert!(
        matches!(&outcome, ReadOutcome::Verify(reply) if reply.ops == 300 && reply.broken.is_none()),
        "{outcome:?}"
    );
}

#[test]
fn a_byte_that_was_flipped_in_the_file_is_found() {
    let (home, authors) = filled();
    let mut bytes = fs::read(home.path()).unwrap();
    let text = b"message number 177";
    let place = bytes.windows(text.len()).position(|window| window == text).unwrap();
    bytes[place] ^= 1;
    fs::write(home.path(), bytes).unwrap();
    assert_eq!(broken(&home).position, 177);
    assert!(broken(&home).problem.contains("payload hash"), "{:?}", broken(&home));

    let mut running = home.start();
    let damaged = Read::At { key: authors[0].log_key(), seq: 89 };
    let outcome = running.read(damaged);
    assert!(matches!(outcome, ReadOutcome::Failed(StoreError::Corrupt(_))), "{outcome:?}");
    let outcome = running.read(Read::At { key: authors[0].log_key(), seq: 88 });
    assert!(matches!(outcome, ReadOutcome::At(Some(_))), "{outcome:?}");
}

#[test]
fn what_was_changed_with_sql_is_found() {
    let cases = [
        ("UPDATE ops SET kind = 4 WHERE position = 150", 150),
        ("UPDATE ops SET agent = 'other' WHERE position = 150", 150),
        ("UPDATE ops SET hlc = hlc + 1 WHERE position = 150", 150),
        ("UPDATE ops SET id = zeroblob(32) WHERE position = 150", 150),
        ("UPDATE ops SET signature = zeroblob(64) WHERE position = 150", 150),
        ("UPDATE ops SET header = zeroblob(900) WHERE position = 150", 150),
        ("UPDATE ops SET log_ref = 77 WHERE position = 150", 150),
        ("DELETE FROM ops WHERE position = 150", 152),
        ("DELETE FROM ops WHERE position = 300", 298),
        ("UPDATE logs SET height = height + 1 WHERE ref = 1", 299),
        ("UPDATE logs SET head = zeroblob(32) WHERE ref = 2", 300),
        ("INSERT INTO logs SELECT 9, author, conversation, conversation, 1, head, hlc FROM logs LIMIT 1", 300),
    ];
    for (sql, position) in cases {
        let (home, _) = filled();
        home.sqlite().execute_batch(sql).unwrap();
        assert_eq!(broken(&home).position, position, "{sql}: {:?}", broken(&home));
    }
}

#[test]
fn the_first_of_several_is_reported() {
    let (home, _) = filled();
    home.sqlite()
        .execute_batch(
            "UPDATE ops SET signature = zeroblob(64) WHERE position = 40;
             UPDATE ops SET payload = x'00' WHERE position = 50;",
        )
        .unwrap();
    let found = broken(&home);
    assert_eq!((found.position, found.seq), (40, Some(20)));
}

#[test]
fn pages_full_of_rubbish_are_a_finding_and_not_a_panic() {
    let (home, _) = filled();
    let whole = fs::read(home.path()).unwrap();
    for page in 1..whole.len() / 4_096 {
        let mut bytes = whole.clone();
        bytes[page * 4_096..(page + 1) * 4_096].fill(0xa5);
        fs::write(home.path(), &bytes).unwrap();
        match verify_file(&home.path()) {
            Ok(reply) => assert!(reply.broken.is_some(), "page {page}"),
            // A page of the schema: not even the tables are known.
            Err(error) => assert!(matches!(error, OpenError::Database { .. }), "page {page}: {error:?}"),
        }
    }
}

#[test]
fn what_is_no_database_of_ours_is_not_verified() {
    let home = Home::empty();
    let error = verify_file(&home.path()).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    fs::write(home.path(), "").unwrap();
    let error = verify_file(&home.path()).unwrap_err();
    assert!(matches!(error, OpenError::Empty { .. }), "{error:?}");
    home.sqlite().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = verify_file(&home.path()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}
