//! Which servers a URL means: one, the master that Sentinels name, or a Cluster.

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::config::RedisConfigError;

/// The servers of a URL. What is not an address is the same for all of them.
#[derive(Clone)]
pub(super) enum Servers {
    One(ConnectionInfo),
    Sentinel(Sentinels),
    /// How to talk to its nodes, and some of them.
    Cluster(ConnectionInfo, Vec<ConnectionInfo>),
}

/// The Sentinels, and what they are asked for.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) addresses: Vec<ConnectionInfo>,
    pub(super) master: Box<str>,
    /// How to talk to the master, whose address they know.
    pub(super) like: ConnectionInfo,
}

const KINDS: [(&str, &str, Kind); 4] = [
    ("redis+sentinel://", "redis://", Kind::Sentinel),
    ("rediss+sentinel://", "rediss://", Kind::Sentinel),
    ("redis+cluster://", "redis://", Kind::Cluster),
    ("rediss+cluster://", "rediss://", Kind::Cluster),
];

/// What the client takes for one server.
const ONE: [&str; 6] = ["redis://", "rediss://", "unix://", "redis+unix://", "valkey://", "valkeys://"];

#[derive(Clone, Copy)]
enum Kind {
    Sentinel,
    Cluster,
}

impl Servers {
    /// `query` is what the client itself is told.
    pub(super) fn of(url: &str, query: &str) -> Result<Self, RedisConfigError> {
        let several = KINDS.iter().find_map(|(name, scheme, kind)| Some((url.strip_prefix(name)?, *scheme, *kind)));
        match several {
            Some((rest, scheme, Kind::Sentinel)) => Sentinels::of(scheme, rest, query).map(Self::Sentinel),
            Some((rest, scheme, Kind::Cluster)) => cluster(scheme, rest, query),
            None if ONE.iter().any(|scheme| url.starts_with(scheme)) => info(&format!("{url}{query}")).map(Self::One),
            None => Err(RedisConfigError::Scheme),
        }
    }

    /// Addresses for people.
    pub(super) fn addresses(&self) -> String {
        let list =
            |infos: &[ConnectionInfo]| infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",");
        match self {
            Self::One(info) => info.addr().to_string(),
            Self::Sentinel(sentinels) => format!("{}/{}", list(&sentinels.addresses), sentinels.master),
            Self::Cluster(_, seeds) => list(seeds),
        }
    }
}

impl Sentinels {
    fn of(scheme: &str, rest: &str, query: &str) -> Result<Self, RedisConfigError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (master, database) = path.split_once('/').map_or((path, None), |(master, number)| (master, Some(number)));
        if master.is_empty() {
            return Err(RedisConfigError::MasterName);
        }
        let (credentials, hosts) = parts(authority);
        let addresses =
            hosts.split(',').map(|host| info(&format!("{scheme}{host}{query}"))).collect::<Result<Vec<_>, _>>()?;
        let first = hosts.split(',').next().unwrap_or_default();
        let database = database.map(|number| format!("/{number}")).unwrap_or_default();
        let like = info(&format!("{scheme}{credentials}{first}{database}{query}"))?;
        Ok(Self { addresses, master: master.into(), like })
    }

    /// With this user and password at the Sentinels.
    pub(super) fn authenticated(mut self, user: Option<&str>, password: &str) -> Self {
        for sentinel in &mut self.addresses {
            let settings = sentinel.redis_settings().clone().set_password(password);
            let settings = user.map_or_else(|| settings.clone(), |user| settings.clone().set_username(user));
            *sentinel = sentinel.clone().set_redis_settings(settings);
        }
        self
    }
}

fn cluster(scheme: &str, rest: &str, query: &str) -> Result<Servers, RedisConfigError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(path, "" | "0") {
        return Err(RedisConfigError::ClusterDatabase);
    }
    let (credentials, hosts) = parts(authority);
    let node = |host| info(&format!("{scheme}{credentials}{host}{query}"));
    let first = node(hosts.split(',').next().unwrap_or_default())?;
    Ok(Servers::Cluster(first, hosts.split(',').map(node).collect::<Result<_, _>>()?))
}

/// User and password with the `@` behind them, and the hosts.
fn parts(authority: &str) -> (&str, &str) {
    authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1))
}

fn info(url: &str) -> Result<ConnectionInfo, RedisConfigError> {
    let info = url.into_connection_info().map_err(RedisConfigError::Url)?;
    // Without it, Nagle's algorithm holds back a command until the previous reply has been acknowledged.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// The server at another address, talked to in the same way.
pub(super) fn like(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn sentinels(url: &str) -> Sentinels {
        match Servers::of(url, "") {
            Ok(Servers::Sentinel(sentinels)) => sentinels,
            Ok(_) => unreachable!("not taken for Sentinels"),
            Err(error) => unreachable!("{error}"),
        }
    }

    #[test]
    fn sentinels_are_asked_without_the_credentials_of_the_master() {
        let found = sentinels("redis+sentinel://app:secret@a:1,b:2/mymaster/3");
        assert_eq!(&*found.master, "mymaster");
        let addresses: Vec<_> = found.addresses.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(addresses, ["a:1", "b:2"]);
        assert!(found.addresses.iter().all(|info| info.redis_settings().password().is_none()));
        assert_eq!(found.like.redis_settings().username(), Some("app"));
        assert_eq!(found.like.redis_settings().db(), 3);
        let found = found.authenticated(None, "watch");
        assert!(found.addresses.iter().all(|info| info.redis_settings().password() == Some("watch")));
    }

    #[test]
    fn a_cluster_is_a_list_of_its_nodes() {
        let Ok(Servers::Cluster(_, seeds)) = Servers::of("rediss+cluster://app:p@ss@[::1]:7000,b:7001/0", "") else {
            unreachable!("not taken for a Cluster")
        };
        assert_eq!(seeds.len(), 2);
        assert!(seeds.iter().all(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. })));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(matches!(Servers::of("http://a:1", ""), Err(RedisConfigError::Scheme)));
        assert!(matches!(Servers::of("redis+sentinel://a:1", ""), Err(RedisConfigError::MasterName)));
        assert!(matches!(Servers::of("redis+sentinel://a:1/", ""), Err(RedisConfigError::MasterName)));
        assert!(matches!(Servers::of("redis+cluster://a:1/4", ""), Err(RedisConfigError::ClusterDatabase)));
        assert!(matches!(Servers::of("redis+cluster://a:no", ""), Err(RedisConfigError::Url(_))));
    }

    #[test]
    fn another_address_keeps_everything_else() {
        let first = info("rediss://app:secret@a:1/2").unwrap();
        let second = like(&first, "b", 2);
        assert!(matches!(second.addr(), ConnectionAddr::TcpTls { host, port: 2, .. } if host == "b"));
        assert_eq!(second.redis_settings().username(), Some("app"));
        assert_eq!(second.redis_settings().db(), 2);
    }
}
