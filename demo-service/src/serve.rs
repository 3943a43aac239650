//! `demo-service serve`: a store, the layer, the routes, and a graceful end.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use idempotency_store::{BoxStore, KeyRing, KeyRingError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, Wait};

use crate::bank::client::AddressError;
use crate::bank::{self, BankClient, Dedup, Ledger, dedup, ledger};
use crate::banner::{self, Ground};
use crate::doctor::{self, Declared, Unfit};
use crate::exit::Failure;
use crate::hidden::Hidden;
use crate::listen::{self, ListenError};
use crate::on_abandoned::OnAbandonedChoice;
use crate::payments::{self, Merchant, Payments};
use crate::shutdown::Signals;
use crate::store::{OpenStore, StoreChoice, StoreError};

/// Known to everybody who reads this, so good for a demonstration only.
const DEMO_SECRET: &str = "tower-idempotency demo secret";
/// The longest that a lease is renewed, where the retention has room for it.
const MAX_EXECUTION: Duration = Duration::from_secs(10 * 60);

/// What the payment service is started with.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes any free one.
    #[arg(long, env = "DEMO_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,
    /// Where idempotency keys are kept: "memory" (gone when it ends), "embedded:PATH" (a file that survives crashes), or
    /// "redis://HOST:PORT" (a server that several services share).
    #[arg(long, env = "DEMO_STORE", value_name = "STORE", default_value_t = StoreChoice::default())]
    pub(crate) store: StoreChoice,
    /// The bank to charge at. Without it, a bank runs inside this process.
    #[arg(long, env = "DEMO_BANK", value_name = "URL")]
    pub(crate) bank: Option<String>,
    /// The ledger of the bank inside this process; not used with --bank.
    #[arg(long, env = "DEMO_LEDGER", value_name = "PATH", default_value = bank::DEFAULT_LEDGER)]
    pub(crate) ledger: PathBuf,
    /// Let the bank inside this process execute each key once, as "bank --dedup" does; not used with --bank.
    #[arg(long, env = "DEMO_BANK_DEDUP")]
    pub(crate) bank_dedup: bool,
    /// How long a request holds its key unless it renews it. After a crash, retries are told to wait for so long.
    #[arg(long, env = "DEMO_LEASE", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) lease: Duration,
    /// How long a key is remembered. A retry that comes later pays again.
    #[arg(long, env = "DEMO_RETENTION", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) retention: Duration,
    /// What keys are digested with: at least 16 bytes, the same for all servers that share a store. Without it, a value
    /// that everybody knows is used, with a warning.
    #[arg(long, env = "DEMO_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) secret: Option<Hidden>,
    /// Encrypt what the store keeps of answers: "ID:BASE64,ID:BASE64", each an id from 0 to 255 and 32 random bytes
    /// (openssl rand -base64 32). The first key encrypts, all of them decrypt. Better given in the environment, where no list
    /// of processes shows it. Answers that are in the store already and are not encrypted are refused.
    #[arg(long, env = "DEMO_ENCRYPTION_KEYS", value_name = "KEYS", hide_env_values = true)]
    pub(crate) encryption_keys: Option<Hidden>,
    /// Serve also answers that are not encrypted: for one retention after encryption was introduced, and no longer. As long
    /// as it is on, whoever can write to the store can have any answer served. Not used without --encryption-keys.
    #[arg(long, env = "DEMO_ACCEPT_PLAINTEXT")]
    pub(crate) accept_plaintext: bool,
    /// What a retry gets when the request before it was interrupted by a crash and nobody knows its outcome: "refuse" tells
    /// it so; "reexecute:N" runs it again, up to N attempts in all, and charges twice unless the bank recognises the
    /// repetition (its --dedup); "resolve" asks the bank what became of it.
    #[arg(long, env = "DEMO_ON_ABANDONED", value_name = "POLICY", default_value_t = OnAbandonedChoice::default())]
    pub(crate) on_abandoned: OnAbandonedChoice,
    /// How long a retry waits for the answer to a request that is still running. 0s: it is told so at once.
    #[arg(long, env = "DEMO_WAIT", value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(crate) wait: Duration,
    /// How long to wait at the start for a Redis server that is not there yet.
    #[arg(long, env = "DEMO_WAIT_FOR_STORE", value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(crate) wait_for_store: Duration,
    /// Start even on a Redis server that forgets or refuses keys, and only warn of it.
    #[arg(long, env = "DEMO_ALLOW_UNSAFE_STORE")]
    pub(crate) allow_unsafe_store: bool,
    #[command(flatten)]
    pub(crate) declared: Declared,
    /// How long requests may take to end when the service is stopped.
    #[arg(long, env = "DEMO_DRAIN", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain: Duration,
}

/// Why the service cannot be started so. Every one names the cause and the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ConfigurationError {
    /// The durations keep no promise together.
    #[error("{0} (see --lease and --retention)")]
    Timing(#[source] ConfigError),
    /// The policy for abandoned keys makes no sense.
    #[error("{0} (see --on-abandoned)")]
    OnAbandoned(#[source] ConfigError),
    /// Nobody waits for so long.
    #[error("{0} (see --wait)")]
    Wait(#[source] ConfigError),
    /// The secret is none.
    #[error("{0} (see --secret)")]
    Secret(#[source] ConfigError),
    /// The keys of the encryption are none.
    #[error("{0} (see --encryption-keys)")]
    EncryptionKeys(#[source] KeyRingError),
    /// `--bank` is no address.
    #[error(transparent)]
    Bank(#[from] AddressError),
    /// The bank inside this process has no ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    /// The bank inside this process cannot keep keys.
    #[error(transparent)]
    Dedup(#[from] dedup::OpenError),
    /// The store cannot be opened.
    #[error("{0} (see --store)")]
    Store(#[from] StoreError),
    /// The store forgets keys.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Serves payments until it is told to stop.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let service = Service::open(&args).await.map_err(Failure::configuration)?;
    let mut signals = Signals::install().map_err(Failure::runtime)?;
    let (stop, stopped) = oneshot::channel();
    let server = serve(service.listener, service.app, stopped);
    banner::payments(&service.ground);
    signals.next().await;
    tracing::info!(drain = ?args.drain, "stopping when what was begun has ended; stop again to end at once");
    // The server is the only receiver, and it ends with this signal alone.
    let _ = stop.send(());
    tokio::select! {
        () = service.rest.wind_down(server, args.drain) => Ok(ExitCode::SUCCESS),
        () = signals.next() => Err(Failure::runtime("ended at once, as told; the outcome of what was in flight is unknown")),
    }
}

/// Everything that runs, and where.
struct Service {
    listener: TcpListener,
    app: Router,
    ground: Ground,
    rest: Rest,
}

/// What has to be ended when the server has.
struct Rest {
    idempotency: IdempotencyLayer<BoxStore>,
    store: OpenStore,
    bank: Option<OwnBank>,
}

impl Service {
    /// Checks before it opens, so that a mistyped option leaves no files behind.
    async fn open(args: &Args) -> Result<Self, ConfigurationError> {
        let timing = timing(args).map_err(ConfigurationError::Timing)?;
        let secret = secret(args).map_err(ConfigurationError::Secret)?;
        let ring = ring(args).map_err(ConfigurationError::EncryptionKeys)?;
        let wait = wait(args).map_err(ConfigurationError::Wait)?;
        let named = args.bank.as_deref().map(BankClient::new).transpose()?;
        let (listener, address) = listen::bind(&args.listen).await?;
        let kept = if ring.is_some() { format!("{}, encrypted", args.store) } else { args.store.to_string() };
        let store = OpenStore::open(&args.store, args.wait_for_store).await?.sealed(ring, args.accept_plaintext);
        doctor::admit(&store, &args.declared, args.lease, args.allow_unsafe_store).await?;
        let (client, bank) = match named {
            Some(client) => (client, None),
            None => OwnBank::start(args).await.map(|(client, bank)| (client, Some(bank)))?,
        };
        let policy = args.on_abandoned.policy(client.clone(), args.lease).map_err(ConfigurationError::OnAbandoned)?;
        let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
        let idempotency = IdempotencyLayer::new(store.store.clone(), scope, secret).on_abandoned(policy).timing(timing);
        let idempotency = idempotency.map_err(ConfigurationError::Timing)?;
        let idempotency = wait.into_iter().fold(idempotency, IdempotencyLayer::wait);
        let ground = Ground { address, store: kept, bank: describe(&client, bank.as_ref()) };
        let payments = Payments { bank: client, lease: args.lease, store: store.store.clone() };
        let app = payments::router(payments, idempotency.clone());
        Ok(Self { listener, app, ground, rest: Rest { idempotency, store, bank } })
    }
}

impl Rest {
    /// Waits for what was begun, marks what does not end in time, and closes what is open.
    async fn wind_down(self, server: JoinHandle<io::Result<()>>, patience: Duration) {
        let deadline = Instant::now() + patience;
        if timeout_at(deadline, server).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // Handlers outlive their connections: their clients may have left.
        let drained = self.idempotency.drain(deadline.saturating_duration_since(Instant::now())).await;
        if drained.abandoned > 0 {
            tracing::warn!(
                requests = drained.abandoned,
                "some requests did not end in time; nobody knows their outcome"
            );
        }
        if let Some(bank) = self.bank {
            bank.stop().await;
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// A bank inside this process. The service talks to it over a socket as to any other.
struct OwnBank {
    ledger: PathBuf,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

impl OwnBank {
    async fn start(args: &Args) -> Result<(BankClient, Self), ConfigurationError> {
        let ledger = Ledger::open(&args.ledger).await?;
        let dedup = Dedup::choose(args.bank_dedup, &ledger).await?;
        let (listener, address) = listen::bind("127.0.0.1:0").await?;
        let client = BankClient::new(&format!("http://{address}"))?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bank::serve(listener, ledger, dedup, async { drop(stopped.await) }));
        Ok((client, Self { ledger: args.ledger.clone(), stop, served }))
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        if let Ok(Err(error)) = self.served.await {
            tracing::warn!(%error, "the bank inside this process ended with an error");
        }
    }
}

fn serve(listener: TcpListener, app: Router, stopped: oneshot::Receiver<()>) -> JoinHandle<io::Result<()>> {
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    tokio::spawn(server.into_future())
}

/// Says how to write one; humantime says only where it stopped reading.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 30s, 10m or 24h"))
}

fn timing(args: &Args) -> Result<Timing, ConfigError> {
    let room = args.retention.saturating_sub(args.lease.saturating_mul(2));
    let max_execution = MAX_EXECUTION.min(room).max(args.lease);
    let timing = Timing::default().lease(args.lease).retention(args.retention).max_execution(max_execution);
    timing.check().map(|()| timing)
}

fn wait(args: &Args) -> Result<Option<Wait>, ConfigError> {
    (!args.wait.is_zero()).then(|| Wait::new(args.wait)).transpose()
}

fn secret(args: &Args) -> Result<Secret, ConfigError> {
    if let Some(secret) = &args.secret {
        return Secret::new(secret.reveal());
    }
    tracing::warn!("keys are digested with the demo's secret, which everybody knows; set --secret or DEMO_SECRET");
    Secret::new(DEMO_SECRET)
}

fn ring(args: &Args) -> Result<Option<KeyRing>, KeyRingError> {
    args.encryption_keys.as_ref().map(|keys| KeyRing::from_text(keys.reveal())).transpose()
}

fn describe(client: &BankClient, own: Option<&OwnBank>) -> String {
    match own {
        None => client.address().to_string(),
        Some(own) => format!("{} in this process, ledger: {}", client.address(), own.ledger.display()),
    }
}
