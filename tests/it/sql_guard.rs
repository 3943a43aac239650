//! `docs/sql-guard.md`, run as it is written: the statements are taken out of the document.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tempfile::TempDir;

const DOCUMENT: &str = include_str!("../../docs/sql-guard.md");

/// The statement of the document that is marked with this name.
fn sql(name: &str) -> &'static str {
    let mark = format!("<!-- sql: {name} -->\n```sql\n");
    let (_, rest) = DOCUMENT.split_once(&mark).unwrap_or_else(|| panic!("the document has no statement {name}"));
    rest.split_once("\n```").expect("a block has an end").0
}

/// Fence and owner.
type Attempt = (i64, &'static str);

/// What an attempt came to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    Worked(String),
    Replayed(String),
    Fenced,
}

/// What an attempt does when it has done the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Finishes,
    /// Commits a step, with others to follow in transactions of their own.
    GoesOn,
    RollsBack,
}

/// A database with a ledger in it.
struct Database(TempDir);

impl Database {
    fn new() -> Self {
        let database = Self(TempDir::new().expect("a temporary directory"));
        let tables =
            "CREATE TABLE ledger (receipt TEXT); CREATE TABLE naive_fence (key TEXT PRIMARY KEY, fence BIGINT);";
        database.connection().execute_batch(&format!("{}{tables}", sql("table"))).unwrap();
        database
    }

    fn connection(&self) -> Connection {
        connect(&self.0.path().join("database"))
    }

    fn ledger(&self) -> i64 {
        self.connection().query_row("SELECT COUNT(*) FROM ledger", [], |row| row.get::<_, i64>(0)).unwrap()
    }

    fn attempt(&self, attempt: Attempt) -> Outcome {
        self.attempt_and(attempt, Then::Finishes)
    }

    fn attempt_and(&self, attempt: Attempt, then: Then) -> Outcome {
        work(&mut self.connection(), attempt, then)
    }

    /// As the document says not to.
    fn naive_attempt(&self, (fence, owner): Attempt) -> bool {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let passed = passes(&transaction, sql("naive"), params!["k", fence]);
        if passed {
            effect(&transaction, &format!("{fence} of {owner}"));
            transaction.commit().unwrap();
        }
        passed
    }
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection
}

/// The transaction of the document, from its first statement to its last.
fn work(connection: &mut Connection, (fence, owner): Attempt, then: Then) -> Outcome {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    if !passes(&transaction, sql("first"), params!["k", fence, owner]) {
        let (done, result) = transaction
            .query_row(sql("look"), ["k"], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, Option<String>>(1)?)))
            .expect("a row that was not swept");
        return if done { Outcome::Replayed(result.expect("what is done has a result")) } else { Outcome::Fenced };
    }
    let result = format!("{fence} of {owner}");
    effect(&transaction, &result);
    match then {
        Then::RollsBack => transaction.rollback().unwrap(),
        Then::GoesOn => transaction.commit().unwrap(),
        Then::Finishes => {
            assert_eq!(transaction.execute(sql("last"), params![result, "k"]).unwrap(), 1);
            transaction.commit().unwrap();
        }
    }
    Outcome::Worked(result)
}

fn passes(transaction: &Transaction<'_>, statement: &str, parameters: &[&dyn rusqlite::ToSql]) -> bool {
    transaction.query_row(statement, parameters, |_| Ok(())).optional().unwrap().is_some()
}

fn effect(transaction: &Transaction<'_>, receipt: &str) {
    transaction.execute("INSERT INTO ledger (receipt) VALUES (?1)", [receipt]).unwrap();
}

fn worked(result: &str) -> Outcome {
    Outcome::Worked(result.to_owned())
}

fn replayed(result: &str) -> Outcome {
    Outcome::Replayed(result.to_owned())
}

#[test]
fn a_takeover_and_a_late_attempt_get_the_result_and_the_effect_happens_once() {
    let database = Database::new();
    assert_eq!(database.attempt((33, "a")), worked("33 of a"));
    assert_eq!(database.attempt((34, "b")), replayed("33 of a"));
    assert_eq!(database.attempt((33, "a")), replayed("33 of a"));
    assert_eq!(database.ledger(), 1);
}

#[test]
fn without_done_a_takeover_repeats_the_effect() {
    let database = Database::new();
    assert!(database.naive_attempt((33, "a")) && database.naive_attempt((34, "b")));
    assert!(!database.naive_attempt((33, "a")), "it keeps the late attempt out, which is not the question");
    assert_eq!(database.ledger(), 2);
}

#[test]
fn of_two_owners_with_one_fence_one_works() {
    let database = Database::new();
    assert_eq!(database.attempt((33, "a")), worked("33 of a"));
    assert_eq!(database.attempt((33, "b")), replayed("33 of a"));
    assert_eq!(database.ledger(), 1);

    let in_steps = Database::new();
    assert_eq!(in_steps.attempt_and((33, "a"), Then::GoesOn), worked("33 of a"));
    assert_eq!(in_steps.attempt((33, "b")), Outcome::Fenced);
    assert_eq!(in_steps.attempt((33, "a")), worked("33 of a"), "its own next step");
}

#[test]
fn after_a_rollback_nothing_remains_and_the_next_attempt_works() {
    for next in [(34, "b"), (33, "a"), (32, "c")] {
        let database = Database::new();
        database.attempt_and((33, "a"), Then::RollsBack);
        assert_eq!(database.ledger(), 0);
        assert!(matches!(database.attempt(next), Outcome::Worked(_)), "{next:?}");
        assert_eq!(database.ledger(), 1);
    }
}

#[test]
fn a_superseded_attempt_starts_no_further_step() {
    let database = Database::new();
    database.attempt_and((33, "a"), Then::GoesOn);
    database.attempt_and((34, "b"), Then::GoesOn);
    assert_eq!(database.attempt((33, "a")), Outcome::Fenced);
    assert_eq!(database.attempt((34, "b")), worked("34 of b"));
    assert_eq!(database.attempt((33, "a")), replayed("34 of b"));
}

#[test]
fn of_many_attempts_at_once_one_works() {
    let database = Database::new();
    let begin = Barrier::new(16);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let attempt = |fence| {
            let (database, begin) = (&database, &begin);
            scope.spawn(move || {
                let mut connection = database.connection();
                begin.wait();
                work(&mut connection, (fence, "a"), Then::Finishes)
            })
        };
        let attempts: Vec<_> = (0..16).map(attempt).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    });
    let results: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Worked(_))).collect();
    let [Outcome::Worked(result)] = results[..] else { panic!("{results:?}") };
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == replayed(result)).count(), 15);
    assert_eq!(database.ledger(), 1);
}

#[test]
fn a_swept_row_is_forgotten_and_a_fresh_one_is_not() {
    let database = Database::new();
    database.attempt((33, "a"));
    let sweep = |before: &str| database.connection().execute(sql("sweep"), [before]).unwrap();
    assert_eq!((sweep("2000-01-01"), sweep("9999-01-01")), (0, 1));
    assert_eq!(database.attempt((34, "b")), worked("34 of b"));
}
