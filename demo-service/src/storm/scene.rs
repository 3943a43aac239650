//! Where the storm takes place: the services that were named, or the storm's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::args::Args;
use super::base::Base;
use super::error::Error;
use super::own::Own;
use super::ready::await_ready;
use super::server::{Process, Spec, free_port};
use crate::bank;
use crate::store::StoreChoice;

/// The services under attack, and the bank that judges.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Who gets the payments.
    pub(crate) servers: Arc<[Base]>,
    /// Who judges.
    pub(crate) bank: Base,
    /// The servers that may be killed: only those that the storm started.
    pub(crate) processes: Vec<Process>,
    own_bank: Option<OwnBank>,
    files: Option<TempDir>,
}

impl Scene {
    /// Starts what was not named, and waits until everything answers.
    pub(crate) async fn prepare(args: &Args, seed: u64) -> Result<Self, Error> {
        let files = if args.url.is_empty() { Some(temporary_directory()?) } else { None };
        let own_bank = match (&args.bank, &files) {
            (None, Some(files)) => Some(OwnBank::start(files.path(), args.own.bank_dedup).await?),
            _ => None,
        };
        let bank = args.bank.clone().or_else(|| own_bank.as_ref().map(|own| own.base.clone()));
        let bank = bank.ok_or_else(|| Error::argument("--url needs --bank"))?;
        await_ready(&bank, "/charges/summary").await?;
        let mut scene = Self { servers: args.url.as_slice().into(), bank, processes: Vec::new(), own_bank, files };
        scene.prepare_servers(args, seed).await?;
        Ok(scene)
    }

    async fn prepare_servers(&mut self, args: &Args, seed: u64) -> Result<(), Error> {
        if let Some(files) = &self.files {
            let ground =
                Ground { own: &args.own, store: args.own.store_in(files.path()), secret: secret(), bank: &self.bank };
            let mut bases = Vec::new();
            for _ in 0..args.own.servers.get() {
                // Each listens before the next one looks for a port.
                let base = Base::loopback(free_port(seed).await?);
                self.processes.push(Process::start(ground.server(&base)?).await?);
                bases.push(base);
            }
            self.servers = bases.into();
        }
        for server in self.servers.iter() {
            await_ready(server, "/readyz").await?;
        }
        Ok(())
    }

    /// Ends the storm's own servers, so that nothing that is still under way in them can reach the bank.
    pub(crate) async fn silence(&mut self) -> Result<(), Error> {
        for server in &mut self.processes {
            server.kill().await?;
        }
        Ok(())
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

/// What all of the storm's own servers stand on.
#[derive(Debug)]
struct Ground<'a> {
    own: &'a Own,
    store: StoreChoice,
    secret: OsString,
    bank: &'a Base,
}

impl Ground<'_> {
    fn server(&self, base: &Base) -> Result<Spec, Error> {
        let program = std::env::current_exe();
        let program = program.map_err(|source| Error::Io { what: "this program cannot find itself", source })?;
        let mut options: Vec<(&str, OsString)> = vec![
            ("--listen", base.authority().into()),
            ("--bank", self.bank.to_string().into()),
            ("--lease", humantime::format_duration(self.own.lease()).to_string().into()),
            ("--on-abandoned", self.own.on_abandoned.to_string().into()),
            ("--wait", humantime::format_duration(self.own.wait).to_string().into()),
            // Its log is shown only where it fails, and should then begin with the reason.
            ("--log", "warn".into()),
        ];
        let mut secrets = vec![("DEMO_SECRET", self.secret.clone())];
        match &self.store {
            StoreChoice::Redis(_) => secrets.push(("DEMO_STORE", self.store.argument())),
            StoreChoice::Memory | StoreChoice::Embedded(_) => options.push(("--store", self.store.argument())),
        }
        let options = options.into_iter().flat_map(|(name, value)| [name.into(), value]);
        // The storm's own verdict says what came of the store; it is not to be kept from judging one.
        let args = ["serve".into(), "--allow-unsafe-store".into()].into_iter().chain(options).collect();
        Ok(Spec { name: "server", program, args, secrets, base: base.clone(), ready: "/readyz" })
    }
}

/// One per storm: its keys are new to a store that another storm has used, whose charges are in another ledger.
fn secret() -> OsString {
    format!("{:032x}", rand::random::<u128>()).into()
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
    pub(crate) async fn start(files: &Path, dedup: bool) -> Result<Self, Error> {
        let ledger = bank::Ledger::open(files.join("ledger.jsonl")).await;
        let ledger = ledger.map_err(|error| Error::Ledger(error.into()))?;
        let dedup = bank::Dedup::choose(dedup, &ledger).await.map_err(|error| Error::Ledger(error.into()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::NoPort)?;
        let port = listener.local_addr().map_err(Error::NoPort)?.port();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bank::serve(listener, ledger, dedup, async { drop(stopped.await) }));
        Ok(Self { base: Base::loopback(port), stop, served })
    }

    async fn stop(self) {
        drop(self.stop);
        // The verdict is written by now: a bank that closes badly can no longer change it.
        drop(self.served.await);
    }
}
