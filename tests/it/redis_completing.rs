//! How an answer gets into Redis: rule 7 of the staged ones, rule 11 of `SET` with `IFEQ`, and that whatever goes wrong with
//! either, the script that carries the answer writes the same bytes.

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Completion, ErrorKind, Grant, Loss, OnAbandoned, Recorded, RedisConfig,
    RedisStore, Retention, Store,
};
use idempotency_tests::redis_kinds::SMALLEST;
use idempotency_tests::resp::Command;
use idempotency_tests::{Gate, LineFault, Program, RedisCluster, RedisOptions, RedisProxy, RedisServer};
use redis::cmd;

use crate::redis_failover::{config, connect};
use crate::redis_own::{Own, acquire, claim, soon};

/// Staged where there are stages.
fn large(byte: u8) -> Completion {
    sized(byte, 5000)
}

fn sized(byte: u8, size: usize) -> Completion {
    Completion { answer: Answer::Kept(Bytes::from(vec![byte; size])), retention: None }
}

async fn on(program: Program) -> Own {
    Own::with(RedisOptions::default().program(program)).await
}

/// A store whose commands pass a line, after it has recorded something large: the server knows the scripts.
async fn behind_a_line() -> (Own, RedisProxy) {
    let (own, line) = Own::behind_a_line().await;
    let grant = acquire(&own.store, &claim(200)).await;
    own.store.complete(&grant, &large(b'-'), soon()).await.expect("recorded");
    own.server.flush().await;
    (own, line)
}

fn is_stage(command: &Command) -> bool {
    command.name() == "SET" && command.arguments()[0].windows(7).any(|part| part == b":stage:")
}

/// The script that puts a stage in place has two keys.
fn is_promotion(command: &Command) -> bool {
    command.name().starts_with("EVAL") && &*command.arguments()[1] == b"2"
}

/// Fails unless the record of `claim(number)` is the one that the script writes over `pending`, and there is nothing else.
async fn stands(own: &Own, number: u8, pending: &[u8], completion: &Completion) {
    let name = own.store.name_of(&claim(number).attempt.key);
    assert_eq!(own.server.keys("idem:{").await, [&*name], "something was left beside the record");
    let record = own.server.get(&name).await.expect("a record");
    let Answer::Kept(answer) = &completion.answer else { panic!("not of these tests") };
    let retention = completion.retention.map(|own| u64::try_from(own.get().as_millis()).unwrap().to_be_bytes());
    let mut expected = pending.to_vec();
    expected[..8].copy_from_slice(&record[..8]);
    expected[9] = 2;
    expected[32..40].copy_from_slice(&retention.unwrap_or_else(|| pending[32..40].try_into().unwrap()));
    expected.truncate(104);
    // A checkpoint goes.
    expected[11] = 0;
    expected.extend_from_slice(answer);
    assert!(record == expected, "{:?} instead of {:?}", &record[..104], &expected[..104]);
    let life = i64::try_from(u64::from_be_bytes(expected[32..40].try_into().unwrap())).unwrap();
    let left = own.server.pttl(&name).await;
    assert!((life - 60_000..=life).contains(&left), "{left} of {life} ms are left");
}

/// Claims a key that is free, and brings what stands there.
async fn pending(own: &Own, claim: &Claim) -> (Grant, Vec<u8>) {
    let grant = acquire(&own.store, claim).await;
    let record = own.server.get(&own.store.name_of(&claim.attempt.key)).await.expect("a record");
    (grant, record)
}

async fn recorded(store: &RedisStore, grant: &Grant, completion: Completion) {
    assert_eq!(store.complete(grant, &completion, soon()).await.expect("the store answers"), Recorded::Recorded);
}

/// Lets the lease lapse and another owner take over.
async fn taken_over(own: &Own, claim: &Claim) -> Grant {
    own.server.age(claim.terms.lease()).await;
    let on_abandoned = OnAbandoned::Reexecute { max_attempts: 9.try_into().unwrap() };
    let attempt = Attempt { owner: idempotency_store::Owner::random().unwrap(), ..claim.attempt };
    acquire(&own.store, &Claim { attempt, on_abandoned, ..*claim }).await
}

fn kept_for(seconds: u64) -> Retention {
    Retention::new(Duration::from_secs(seconds)).unwrap()
}

#[tokio::test]
async fn rule_7_a_large_answer_is_staged_and_does_not_pass_a_script() {
    let (own, line) = behind_a_line().await;
    let (grant, before) = pending(&own, &claim(1)).await;
    // The stage is answered when the script has arrived: they are one round trip.
    let gate = Gate::default();
    line.next(1, is_stage, LineFault::HoldAfter(gate.clone()));
    let watched = async {
        tokio::join!(recorded(&own.store, &grant, large(b'a')), async {
            line.until_seen("EVALSHA", 3).await;
            gate.open();
        })
    };
    let sent = own.server.commands_during(watched).await;
    assert_eq!(sent.names(), ["SET", "EVALSHA"]);
    assert_eq!(sent.inner_names(), ["GETRANGE", "RENAME"]);
    stands(&own, 1, &before, &large(b'a')).await;
}

#[tokio::test]
async fn rule_7_only_large_answers_are_staged() {
    let own = on(Program::System).await;
    // The server learns the script.
    recorded(&own.store, &acquire(&own.store, &claim(200)).await, sized(b'-', 1)).await;
    own.server.flush().await;
    for (number, size, commands) in [(1, 2047, 1), (2, 2048, 2)] {
        let (grant, before) = pending(&own, &claim(number)).await;
        let sent = own.server.commands_during(recorded(&own.store, &grant, sized(b'a', size))).await;
        assert_eq!(sent.names().iter().filter(|name| *name != "TIME").count(), commands, "{:?}", sent.names());
        stands(&own, number, &before, &sized(b'a', size)).await;
        own.server.flush().await;
    }
}

#[tokio::test]
async fn rule_7_a_stage_has_the_final_retention_before_it_is_renamed() {
    for (retention, seconds) in [(None, 3600), (Some(kept_for(100)), 100), (Some(kept_for(7200)), 7200)] {
        let (own, line) = behind_a_line().await;
        let (grant, before) = pending(&own, &claim(1)).await;
        own.server.age(Duration::from_secs(20)).await;
        let completion = Completion { retention, ..large(b'a') };
        let gate = Gate::default();
        line.next(1, is_promotion, LineFault::HoldBefore(gate.clone()));
        tokio::join!(recorded(&own.store, &grant, completion.clone()), async {
            gate.arrived(1).await;
            let stage = stage(&own).await;
            let left = own.server.pttl(&stage).await;
            assert!((seconds * 1000 - 60_000..=seconds * 1000).contains(&left), "{left} of {seconds} s");
            gate.open();
        });
        stands(&own, 1, &before, &completion).await;
    }
}

/// The name of the only stage.
async fn stage(own: &Own) -> String {
    let keys = own.server.keys("idem:{").await;
    let stages: Vec<_> = keys.into_iter().filter(|key| key.contains("}:stage:")).collect();
    assert_eq!(stages.len(), 1, "{stages:?}");
    stages.into_iter().next().unwrap()
}

#[tokio::test]
async fn rule_7_a_stage_that_vanished_is_not_applied_and_asked_again() {
    let (own, line) = behind_a_line().await;
    let (grant, before) = pending(&own, &claim(1)).await;
    let gate = Gate::default();
    line.next(1, is_promotion, LineFault::HoldBefore(gate.clone()));
    tokio::join!(recorded(&own.store, &grant, large(b'a')), async {
        gate.arrived(1).await;
        own.server.ask::<()>(cmd("DEL").arg(stage(&own).await)).await;
        gate.open();
    });
    stands(&own, 1, &before, &large(b'a')).await;
}

/// Each stage is its owner's alone: whoever comes between, no other answer is renamed over the record.
#[tokio::test]
async fn rule_7_a_superseded_owner_leaves_no_stage_and_overwrites_nothing() {
    let (own, line) = behind_a_line().await;
    let other = RedisStore::connect(&own.server.url()).await.expect("the same server");
    let mine = claim(1);
    let old = acquire(&own.store, &mine).await;
    let new = taken_over(&own, &mine).await;
    let before = own.server.get(&own.store.name_of(&mine.attempt.key)).await.unwrap();

    let lost = own.store.complete(&old, &large(b'o'), soon()).await.unwrap();
    assert!(matches!(lost, Recorded::Lost(Loss::InFlight { .. })), "{lost:?}");
    assert_eq!(own.server.get(&own.record().await).await, Some(before.clone()), "the record is the new owner's");

    // The winner's stage is there, and the loser's comes and goes.
    let gate = Gate::default();
    line.next(1, is_promotion, LineFault::HoldBefore(gate.clone()));
    tokio::join!(recorded(&own.store, &new, large(b'n')), async {
        gate.arrived(1).await;
        let winner = stage(&own).await;
        let lost = other.complete(&old, &large(b'o'), soon()).await.unwrap();
        assert!(matches!(lost, Recorded::Lost(Loss::InFlight { .. })), "{lost:?}");
        assert_eq!(stage(&own).await, winner);
        gate.open();
    });
    stands(&own, 1, &before, &large(b'n')).await;
    let lost = own.store.complete(&old, &large(b'o'), soon()).await.unwrap();
    assert!(matches!(lost, Recorded::Lost(Loss::Completed(_))), "{lost:?}");
    stands(&own, 1, &before, &large(b'n')).await;
}

#[tokio::test]
async fn rule_7_a_staged_completion_whose_reply_was_lost_is_recorded_when_asked_again() {
    for fault in [LineFault::CutAfter, LineFault::CutBefore, LineFault::CutMidReply(1)] {
        for strikes in [is_stage, is_promotion] {
            let (own, line) = behind_a_line().await;
            let (grant, before) = pending(&own, &claim(1)).await;
            line.next(1, strikes, fault.clone());
            let unheard = own.store.complete(&grant, &large(b'a'), soon()).await.expect_err("the line was cut");
            assert_eq!((unheard.kind(), line.struck.get()), (ErrorKind::Unknown, 1), "{unheard:?}");
            recorded(&own.store, &grant, large(b'a')).await;
            stands(&own, 1, &before, &large(b'a')).await;
        }
    }
}

#[tokio::test]
async fn rule_7_a_server_that_forgot_the_script_finds_the_stage() {
    let (own, line) = behind_a_line().await;
    let (grant, before) = pending(&own, &claim(1)).await;
    own.server.script_flush().await;
    let stages = line.seen("SET");
    recorded(&own.store, &grant, large(b'a')).await;
    assert_eq!((line.seen("SET"), line.seen("EVAL")), (stages + 1, 2), "once for the greeting, once now");
    stands(&own, 1, &before, &large(b'a')).await;
}

/// What the connection is told is taken for what it is: only a plain yes or no is one.
#[tokio::test]
async fn rule_7_whatever_else_is_answered_leads_to_the_script() {
    for reply in
        [&b"-ERR of any kind\r\n"[..], b"+OK\r\n", b"$-1\r\n", b":2\r\n", b"-NOPERM no\r\n", b"-TRYAGAIN no\r\n"]
    {
        let (own, line) = behind_a_line().await;
        let (grant, before) = pending(&own, &claim(1)).await;
        line.next(1, is_promotion, LineFault::Answer(Bytes::from_static(reply)));
        recorded(&own.store, &grant, large(b'a')).await;
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

async fn a_full_server_is_given_the_answer_by_the_script(program: Program) {
    for completion in [large(b'a'), sized(b'a', 10)] {
        let own = on(program).await;
        let (grant, before) = pending(&own, &claim(1)).await;
        own.server.config_set("maxmemory", "1").await;
        recorded(&own.store, &grant, completion.clone()).await;
        stands(&own, 1, &before, &completion).await;
    }
}

#[tokio::test]
async fn rule_7_a_full_server_is_given_the_answer_by_the_script() {
    a_full_server_is_given_the_answer_by_the_script(Program::System).await;
}

#[tokio::test]
async fn rule_7_a_server_that_is_full_by_then_takes_the_stage() {
    let (own, line) = behind_a_line().await;
    let (grant, before) = pending(&own, &claim(1)).await;
    let gate = Gate::default();
    line.next(1, is_promotion, LineFault::HoldBefore(gate.clone()));
    tokio::join!(recorded(&own.store, &grant, large(b'a')), async {
        gate.arrived(1).await;
        own.server.config_set("maxmemory", "1").await;
        gate.open();
    });
    stands(&own, 1, &before, &large(b'a')).await;
}

/// A user with the rights of before, and functions of before.
#[tokio::test]
async fn rule_7_who_may_not_rename_has_the_answer_carried() {
    let rights = format!("~idem:* {}", SMALLEST.replace("+rename", ""));
    let server = RedisServer::start(RedisOptions::default().user("app", "secret", &rights)).await;
    let store = RedisStore::connect(&server.url_as("app", "secret")).await.expect("enough rights");
    let own = Own { server, store };
    let (grant, before) = pending(&own, &claim(1)).await;
    let sent = own.server.commands_during(recorded(&own.store, &grant, large(b'a'))).await;
    assert!(!sent.names().contains(&"SET".to_owned()), "{:?}", sent.names());
    stands(&own, 1, &before, &large(b'a')).await;
}

#[tokio::test]
async fn rule_7_functions_that_cannot_promote_carry_the_answer() {
    for knows in [true, false] {
        let server = RedisServer::start(RedisOptions::default()).await;
        let library = RedisStore::function_library();
        let library = if knows { library } else { library.replace("idem_v1_promote", "idem_v1_other") };
        server.ask::<()>(cmd("FUNCTION").arg("LOAD").arg(library)).await;
        let config = RedisConfig::new(&server.url()).unwrap().scripting(idempotency_store::Scripting::Functions);
        let store = RedisStore::connect_with(config).await.expect("a server with functions");
        let own = Own { server, store };
        let (grant, before) = pending(&own, &claim(1)).await;
        let sent = own.server.commands_during(recorded(&own.store, &grant, large(b'a'))).await;
        let staged: &[_] = if knows { &["SET", "FCALL"] } else { &["FCALL"] };
        assert_eq!(sent.names(), staged);
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

/// A stage lives where its record does. While the slot moves, its keys are at two nodes, and the script has one of them.
async fn large_answers_follow_a_slot_that_moves(program: Program) {
    let options = RedisOptions::default().program(program);
    let cluster = RedisCluster::start_with(options, 3, true, Duration::from_secs(10)).await;
    let store = connect(config(&cluster.url())).await;
    for (number, claimed_there) in [(1, false), (2, true)] {
        let name = store.name_of(&claim(number).attempt.key);
        let slot = cluster.slot_of(&name).await;
        let from = cluster.owner_of(slot).await;
        assert_eq!(cluster.slot_of(&format!("{name}:stage:any")).await, slot);
        let before = if claimed_there { None } else { Some(acquire(&store, &claim(number)).await) };
        let moving = cluster.begin_move(slot, (from + 1) % 3).await;
        let grant = match before {
            Some(grant) => grant,
            None => acquire(&store, &claim(number)).await,
        };
        recorded(&store, &grant, large(number)).await;
        cluster.finish_move(moving).await;
        replays(&store, number, &large(number)).await;
    }
    // And by MOVED, to a node that the store learns of only then.
    let grant = acquire(&store, &claim(3)).await;
    let name = store.name_of(&claim(3).attempt.key);
    let slot = cluster.slot_of(&name).await;
    let to = (cluster.owner_of(slot).await + 1) % 3;
    cluster.reshard(slot..=slot, to).await;
    recorded(&store, &grant, large(3)).await;
    replays(&store, 3, &large(3)).await;
    for node in cluster.masters().await {
        let keys = cluster.node(node).keys("idem:{").await;
        assert!(keys.iter().all(|key| key.ends_with('}')), "something was left beside a record: {keys:?}");
    }
}

async fn replays(store: &RedisStore, number: u8, completion: &Completion) {
    match store.claim(&claim(number), soon()).await {
        Ok(Claimed::Completed(completed)) => assert!(completed.answer == completion.answer, "another answer"),
        other => panic!("not completed: {other:?}"),
    }
}

#[tokio::test]
async fn s17_large_answers_follow_a_slot_that_moves() {
    large_answers_follow_a_slot_that_moves(Program::System).await;
}

#[tokio::test]
async fn s17_large_answers_follow_a_slot_that_moves_on_valkey_8() {
    large_answers_follow_a_slot_that_moves(Program::Valkey8).await;
}

fn is_comparison(command: &Command) -> bool {
    command.name() == "SET" && command.arguments().iter().any(|argument| &**argument == b"IFEQ")
}

/// What clients sent while the answer was recorded.
async fn sent(own: &Own, grant: &Grant, completion: Completion) -> Vec<String> {
    let commands = own.server.commands_during(recorded(&own.store, grant, completion)).await;
    commands.names().into_iter().filter(|name| name != "TIME").collect()
}

async fn valkey_behind_a_line() -> (Own, RedisProxy) {
    let server = RedisServer::start(RedisOptions::default().program(Program::Valkey8)).await;
    let line = RedisProxy::to(server.address()).await;
    let store = RedisStore::connect(&line.url()).await.expect("a line that passes everything on");
    server.flush().await;
    (Own { server, store }, line)
}

#[tokio::test]
async fn rule_11_an_answer_of_any_size_is_one_command() {
    for retention in [None, Some(kept_for(100)), Some(kept_for(7200))] {
        for size in [0, 10, 5000, 1 << 20] {
            let own = on(Program::Valkey8).await;
            let (grant, before) = pending(&own, &claim(1)).await;
            own.server.age(Duration::from_secs(20)).await;
            let completion = Completion { retention, ..sized(b'a', size) };
            assert_eq!(sent(&own, &grant, completion.clone()).await, ["SET"]);
            stands(&own, 1, &before, &completion).await;
        }
    }
}

/// Neither a renewal nor an owner that asks again, nor the clock of a client that is ahead, changes what the claim wrote.
#[tokio::test]
async fn rule_11_what_stands_in_flight_follows_from_its_grant() {
    let own = on(Program::Valkey8).await;
    let mine = claim(1);
    let (grant, before) = pending(&own, &mine).await;
    own.store.renew(&grant, soon()).await.expect("renewed");
    let again = own.store.claim(&mine, soon()).await;
    assert!(matches!(again, Ok(Claimed::Acquired { grant: same, .. }) if same == grant), "{again:?}");
    assert_eq!(own.server.get(&own.record().await).await, Some(before), "the bytes have changed");
    let new = taken_over(&own, &mine).await;
    let before = own.server.get(&own.record().await).await.unwrap();
    assert_eq!(sent(&own, &new, large(b'n')).await, ["SET"], "a take-over is a claim, too");
    stands(&own, 1, &before, &large(b'n')).await;
    own.server.flush().await;
    let high_water = Some(idempotency_store::Fence::new(grant.fence.get() + 1_000_000_000));
    let (ahead, before) = pending(&own, &Claim { high_water, ..claim(2) }).await;
    assert!(Some(ahead.fence) > high_water);
    assert_eq!(sent(&own, &ahead, large(b'a')).await, ["SET"]);
    stands(&own, 2, &before, &large(b'a')).await;
}

/// An owner whose checkpoint was carried out and not answered does not know what stands. So do those that noted something.
#[tokio::test]
async fn rule_11_a_checkpoint_whose_reply_was_lost_leads_to_the_script() {
    let note = idempotency_store::Checkpoint::new("half done").unwrap();
    let (own, line) = valkey_behind_a_line().await;
    // The server learns the scripts.
    let warm = acquire(&own.store, &claim(200)).await;
    own.store.checkpoint(&warm, &note, soon()).await.expect("noted");
    recorded(&own.store, &warm, large(b'-')).await;
    for is_lost in [true, false] {
        own.server.flush().await;
        let grant = acquire(&own.store, &claim(1)).await;
        if is_lost {
            line.next(1, is_swap, LineFault::CutAfter);
        }
        let noted = own.store.checkpoint(&grant, &note, soon()).await;
        assert_eq!(noted.is_err(), is_lost, "{noted:?}");
        own.store.ping(soon()).await.expect("on a new line");
        let before = own.server.get(&own.record().await).await.unwrap();
        assert!(before[11] == 1 && before.ends_with(b"half done"), "the checkpoint was carried out");
        assert_eq!(sent(&own, &grant, large(b'a')).await, ["SET", "EVALSHA"]);
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

/// The script that replaces what was seen has four arguments, after its digest, the number of its keys and the key.
fn is_swap(command: &Command) -> bool {
    command.name() == "EVALSHA" && command.arguments().len() == 7
}

#[tokio::test]
async fn rule_11_a_superseded_owner_overwrites_nothing() {
    let own = on(Program::Valkey8).await;
    let mine = claim(1);
    let old = acquire(&own.store, &mine).await;
    let new = taken_over(&own, &mine).await;
    let before = own.server.get(&own.record().await).await.unwrap();
    for completion in [large(b'o'), sized(b'o', 3)] {
        let lost = own.store.complete(&old, &completion, soon()).await.unwrap();
        assert!(matches!(lost, Recorded::Lost(Loss::InFlight { .. })), "{lost:?}");
        assert_eq!(own.server.get(&own.record().await).await, Some(before.clone()), "the record is the new owner's");
    }
    recorded(&own.store, &new, large(b'n')).await;
    let lost = own.store.complete(&old, &large(b'o'), soon()).await.unwrap();
    assert!(matches!(lost, Recorded::Lost(Loss::Completed(_))), "{lost:?}");
    stands(&own, 1, &before, &large(b'n')).await;
}

#[tokio::test]
async fn rule_11_an_answer_whose_reply_was_lost_is_recorded_when_asked_again() {
    for fault in [LineFault::CutAfter, LineFault::CutBefore, LineFault::CutMidReply(1), LineFault::Garble] {
        let (own, line) = valkey_behind_a_line().await;
        let (grant, before) = pending(&own, &claim(1)).await;
        line.next(1, is_comparison, fault);
        let unheard = own.store.complete(&grant, &large(b'a'), soon()).await.expect_err("the line was cut");
        assert_eq!((unheard.kind(), line.struck.get()), (ErrorKind::Unknown, 1), "{unheard:?}");
        recorded(&own.store, &grant, large(b'a')).await;
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

#[tokio::test]
async fn rule_11_whatever_else_is_answered_leads_to_the_script() {
    for reply in [&b"-ERR syntax error\r\n"[..], b"$-1\r\n", b":1\r\n", b"+QUEUED\r\n", b"-OOM no\r\n"] {
        let (own, line) = valkey_behind_a_line().await;
        let (grant, before) = pending(&own, &claim(1)).await;
        line.next(1, is_comparison, LineFault::Answer(Bytes::from_static(reply)));
        recorded(&own.store, &grant, large(b'a')).await;
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

#[tokio::test]
async fn rule_11_a_full_server_is_given_the_answer_by_the_script() {
    a_full_server_is_given_the_answer_by_the_script(Program::Valkey8).await;
}

/// Whether a server compares is found out by trying, and not by what it says that it is.
#[tokio::test]
async fn rule_11_a_server_that_does_not_compare_is_not_asked_to() {
    for reply in [&b"-ERR syntax error\r\n"[..], b"+OK\r\n", b"$-1\r\n"] {
        let server = RedisServer::start(RedisOptions::default().program(Program::Valkey8)).await;
        let line = RedisProxy::to(server.address()).await;
        line.set(is_comparison, LineFault::Answer(Bytes::from_static(reply)));
        let store = RedisStore::connect(&line.url()).await.expect("a server that is good enough");
        let tried = line.struck.get();
        server.flush().await;
        let own = Own { server, store };
        let (grant, before) = pending(&own, &claim(1)).await;
        assert_eq!(sent(&own, &grant, large(b'a')).await, ["SET", "EVALSHA"], "staged instead");
        assert_eq!(line.struck.get(), tried);
        stands(&own, 1, &before, &large(b'a')).await;
    }
}

/// It is greeted again when its line is made anew.
#[tokio::test]
async fn a_server_that_was_full_when_it_was_greeted_has_answers_carried() {
    for program in [Program::System, Program::Valkey8] {
        let server = RedisServer::start(RedisOptions::default().program(program)).await;
        server.config_set("maxmemory", "1").await;
        let store = RedisStore::connect(&server.url()).await.expect("it can be read");
        server.config_set("maxmemory", "0").await;
        let own = Own { server, store };
        let (grant, before) = pending(&own, &claim(1)).await;
        assert_eq!(sent(&own, &grant, large(b'a')).await, ["EVALSHA", "EVAL"], "{program:?}");
        stands(&own, 1, &before, &large(b'a')).await;
    }
}
