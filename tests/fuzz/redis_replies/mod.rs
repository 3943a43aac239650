//! What the Redis store makes of a server that answers anything.

mod reply;
mod server;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::record::State;
use idempotency_store::{
    Admitted, Answer, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completed, Completion, Deadline, Fence,
    FenceKey, FenceStore, Fingerprint, Grant, Holder, Key, Loss, OnAbandoned, Owner, Query, Recorded, RedisStore,
    Released, Renewed, Store, StoreError, Terms,
};
use tokio::net::UnixListener;
use tokio::runtime::Builder;

use crate::draw::Draw;
use server::{Script, Skill, serve};

const KEY: Key = Key::new([0xAB; 32]);
const ATTEMPT: Attempt = Attempt { key: KEY, owner: Owner::new([0x0F; 16]), fingerprint: Fingerprint::new([0xC7; 32]) };

/// Where the server is.
static SOCKET: LazyLock<(tempfile::TempDir, std::os::unix::net::UnixListener, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    listener.set_nonblocking(true).expect("a socket that does not block");
    (folder, listener, path)
});

/// Asks a store one verb, of a server that answers with what is drawn. A runtime per input, so that nothing is left over.
pub(crate) fn target(input: &[u8]) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (_, listener, path) = &*SOCKET;
        let listener = UnixListener::from_std(listener.try_clone().expect("a second handle")).expect("a listener");
        let script = Arc::new(Script::default());
        tokio::spawn(serve(listener, Arc::clone(&script)));
        let mut draw = Draw::from(input);
        let verb = draw.below(11);
        script.master(match verb {
            9 => Skill::Compares,
            10 => Skill::Renames,
            _ => Skill::None,
        });
        let store = RedisStore::connect(&format!("unix://{}", path.display())).await.expect("a proper greeting");
        script.say((0..draw.below(8)).map(|_| reply::draw(&mut draw, &store)));
        ask(verb, &store, &script).await;
    });
}

async fn ask(verb: usize, store: &RedisStore, script: &Script) {
    let deadline = Deadline::after(Duration::from_millis(100));
    let grant =
        Grant { attempt: ATTEMPT, fence: Fence::new(1_780_000_000_000_000), number: 1, terms: Terms::default() };
    match verb {
        0 => claimed(store.claim(&claim(OnAbandoned::Refuse), deadline).await, script),
        1 => {
            let reexecute = OnAbandoned::Reexecute { max_attempts: NonZeroU32::MAX };
            claimed(store.claim(&claim(reexecute), deadline).await, script);
        }
        2 => match store.renew(&grant, deadline).await {
            Ok(Renewed::Held | Renewed::Recreated) => written(script),
            Ok(Renewed::Lost(loss)) => lost(&loss, script),
            Err(_) => {}
        },
        3 => completed(store.complete(&grant, &answer(4), deadline).await, script),
        9 | 10 => completed(store.complete(&grant, &answer(5000), deadline).await, script),
        4 => {
            if let Ok(Released::Lost(loss)) = store.release(&ATTEMPT, None, deadline).await {
                lost(&loss, script);
            }
        }
        5 => match store.checkpoint(&grant, &Checkpoint::new(Bytes::new()).expect("empty"), deadline).await {
            Ok(Checkpointed::Held) => written(script),
            Ok(Checkpointed::Lost(loss)) => lost(&loss, script),
            Err(_) => {}
        },
        6 => inspected(store, script, deadline).await,
        7 => listed(store, script, deadline).await,
        _ => admitted(store, script, deadline).await,
    }
}

fn claim(on_abandoned: OnAbandoned) -> Claim {
    Claim { attempt: ATTEMPT, terms: Terms::default(), high_water: None, on_abandoned }
}

/// A key is granted by a reply that says so: that there was nothing, or, of a record of this key that can be taken over,
/// that it was written.
fn claimed(reply: Result<Claimed, StoreError>, script: &Script) {
    let (commands, said) = script.said();
    match reply {
        Ok(Claimed::Acquired { grant, .. }) => {
            assert_eq!(grant.attempt, ATTEMPT);
            if commands == 1 {
                assert!(begins_with_nil(&said), "granted by {}", said.escape_ascii());
            } else {
                assert!(is_bound(&said) && says_one(&said), "granted by {}", said.escape_ascii());
            }
        }
        Ok(Claimed::Completed(completed)) => own(&completed, &said),
        Ok(Claimed::InFlight { .. } | Claimed::Indeterminate(_) | Claimed::Mismatch | Claimed::Stale) => {
            assert!(is_bound(&said), "judged by {}", said.escape_ascii());
        }
        Err(_) => {}
    }
}

fn answer(size: usize) -> Completion {
    Answer::Kept(Bytes::from(vec![b'm'; size])).into()
}

fn completed(reply: Result<Recorded, StoreError>, script: &Script) {
    match reply {
        // What compares says no more than this.
        Ok(Recorded::Recorded) if script.skill() == Skill::Compares && script.said().1.starts_with(b"+OK\r\n") => {}
        Ok(Recorded::Recorded | Recorded::Recreated) => recorded(script),
        Ok(Recorded::Lost(loss)) => lost(&loss, script),
        Err(_) => {}
    }
}

fn written(script: &Script) {
    let (_, said) = script.said();
    assert!(says_one(&said), "taken for written: {}", said.escape_ascii());
}

/// As [`written`], or it stood there already.
fn recorded(script: &Script) {
    let (_, said) = script.said();
    assert!(says_one(&said) || is_bound(&said), "taken for recorded: {}", said.escape_ascii());
}

fn lost(loss: &Loss, script: &Script) {
    let (_, said) = script.said();
    match loss {
        Loss::Completed(completed) => own(completed, &said),
        Loss::Absent => {}
        _ => assert!(is_bound(&said), "lost by {}", said.escape_ascii()),
    }
}

async fn inspected(store: &RedisStore, script: &Script, deadline: Deadline) {
    let Ok(Some(entry)) = store.inspect(KEY, deadline).await else { return };
    let (_, said) = script.said();
    assert_eq!(entry.key, KEY);
    assert!(is_bound(&said), "inspected: {}", said.escape_ascii());
    if let State::Completed(answer) = &entry.record.state {
        stands(answer, &said);
    }
    let _ = (entry.standing(), entry.remaining(), entry.quiet_for(), entry.expires_in());
}

async fn listed(store: &RedisStore, script: &Script, deadline: Deadline) {
    let Ok(page) = store.list(&Query::default(), deadline).await else { return };
    let (_, said) = script.said();
    for listed in page.entries {
        let name = store.name_of(&listed.key);
        assert!(contains(&said, name.as_bytes()), "listed without a name: {}", said.escape_ascii());
        assert!(contains(&said, &listed.key.as_bytes()[..16]), "listed unbound: {}", said.escape_ascii());
    }
}

/// A fence is let pass by the mark itself.
async fn admitted(store: &RedisStore, script: &Script, deadline: Deadline) {
    let holder = Holder { fence: Fence::new(1_780_000_000_000_000), owner: ATTEMPT.owner };
    let mark = [&[1], holder.fence.get().to_be_bytes().as_slice(), holder.owner.as_bytes()].concat();
    let admitted = store.fences().admit(&FenceKey::new([0xAB; 32]), holder, Duration::from_secs(60), deadline).await;
    let (_, said) = script.said();
    match admitted {
        Ok(Admitted::Admitted) => assert!(contains(&said, &mark), "admitted by {}", said.escape_ascii()),
        Ok(Admitted::Fenced { highest }) => assert!(highest >= holder.fence),
        Err(_) => {}
    }
}

fn own(completed: &Completed, said: &[u8]) {
    stands(&completed.answer, said);
}

/// The answer is that of a record of this key.
fn stands(answer: &Answer, said: &[u8]) {
    let (Answer::Kept(bytes) | Answer::NotKept(bytes)) = answer;
    let payload = |at: usize| said.get(at + 48..).is_some_and(|rest| rest.starts_with(bytes));
    let is_own = bindings(said).any(|at| at >= 48 && said[at - 48] == 1 && payload(at));
    assert!(is_own, "a foreign answer: {}", said.escape_ascii());
}

/// Where the key's half stands that every record of it repeats.
fn bindings(said: &[u8]) -> impl Iterator<Item = usize> + use<'_> {
    said.windows(16).enumerate().filter(|(_, window)| *window == &KEY.as_bytes()[..16]).map(|(at, _)| at)
}

fn is_bound(said: &[u8]) -> bool {
    bindings(said).next().is_some()
}

fn contains(said: &[u8], part: &[u8]) -> bool {
    said.windows(part.len()).any(|window| window == part)
}

/// Whether the first value is what the client takes for nothing: a length below zero, or RESP3's null. What comes unasked, or
/// stands before a value, is not looked into.
fn begins_with_nil(said: &[u8]) -> bool {
    let Some((kind, rest)) = said.split_first() else { return false };
    match kind {
        b'_' | b'>' | b'|' => true,
        // The client does not mind white space before a number, of whatever alphabet.
        b'$' | b'*' | b'%' | b'~' => line(rest).is_some_and(|line| line.trim_start().starts_with('-')),
        _ => false,
    }
}

/// Whether the number one is among what was said. The client does not mind white space in it.
fn says_one(said: &[u8]) -> bool {
    let mut lines = said.split(|byte| *byte == b':').skip(1).filter_map(line);
    lines.any(|line| line.trim().parse() == Ok(1))
}

/// What stands before the end of the line, if that is text. A carriage return alone ends none.
fn line(said: &[u8]) -> Option<&str> {
    let end = said.windows(2).position(|end| end == b"\r\n").unwrap_or(said.len());
    std::str::from_utf8(&said[..end]).ok()
}
