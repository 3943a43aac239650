//! Where the storm takes place: the services that were named, or the storm's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::args::Args;
use super::base::Base;
use super::error::Error;
use super::ready::await_ready;
use super::server::{Process, Spec, free_port};
use crate::bank;

/// Short, so that what a killed server left behind is decided while its clients still ask.
const DEFAULT_LEASE: Duration = Duration::from_secs(3);

/// The services under attack, and the bank that judges.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Who gets the payments.
    pub(crate) servers: Arc<[Base]>,
    /// Who judges.
    pub(crate) bank: Base,
    /// The server that may be killed: only one that the storm started.
    pub(crate) server: Option<Process>,
    own_bank: Option<OwnBank>,
    files: Option<TempDir>,
}

impl Scene {
    /// Starts what was not named, and waits until everything answers.
    pub(crate) async fn prepare(args: &Args, seed: u64) -> Result<Self, Error> {
        let files = if args.url.is_empty() { Some(temporary_directory()?) } else { None };
        let own_bank = match (&args.bank, &files) {
            (None, Some(files)) => Some(OwnBank::start(files.path()).await?),
            _ => None,
        };
        let bank = args.bank.clone().or_else(|| own_bank.as_ref().map(|own| own.base.clone()));
        let bank = bank.ok_or_else(|| Error::argument("--url needs --bank"))?;
        await_ready(&bank, "/charges/summary").await?;
        let mut scene = Self { servers: args.url.as_slice().into(), bank, server: None, own_bank, files };
        scene.prepare_servers(args, seed).await?;
        Ok(scene)
    }

    async fn prepare_servers(&mut self, args: &Args, seed: u64) -> Result<(), Error> {
        if let Some(files) = &self.files {
            let base = Base::loopback(free_port(seed).await?);
            let spec = server(args, files.path(), base.clone(), &self.bank)?;
            self.server = Some(Process::start(spec).await?);
            self.servers = [base].into();
        }
        for server in self.servers.iter() {
            await_ready(server, "/readyz").await?;
        }
        Ok(())
    }

    /// Ends the storm's own server, so that nothing that is still under way in it can reach the bank.
    pub(crate) async fn silence(&mut self) -> Result<(), Error> {
        match &mut self.server {
            Some(server) => server.kill().await,
            None => Ok(()),
        }
    }

    /// Ends the storm's own bank in good order.
    pub(crate) async fn close(&mut self) {
        if let Some(bank) = self.own_bank.take() {
            bank.stop().await;
        }
    }

    /// Keeps ledger and store for whoever has to find out what went wrong; where they are.
    pub(crate) fn keep_files(&mut self) -> Option<PathBuf> {
        self.files.take().map(TempDir::keep)
    }
}

fn temporary_directory() -> Result<TempDir, Error> {
    let made = tempfile::Builder::new().prefix("demo-service-storm-").tempdir();
    made.map_err(|source| Error::Io { what: "no temporary directory for the storm's ledger and store", source })
}

fn server(args: &Args, files: &Path, base: Base, bank: &Base) -> Result<Spec, Error> {
    let program = std::env::current_exe();
    let program = program.map_err(|source| Error::Io { what: "this program cannot find itself", source })?;
    let lease = humantime::format_duration(args.lease.unwrap_or(DEFAULT_LEASE));
    let options: [(&str, OsString); 5] = [
        ("--listen", base.authority().into()),
        ("--store", store(args, files)),
        ("--bank", bank.to_string().into()),
        ("--lease", lease.to_string().into()),
        // Its log is shown only where it fails, and should then begin with the reason.
        ("--log", "warn".into()),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.into(), value]);
    let args = std::iter::once("serve".into()).chain(options).collect();
    Ok(Spec { name: "server", program, args, base, ready: "/readyz" })
}

fn store(args: &Args, files: &Path) -> OsString {
    if let Some(store) = &args.store {
        return store.to_string().into();
    }
    let mut store = OsString::from("embedded:");
    store.push(files.join("store.redb"));
    store
}

/// A bank inside of this process, which is not killed.
#[derive(Debug)]
pub(crate) struct OwnBank {
    /// Where it answers.
    pub(crate) base: Base,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl OwnBank {
    pub(crate) async fn start(files: &Path) -> Result<Self, Error> {
        let ledger = bank::Ledger::open(files.join("ledger.jsonl")).await;
        let ledger = ledger.map_err(|error| Error::Ledger(error.into()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::NoPort)?;
        let port = listener.local_addr().map_err(Error::NoPort)?.port();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bank::serve(listener, ledger, None, async { drop(stopped.await) }));
        Ok(Self { base: Base::loopback(port), stop, served })
    }

    async fn stop(self) {
        drop(self.stop);
        // The verdict is written by now: a bank that closes badly can no longer change it.
        drop(self.served.await);
    }
}
