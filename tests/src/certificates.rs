//! A certificate authority of a test's own, and a server's certificate by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// The files that a server at 127.0.0.1 needs for TLS. Clones are the same files; they go with the last one.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: Arc<TempDir>,
    authority: Arc<str>,
}

impl Certificates {
    /// New ones, which are valid.
    pub fn new() -> Self {
        Self::valid_until(2100)
    }

    /// New ones, the server's out of date.
    pub fn expired() -> Self {
        Self::valid_until(2001)
    }

    fn valid_until(year: i32) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate whose issuer has its own name is taken for one that nobody else signed.
        authority.distinguished_name.push(DnType::CommonName, "the test's authority");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("a certificate");
        let (secret, mut server) = (key(), CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name"));
        (server.not_before, server.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let server = server.signed_by(&secret, &authority).expect("a certificate");
        let files = [("server.crt", server.pem()), ("server.key", secret.serialize_pem()), ("ca.crt", authority.pem())];
        for (name, pem) in files {
            std::fs::write(directory.path().join(name), pem).expect("a file can be written");
        }
        Self { directory: Arc::new(directory), authority: authority.pem().into() }
    }

    /// The authority's certificate, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Where the server's certificate is.
    pub fn certificate(&self) -> PathBuf {
        self.file("server.crt")
    }

    /// Where its key is.
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// Where the authority's certificate is.
    pub fn authority_file(&self) -> PathBuf {
        self.file("ca.crt")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
