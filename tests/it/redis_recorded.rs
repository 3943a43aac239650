//! What stands in Redis when an answer is recorded, whichever way it took: what the transition that all stores share makes of
//! the record, byte for byte. A client makes that ahead, from its grant, and the scripts make it of what stands where that is
//! something else.

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::record;
use idempotency_store::{
    Abandoned, Answer, Attempt, Checkpoint, Claim, Claimed, Completion, Fence, Fingerprint, Grant, OnAbandoned, Owner,
    Reason, Recorded, RedisConfig, RedisStore, Retention, Scripting, Store, StoreTime, Terms, codec,
};
use idempotency_tests::{Program, RedisOptions, RedisServer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::cmd;

use crate::redis_own::{Own, acquire, claim, soon};

const DRAWS: usize = 200;

/// What has become of a record since it was granted.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// Nothing: it is as the claim wrote it.
    Nothing,
    /// The same, by an owner who took over.
    TakenOver,
    Noted,
    Abandoned,
    /// Somebody wrote bytes that say something else, from this offset on: the time, which a completion replaces; or what it
    /// leaves as it is.
    Overwritten(&'static [usize]),
}

const TIME: &[usize] = &[0, 7];
const ATTEMPTS: &[usize] = &[15];
/// The last bytes of both, which keep them sensible.
const TERMS: &[usize] = &[31, 39];
const FINGERPRINT: &[usize] = &[72, 103];

const CHANGES: [Since; 9] = [
    Since::Nothing,
    Since::Nothing,
    Since::TakenOver,
    Since::Noted,
    Since::Abandoned,
    Since::Overwritten(TIME),
    Since::Overwritten(ATTEMPTS),
    Since::Overwritten(TERMS),
    Since::Overwritten(FINGERPRINT),
];

fn draw_claim(dice: &mut StdRng) -> Claim {
    let lease = Duration::from_millis(dice.random_range(1_000..200_000));
    let retention = lease * 2 + Duration::from_millis(dice.random_range(120_000..90_000_000));
    let attempt = Attempt { fingerprint: Fingerprint::new(dice.random()), ..claim(dice.random()).attempt };
    let high_water = dice.random::<bool>().then(|| Fence::new(dice.random_range(0..u64::MAX / 2)));
    let on_abandoned = OnAbandoned::Reexecute { max_attempts: 9.try_into().unwrap() };
    Claim { attempt, terms: Terms::new(lease, retention).unwrap(), high_water, on_abandoned }
}

fn draw_completion(grant: &Grant, dice: &mut StdRng) -> Completion {
    // On both sides of what is staged.
    let size = if dice.random_range(0..3) == 0 { dice.random_range(2048..9000) } else { dice.random_range(0..2048) };
    let bytes: Bytes = (0..size).map(|_| dice.random::<u8>()).collect::<Vec<_>>().into();
    let retention = match dice.random_range(0..4) {
        0 => Some(Duration::from_millis(dice.random_range(60_000..90_000_000))),
        // Its own, and no other than the grant's.
        1 => Some(grant.terms.retention()),
        _ => None,
    };
    let answer = if dice.random() { Answer::Kept(bytes) } else { Answer::NotKept(bytes) };
    Completion { answer, retention: retention.map(|retention| Retention::new(retention).unwrap()) }
}

async fn happens(own: &Own, grant: Grant, claim: &Claim, since: Since, dice: &mut StdRng) -> Grant {
    let name = own.store.name_of(&claim.attempt.key);
    match since {
        Since::Nothing => grant,
        Since::TakenOver => {
            own.server.age(claim.terms.lease()).await;
            let attempt = Attempt { owner: Owner::random().unwrap(), ..claim.attempt };
            acquire(&own.store, &Claim { attempt, ..*claim }).await
        }
        Since::Noted => {
            let note = Checkpoint::new("half done").unwrap();
            own.store.checkpoint(&grant, &note, soon()).await.expect("noted");
            grant
        }
        Since::Abandoned => {
            let reason = Reason::Shutdown;
            assert_eq!(own.store.abandon(&grant, reason, soon()).await.expect("abandoned"), Abandoned::Abandoned);
            grant
        }
        Since::Overwritten(offsets) => {
            for offset in offsets {
                let byte = [dice.random::<u8>()];
                own.server.ask::<u64>(cmd("SETRANGE").arg(&name).arg(*offset).arg(&byte[..])).await;
            }
            grant
        }
    }
}

/// Fails unless what stands is what the transition makes of what stood.
async fn stands(own: &Own, before: Vec<u8>, grant: &Grant, completion: &Completion, drawn: &str) {
    let key = grant.attempt.key;
    let name = own.store.name_of(&key);
    assert_eq!(own.server.keys("idem:{").await, [&*name], "something was left beside the record: {drawn}");
    let stands = own.server.get(&name).await.expect("a record");
    let at = StoreTime::from_micros(u64::from_be_bytes(stands[..8].try_into().unwrap()));
    let stood = codec::decode(&key, at, &Bytes::from(before).slice(8..)).expect("a record");
    let expected = record::complete(Some(&stood), at, at, grant, completion).write.expect("it is the owner's");
    assert!(stands[8..] == codec::encode(&key, &expected), "not what the transition writes: {drawn}");

    let now: (u64, u64) = own.server.ask(&cmd("TIME")).await;
    let age = StoreTime::from_micros(now.0 * 1_000_000 + now.1).since(at);
    assert!(!age.is_zero() && age < Duration::from_secs(60), "recorded {age:?} ago: {drawn}");
    let life = i64::try_from(expected.terms.retention().as_millis()).unwrap();
    let left = own.server.pttl(&name).await;
    assert!((life - 60_000..=life).contains(&left), "{left} of {life} ms are left: {drawn}");
}

async fn is_what_the_transition_makes(own: Own) {
    let seed = rand::random();
    let dice = &mut StdRng::seed_from_u64(seed);
    for draw in 0..DRAWS {
        let since = CHANGES[draw % CHANGES.len()];
        let claim = draw_claim(dice);
        let grant = acquire(&own.store, &claim).await;
        let grant = happens(&own, grant, &claim, since, dice).await;
        let completion = draw_completion(&grant, dice);
        let drawn = format!("seed {seed}, draw {draw}: {since:?}, {grant:?}, {completion:?}");
        let before = own.server.get(&own.store.name_of(&claim.attempt.key)).await.expect("a record");
        let recorded = own.store.complete(&grant, &completion, soon()).await.expect("the store answers");
        assert_eq!(recorded, Recorded::Recorded, "{drawn}");
        stands(&own, before, &grant, &completion, &drawn).await;
        own.server.flush().await;
    }
}

async fn on(program: Program) -> Own {
    Own::with(RedisOptions::default().program(program)).await
}

#[tokio::test]
async fn what_is_recorded_is_what_the_transition_makes_by_script_and_stage() {
    is_what_the_transition_makes(on(Program::System).await).await;
}

#[tokio::test]
async fn what_is_recorded_is_what_the_transition_makes_on_redis_8() {
    is_what_the_transition_makes(on(Program::Redis8).await).await;
}

#[tokio::test]
async fn what_is_recorded_is_what_the_transition_makes_by_comparison() {
    is_what_the_transition_makes(on(Program::Valkey8).await).await;
}

/// With the library that its text is replaced in.
async fn with_functions(library: impl FnOnce(String) -> String) -> Own {
    let server = RedisServer::start(RedisOptions::default()).await;
    let library = library(RedisStore::function_library());
    server.ask::<()>(cmd("FUNCTION").arg("LOAD").arg(library)).await;
    let config = RedisConfig::new(&server.url()).unwrap().scripting(Scripting::Functions);
    let store = RedisStore::connect_with(config).await.expect("a server with functions");
    server.flush().await;
    Own { server, store }
}

#[tokio::test]
async fn what_is_recorded_is_what_the_transition_makes_by_function() {
    is_what_the_transition_makes(with_functions(|library| library).await).await;
}

/// Nothing is cut to pieces and put together again where what stands is what the client takes for granted.
#[tokio::test]
async fn what_stands_as_it_was_granted_is_replaced_as_a_whole() {
    let rest = "if not record or ";
    let own = with_functions(|library| {
        assert_eq!(library.matches(rest).count(), 1);
        library.replace(rest, &format!("if true then return redis.error_reply('ERR it does more') end\n{rest}"))
    })
    .await;
    let dice = &mut StdRng::seed_from_u64(rand::random());
    for since in [Since::Nothing, Since::TakenOver] {
        let claim = draw_claim(dice);
        let grant = acquire(&own.store, &claim).await;
        let grant = happens(&own, grant, &claim, since, dice).await;
        own.store.renew(&grant, soon()).await.expect("renewed");
        let completion = Completion { answer: Answer::Kept("small".into()), ..draw_completion(&grant, dice) };
        let recorded = own.store.complete(&grant, &completion, soon()).await.expect("the store answers");
        assert_eq!(recorded, Recorded::Recorded);
    }
}

/// What an administrator may have loaded before the client made the record: it was made of these, in the server.
const OF_BEFORE: &str = r"
redis.register_function{function_name='idem_v1_complete', flags={'allow-oom'}, callback=function(KEYS, ARGV)
  local head = redis.call('GETRANGE', KEYS[1], 0, 103)
  if #head < 104 or head:byte(9) ~= 1 or head:sub(17, 24) .. head:sub(41, 56) ~= ARGV[1] then return 0 end
  local record = ARGV[2] .. head:sub(9, 9) .. ARGV[3] .. '\0\0' .. head:sub(13, 104) .. ARGV[4]
  redis.call('SET', KEYS[1], record, 'PX', 3600000)
  return 1
end}
";

/// It takes the client for one that does not hold the key, and the answer goes the way that all transitions go.
#[tokio::test]
async fn a_function_of_before_writes_nothing_and_the_answer_is_recorded() {
    let before = |library: String| library.replace("'idem_v1_complete'", "'idem_v1_other'") + OF_BEFORE;
    is_what_the_transition_makes(with_functions(before).await).await;
}

/// And a client of before is taken for one that does not hold the key.
#[tokio::test]
async fn a_client_of_before_is_told_that_the_key_is_not_his() {
    let own = with_functions(|library| library).await;
    let grant = acquire(&own.store, &claim(1)).await;
    let name = own.store.name_of(&grant.attempt.key);
    let record = own.server.get(&name).await.expect("a record");
    let holder = [&record[16..24], &record[40..56]].concat();
    let retention: [&[u8]; 2] = [b"", &record[32..40]];
    for retention in retention {
        let mut call = cmd("FCALL");
        call.arg("idem_v1_complete").arg(1).arg(&name).arg(&holder);
        call.arg(&record[..8]).arg(&[2_u8]).arg("the answer").arg(retention);
        assert_eq!(own.server.ask::<u64>(&call).await, 0);
        assert_eq!(own.server.get(&name).await.as_ref(), Some(&record), "it was written to");
    }
    let claimed = own.store.claim(&claim(1), soon()).await;
    assert!(matches!(claimed, Ok(Claimed::InFlight { .. })), "{claimed:?}");
}
