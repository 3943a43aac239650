//! Redis behind TLS, with a certificate authority of the test's own.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use idempotency_store::{Deadline, RedisConfig, RedisConnectError, RedisStore, Store};
use idempotency_tests::{RedisOptions, RedisServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// Writes a server's certificate and key for 127.0.0.1 into `directory`; the authority's certificate is the return value.
fn certify(directory: &Path) -> String {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(directory.join("server.crt"), server.pem()).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
    std::fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
    authority.pem()
}

/// A server that speaks TLS on a port of its own, beside the plain one that the harness watches.
async fn tls_server(directory: &Path) -> (RedisServer, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| directory.join(name).display().to_string();
    let options = RedisOptions::default()
        .set("tls-port", &port.to_string())
        .set("tls-cert-file", &file("server.crt"))
        .set("tls-key-file", &file("server.key"))
        .set("tls-ca-cert-file", &file("ca.crt"))
        .set("tls-auth-clients", "no");
    (RedisServer::start(options).await, format!("rediss://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_certified_server_is_used_and_another_is_not_trusted() {
    let directory = TempDir::new().unwrap();
    let authority = certify(directory.path());
    let (_server, url) = tls_server(directory.path()).await;

    let trusting = RedisConfig::new(&url).unwrap().root_certificate(authority);
    let store = RedisStore::connect_with(trusting).await.unwrap();
    store.ping(Deadline::after(Duration::from_secs(10))).await.unwrap();

    let distrusting = RedisStore::connect(&url).await;
    assert!(matches!(distrusting, Err(RedisConnectError::Certificate(_))), "{distrusting:?}");
    let plain = RedisStore::connect(&url.replace("rediss", "redis")).await;
    assert!(plain.is_err(), "{plain:?}");
}
