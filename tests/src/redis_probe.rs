//! What tests ask of a [`RedisServer`], count at it, and damage in it. Nothing here ever empties a server.

use std::time::Duration;

use std::collections::BTreeMap;

use futures_util::StreamExt;
use redis::{Cmd, FromRedisValue, ToRedisArgs, cmd};

use crate::{RedisServer, within};

/// What a server was sent while something happened ([`RedisServer::commands_during`]): each command as `MONITOR` shows it, quoted.
#[derive(Clone, Debug)]
pub struct Commands<T> {
    /// What the happening came to.
    pub output: T,
    /// What clients sent, in the server's order.
    pub sent: Vec<String>,
    /// What scripts called.
    pub inner: Vec<String>,
}

impl<T> Commands<T> {
    /// The names of what clients sent.
    pub fn names(&self) -> Vec<String> {
        self.sent.iter().map(|command| name(command)).collect()
    }

    /// The names of what scripts called.
    pub fn inner_names(&self) -> Vec<String> {
        self.inner.iter().map(|command| name(command)).collect()
    }
}

/// `"set" "key"` is a `SET`.
fn name(command: &str) -> String {
    command.split('"').nth(1).unwrap_or_default().to_ascii_uppercase()
}

impl RedisServer {
    /// Listens to everything that reaches the server until `happening` is over; administrative commands are not shown.
    pub async fn commands_during<T>(&self, happening: impl Future<Output = T>) -> Commands<T> {
        const END: &str = "the-happening-is-over";
        let mut last = self.connection().await;
        let monitor = self.client().get_async_monitor().await.expect("redis-server accepts a MONITOR");
        let output = happening.await;
        cmd("ECHO").arg(END).query_async::<()>(&mut last).await.expect("redis-server answers");
        let lines = monitor.into_on_message::<String>();
        let mut lines = lines.take_while(|line| std::future::ready(!line.contains(END))).boxed();
        let mut seen = Commands { output, sent: Vec::new(), inner: Vec::new() };
        while let Some(line) = within("MONITOR shows the end", lines.next()).await {
            let (origin, command) = line.split_once("] ").expect("TIME [DATABASE ORIGIN] COMMAND");
            let whose = if origin.ends_with(" lua") { &mut seen.inner } else { &mut seen.sent };
            whose.push(command.to_owned());
        }
        seen
    }

    /// How often each command was called since the server started, by its name in small letters; scripts' calls included.
    pub async fn commandstats(&self) -> BTreeMap<String, u64> {
        let info: String = self.ask(cmd("INFO").arg("commandstats")).await;
        let stat = |line: &str| {
            let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, _rest) = stats.split_once(',')?;
            Some((name.to_owned(), calls.parse().ok()?))
        };
        info.lines().filter_map(stat).collect()
    }

    /// A field of `INFO`, such as `evicted_keys`.
    pub async fn info(&self, field: &str) -> String {
        let info: String = self.ask(cmd("INFO").arg("everything")).await;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
    }

    /// How many bytes the key and its value take.
    pub async fn memory_usage(&self, key: &str) -> u64 {
        self.ask(cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0)).await
    }

    /// Changes a setting until the next restart.
    pub async fn config_set(&self, name: &str, value: &str) {
        self.ask::<()>(cmd("CONFIG").arg("SET").arg(name).arg(value)).await;
    }

    /// Has it forget every script, as a fail-over does.
    pub async fn script_flush(&self) {
        self.ask::<()>(cmd("SCRIPT").arg("FLUSH").arg("SYNC")).await;
    }

    /// Forgets everything, as a server does that restarts without its file.
    pub async fn flush(&self) {
        self.ask::<()>(&cmd("FLUSHALL")).await;
    }

    /// Makes every key older by as much as is taken from its expiry.
    pub async fn age(&self, by: Duration) {
        for key in self.keys("").await {
            let left: i64 = self.ask(cmd("PTTL").arg(&key)).await;
            let by = i64::try_from(by.as_millis()).expect("a short time");
            self.ask::<()>(cmd("PEXPIRE").arg(&key).arg(left - by)).await;
        }
    }

    /// The keys that begin with `prefix`, sorted.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut connection = self.connection().await;
        let mut scan = cmd("SCAN");
        scan.cursor_arg(0).arg("COUNT").arg(1000);
        let found = scan.iter_async::<String>(&mut connection).await.expect("redis-server answers");
        let found = found.map(|key| key.expect("a key of plain characters"));
        let mut keys: Vec<_> = found.filter(|key| std::future::ready(key.starts_with(prefix))).collect().await;
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The bytes at a key.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.ask(cmd("GET").arg(key)).await
    }

    /// Puts these bytes at a key, for ever.
    pub async fn set(&self, key: &str, value: impl ToRedisArgs) {
        self.ask::<()>(cmd("SET").arg(key).arg(value)).await;
    }

    /// Puts these bytes at a key that there is, and leaves its expiry as it was.
    pub async fn overwrite(&self, key: &str, value: impl ToRedisArgs) {
        let done: Option<String> = self.ask(cmd("SET").arg(key).arg(value).arg("XX").arg("KEEPTTL")).await;
        assert!(done.is_some(), "there is no {key}");
    }

    /// Removes a key's expiry.
    pub async fn persist(&self, key: &str) {
        let removed: bool = self.ask(cmd("PERSIST").arg(key)).await;
        assert!(removed, "{key} has no expiry");
    }

    /// The milliseconds until a key expires; -1 if it never does, -2 if there is none.
    pub async fn pttl(&self, key: &str) -> i64 {
        self.ask(cmd("PTTL").arg(key)).await
    }

    /// Sends any command on a connection of its own.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        // On the heap: connecting over TLS takes more room than many of these together should.
        let asked = Box::pin(async { command.query_async(&mut self.connection().await).await });
        let answer = within("redis-server answers", asked).await;
        answer.unwrap_or_else(|error| panic!("redis-server refuses {}: {error}", command_name(command)))
    }
}

fn command_name(command: &Cmd) -> String {
    let first = command.args_iter().next();
    match first {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}
