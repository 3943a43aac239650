//! What does not depend on how fast the machine is: allocations, commands, bytes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use redis::{Value, cmd};

use super::leg::{Subject, checked};
use super::process::{Generator, Server, Wrapper};
use super::redis_server::RedisServer;
use crate::Outcome;
use crate::load::{Keys, count};
use crate::server::{ALLOCATIONS, Kind};

/// Blocks that are asked for, or asked to grow, per request.
///
/// # Errors
///
/// The server cannot be measured.
pub fn allocations(subject: &Subject, redis: &RedisServer) -> Outcome<f64> {
    redis.flush()?;
    let server = Server::start(subject.kind, subject.answer, &redis.url(), Wrapper::Counting)?;
    let subject = |requests| Subject { connections: 16, requests: Some(requests), ..*subject };
    // Connections and buffers are there after the first run.
    let few = allocated_by(&server, &subject(1_000))?;
    let many = allocated_by(&server, &subject(5_000))?;
    server.stop()?;
    Ok(count(many.saturating_sub(few)) / 4_000.0)
}

fn allocated_by(server: &Server, subject: &Subject) -> Outcome<u64> {
    let before = allocated(server.address)?;
    checked(Generator::start(server.address, subject)?.run()?, subject)?;
    Ok(allocated(server.address)? - before)
}

fn allocated(address: SocketAddr) -> Outcome<u64> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {ALLOCATIONS} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().ok_or("an answer has a body")?.trim().parse()?)
}

/// Commands that clients sent to Redis per request, those that scripts ran not counted, and without the clock that the store
/// reads every few seconds.
///
/// # Errors
///
/// The server cannot be measured.
pub fn commands(subject: &Subject, redis: &RedisServer) -> Outcome<f64> {
    let requests = 500;
    let sent = sent(subject, redis, requests)?;
    Ok(count(u64::try_from(sent.len())?) / count(requests))
}

/// The names of these commands.
///
/// # Errors
///
/// The server cannot be measured.
pub fn sent(subject: &Subject, redis: &RedisServer, requests: u64) -> Outcome<Vec<String>> {
    redis.flush()?;
    let server = Server::start(subject.kind, subject.answer, &redis.url(), Wrapper::None)?;
    // The server learns the script.
    let warm = Subject { keys: Keys::Unique, requests: Some(10), ..*subject };
    Generator::start(server.address, &warm)?.run()?;
    let subject = Subject { connections: 16, requests: Some(requests), ..*subject };
    let generator = Generator::start(server.address, &subject)?;
    let mut monitor = redis.connect()?;
    monitor.set_read_timeout(Some(Duration::from_secs(10)))?;
    monitor.send_packed_command(&cmd("MONITOR").get_packed_command())?;
    monitor.recv_response()?;
    checked(generator.run()?, &subject)?;
    redis.ask::<String>(&["ECHO", END])?;
    let mut sent = Vec::new();
    loop {
        let line: String = match monitor.recv_response()? {
            Value::SimpleString(line) => line,
            other => redis::from_redis_value(other)?,
        };
        if line.contains(END) {
            break;
        }
        sent.extend(name(&line).filter(|name| name != "TIME"));
    }
    server.stop()?;
    Ok(sent)
}

const END: &str = "end-of-measurement";

/// The command of a line such as `1700000000.123456 [0 127.0.0.1:5000] "SET" ..`; nothing of what a script ran.
fn name(line: &str) -> Option<String> {
    let (head, rest) = line.split_once("] ")?;
    let name = rest.split('"').nth(1)?;
    (!head.ends_with(" lua")).then(|| name.to_ascii_uppercase())
}

const KEYS: u64 = 20_000;

/// The bytes that Redis uses for a key with a recorded answer.
///
/// # Errors
///
/// The server cannot be measured.
pub fn bytes_per_key(answer: usize, redis: &RedisServer) -> Outcome<f64> {
    redis.flush()?;
    let subject = Subject { answer, requests: Some(KEYS), ..Subject::first(Kind::Redis) };
    let server = Server::start(subject.kind, answer, &redis.url(), Wrapper::None)?;
    let generator = Generator::start(server.address, &subject)?;
    // The server learns the script, and its connection gets its buffers.
    Generator::start(server.address, &Subject { requests: Some(1_000), ..subject })?.run()?;
    redis.flush()?;
    let before = redis.used_memory()?;
    checked(generator.run()?, &subject)?;
    let used = redis.used_memory()?.saturating_sub(before);
    server.stop()?;
    Ok(count(used) / count(KEYS))
}

/// The bytes that Redis uses for the answer alone, with an expiry and a name of 41 bytes.
///
/// # Errors
///
/// As the client's.
pub fn bytes_per_plain_key(answer: usize, redis: &RedisServer) -> Outcome<f64> {
    redis.flush()?;
    let mut connection = redis.connect()?;
    let before = redis.used_memory()?;
    let value = vec![b'a'; answer];
    for keys in (0..KEYS).collect::<Vec<_>>().chunks(500) {
        let mut batch = redis::pipe();
        for key in keys {
            batch.cmd("SET").arg(format!("idem:{key:036}")).arg(&value).arg("PX").arg(86_400_000).ignore();
        }
        batch.exec(&mut connection)?;
    }
    Ok(count(redis.used_memory()?.saturating_sub(before)) / count(KEYS))
}
