//! Asks one node what it is. Everything that it may not be asked stays unknown; only a broken connection is an error.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisError, RedisResult, cmd};

use super::facts::{ClusterFacts, Facts, Look, Probe, Rights, Role, SentinelFacts, Skew, Transport};
use super::settings::Setting;
use crate::redis::Scripting;
use crate::redis::greeting::time;
use crate::redis::line::ask;
use crate::redis::script::Scripts;

/// What the store sends, as it would be sent: a command's name and its arguments. `{}` stands for a key.
const NEEDED: [(&str, &[&str]); 10] = [
    ("SET", &["{}", "value", "NX", "GET", "PX", "1000"]),
    ("GET", &["{}"]),
    ("GETRANGE", &["{}", "0", "1"]),
    ("PTTL", &["{}"]),
    ("PEXPIRE", &["{}", "1000"]),
    ("EVALSHA", &["0000000000000000000000000000000000000000", "1", "{}"]),
    ("EVAL", &["return 1", "1", "{}"]),
    ("TIME", &[]),
    ("PING", &[]),
    ("INFO", &[]),
];

/// What the store sends only where it may send scripts of its own.
const EVAL_ONLY: [&str; 4] = ["EVALSHA", "EVAL", "PING", "INFO"];

/// Where it is asked, and as whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inquiry<'a> {
    /// The prefix of the store's keys.
    pub(crate) prefix: &'a str,
    pub(crate) scripts: &'a Scripts,
    pub(crate) transport: &'a Transport,
}

/// Everything that the node says of itself.
pub(crate) async fn gather(connection: &mut MultiplexedConnection, inquiry: Inquiry<'_>) -> RedisResult<Facts> {
    let mut facts = vitals(connection, inquiry.scripts).await?;
    facts.transport = Some(inquiry.transport.clone());
    if facts.role.is_none() {
        let role = say::<Vec<redis::Value>>(connection, &mut facts, "ROLE", &cmd("ROLE")).await?;
        let role = role.and_then(|role| role.into_iter().next());
        facts.role = role.and_then(|role| String::from_redis_value(role).ok()).map(|role| Role::read(&role));
    }
    settings(connection, &mut facts).await?;
    if facts.is_cluster == Some(true) {
        facts.cluster = Some(cluster(connection, &mut facts).await?);
    }
    // Nothing is written; the shebang is that of the store's scripts.
    let (at, script) = match inquiry.scripts.scripting {
        Scripting::Eval => ("EVAL", cmd("EVAL").arg("#!lua flags=allow-oom\nreturn 1").arg(0).to_owned()),
        Scripting::Functions => ("FCALL", inquiry.scripts.time()),
    };
    facts.scripts = probe(connection, &mut facts, at, &script).await?;
    facts.rights = rights(connection, &mut facts, inquiry).await?;
    Ok(facts)
}

/// What changes while the server runs: to be asked every now and then.
pub(crate) async fn vitals(connection: &mut MultiplexedConnection, scripts: &Scripts) -> RedisResult<Facts> {
    let mut facts = Facts::default();
    if let Some(info) = say::<String>(connection, &mut facts, "INFO", &cmd("INFO")).await? {
        facts.read_info(&info);
    }
    facts.clock = skew(connection, scripts, &mut facts).await?;
    Ok(facts)
}

/// What a Sentinel says of the master of this name.
pub(crate) async fn sentinel(connection: &mut MultiplexedConnection, master: &str) -> RedisResult<SentinelFacts> {
    let quorum = match ask(connection, cmd("SENTINEL").arg("CKQUORUM").arg(master)).await {
        Ok(_) => Some(Ok(())),
        Err(error) => {
            let code = refusal(&error).map(str::to_owned).ok_or(error)?;
            (code == "NOQUORUM").then_some(Err(code))
        }
    };
    let mut unnoted = Facts::default();
    let replicas = cmd("SENTINEL").arg("REPLICAS").arg(master).to_owned();
    let replicas =
        say::<Vec<HashMap<String, String>>>(connection, &mut unnoted, "SENTINEL REPLICAS", &replicas).await?;
    let priority = |replica: HashMap<String, String>| replica.get("slave-priority")?.parse().ok();
    Ok(SentinelFacts { quorum, priorities: replicas.map(|them| them.into_iter().filter_map(priority).collect()) })
}

async fn skew(
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    facts: &mut Facts,
) -> RedisResult<Option<Skew>> {
    let asked = wall_clock();
    let answer = time(connection, scripts).await;
    let answered = wall_clock();
    let server = note(facts, "TIME", answer)?.flatten();
    Ok(server.map(|server| Skew::measured(server.as_micros(), asked, answered)))
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One question for all: a user who may ask for one may ask for each.
async fn settings(connection: &mut MultiplexedConnection, facts: &mut Facts) -> RedisResult<()> {
    let mut config = cmd("CONFIG");
    config.arg("GET");
    for setting in Setting::ALL.into_iter().filter(|setting| setting.is_of_servers()) {
        config.arg(setting.name());
    }
    let values = say::<Vec<(String, String)>>(connection, facts, "CONFIG GET", &config).await?;
    for (name, value) in values.into_iter().flatten() {
        if let Some(setting) = Setting::named(&name) {
            facts.settings.set(setting, value);
        }
    }
    Ok(())
}

async fn cluster(connection: &mut MultiplexedConnection, facts: &mut Facts) -> RedisResult<ClusterFacts> {
    let mut cluster = ClusterFacts::default();
    if let Some(info) = say::<String>(connection, facts, "CLUSTER INFO", cmd("CLUSTER").arg("INFO")).await? {
        cluster.read_info(&info);
    }
    if let Some(nodes) = say::<String>(connection, facts, "CLUSTER NODES", cmd("CLUSTER").arg("NODES")).await? {
        cluster.read_nodes(&nodes);
    }
    Ok(cluster)
}

async fn rights(
    connection: &mut MultiplexedConnection,
    facts: &mut Facts,
    inquiry: Inquiry<'_>,
) -> RedisResult<Option<Rights>> {
    let Some(user) = say::<String>(connection, facts, "ACL WHOAMI", cmd("ACL").arg("WHOAMI")).await? else {
        return Ok(None);
    };
    let mut rights = Rights { user, ..Rights::default() };
    let key = format!("{}:{{doctor}}", inquiry.prefix);
    let mut missing = Vec::new();
    let calls_only = inquiry.scripts.scripting == Scripting::Functions;
    for (name, arguments) in NEEDED.into_iter().filter(|(name, _)| !calls_only || !EVAL_ONLY.contains(name)) {
        let arguments = arguments.iter().map(|argument| if *argument == "{}" { key.as_str() } else { argument });
        match may(connection, facts, &rights.user, name, arguments).await? {
            Some(true) => {}
            Some(false) => missing.push(name),
            // Not asked any more: whoever may not ask once may not ask again.
            None => return Ok(Some(rights)),
        }
    }
    rights.missing = Some(missing);
    rights.may_flush = may(connection, facts, &rights.user, "FLUSHALL", []).await?;
    rights.reads_all_keys = may(connection, facts, &rights.user, "GET", ["a-key-of-nobody"]).await?;
    Ok(Some(rights))
}

/// Whether the user may send this, without sending it.
async fn may<'a>(
    connection: &mut MultiplexedConnection,
    facts: &mut Facts,
    user: &str,
    name: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> RedisResult<Option<bool>> {
    let mut dry_run = cmd("ACL");
    dry_run.arg("DRYRUN").arg(user).arg(name);
    for argument in arguments {
        dry_run.arg(argument);
    }
    let answer = say::<String>(connection, facts, "ACL DRYRUN", &dry_run).await?;
    Ok(answer.map(|answer| answer == "OK"))
}

async fn probe(
    connection: &mut MultiplexedConnection,
    facts: &mut Facts,
    at: &'static str,
    command: &Cmd,
) -> RedisResult<Probe> {
    match ask(connection, command).await {
        Ok(_) => {
            facts.look(at, None);
            Ok(Probe::Works)
        }
        Err(error) => {
            let code = refusal(&error).map(str::to_owned).ok_or(error)?;
            facts.look(at, Some(code.clone()));
            Ok(match code.as_str() {
                "NOPERM" => Probe::Forbidden,
                // It would run: the server only does not write at the moment.
                "READONLY" | "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" => Probe::Unknown,
                _ => Probe::Fails(code),
            })
        }
    }
}

/// What the server says, if it does; noted either way.
async fn say<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    facts: &mut Facts,
    at: &'static str,
    command: &Cmd,
) -> RedisResult<Option<T>> {
    let answer = ask(connection, command).await;
    Ok(note(facts, at, answer)?.and_then(|value| redis::from_redis_value(value).ok()))
}

fn note<T>(facts: &mut Facts, at: &'static str, answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(value) => {
            facts.look(at, None);
            Ok(Some(value))
        }
        Err(error) => {
            let code = refusal(&error).map(str::to_owned).ok_or(error)?;
            facts.look(at, Some(code));
            Ok(None)
        }
    }
}

/// The code of an error that the server answered with.
fn refusal(error: &RedisError) -> Option<&str> {
    error.code()
}

impl Facts {
    fn look(&mut self, at: &'static str, refused: Option<String>) {
        let look = Look { at, refused };
        if !self.looks.contains(&look) {
            self.looks.push(look);
        }
    }
}

impl Transport {
    /// How this gets to the server, without saying who.
    pub(crate) fn of(info: &ConnectionInfo) -> Self {
        let (is_local, is_encrypted) = match info.addr() {
            ConnectionAddr::Tcp(host, _) => (is_loopback(host), false),
            ConnectionAddr::TcpTls { host, .. } => (is_loopback(host), true),
            _ => (true, false),
        };
        Self { is_local, is_encrypted, has_password: info.redis_settings().password().is_some() }
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    #[test]
    fn the_way_to_the_server_is_known_by_its_address() {
        let transport = |url: &str| Transport::of(&url.into_connection_info().unwrap());
        let local = Transport { is_local: true, is_encrypted: false, has_password: false };
        for url in ["redis://localhost", "redis://127.0.0.2:7", "redis://[::1]:6379", "unix:///run/redis.sock"] {
            assert_eq!(transport(url), local, "{url}");
        }
        let far = Transport { is_local: false, ..local };
        assert_eq!(transport("redis://10.0.0.1"), far);
        let guarded = Transport { is_encrypted: true, has_password: true, ..far };
        assert_eq!(transport("rediss://app:secret@redis.example"), guarded);
    }
}
