//! Connections to PostgreSQL: how many, how long anybody waits for what, and what is tried again.
//!
//! deadpool and tokio-postgres, and not sqlx: what is needed is a pool, statements that the server has prepared, and control of what is
//! tried again; macros that ask a database while the program is compiled would need one in every build.

use std::time::Duration;

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime,
    Transaction,
};
use kit::{Secret, back_off, jittered};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Attempt, Error, Failure, unknown};
use crate::config::{DatabaseSettings, Tls};

/// How often something is tried in all, if it certainly was not carried out.
const TRIES: u32 = 6;
/// The pause after the first try; all pauses together are below two seconds, which a restart of the server usually takes.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that was in use so recently is not asked whether it is alive.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a connection may take to say that it is alive.
const PING: Duration = Duration::from_secs(2);
/// Connections beyond those that are kept are closed when they were not in use for so long.
const IDLE: Duration = Duration::from_secs(30);
/// How much later than the server this side gives a statement up: the server's own word is better.
const GRACE: Duration = Duration::from_secs(5);
/// The time limit for a statement that changes the schema, and for the wait until another process has changed it.
const LONG: Duration = Duration::from_secs(600);

/// The state of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct PoolStatus {
    /// Connections that there are.
    pub size: usize,
    /// Those that nobody uses.
    pub available: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// The most that there may be.
    pub max: usize,
}

/// The pool, and its time limits.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: Pool,
    limit: Duration,
}

impl Connections {
    /// A pool without connections: the first are made when they are needed.
    pub(super) fn new(
        settings: &DatabaseSettings,
        password: Option<&Secret>,
    ) -> Result<Self, Error> {
        let config = server(settings, password);
        let method = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match settings.tls {
            Tls::Off => Manager::from_config(config, NoTls, method),
            Tls::Require => Manager::from_config(config, tls(settings)?, method),
        };
        let ping = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, metrics| {
            Box::pin(async move {
                if metrics.last_used() < BELIEVED {
                    return Ok(());
                }
                match timeout(PING, client.simple_query("")).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(HookError::Backend(error)),
                    Err(_) => Err(HookError::message("the connection does not answer")),
                }
            })
        });
        let pool = Pool::builder(manager)
            .max_size(settings.connections + settings.overflow)
            // The most recent one first: so those beyond what is needed become idle.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(settings.wait()))
            .create_timeout(Some(settings.connect()))
            .recycle_timeout(Some(PING))
            .pre_recycle(ping)
            .build()
            .map_err(|error| Error::Fault(error.to_string()))?;
        close_idle(&pool, settings.connections);
        Ok(Connections {
            pool,
            limit: settings.statement() + GRACE,
        })
    }

    /// A connection for as long as it is held.
    pub(super) async fn session(&self) -> Attempt<Session> {
        Ok(Session {
            client: self.pool.get().await?,
            limit: self.limit,
        })
    }

    pub(super) fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            max: status.max_size,
        }
    }
}

/// Does something, and again after a pause as long as it was certainly not carried out and another try may succeed.
pub(super) async fn again<T, F>(once: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Attempt<T>>,
{
    let mut failures = 0;
    loop {
        let failure = match once().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        failures += 1;
        if !failure.again || failures == TRIES {
            return Err(failure.error);
        }
        tracing::debug!(error = %failure.error, failures, "the database is asked again");
        tokio::time::sleep(jittered(back_off(FIRST_PAUSE, failures, LONGEST_PAUSE))).await;
    }
}

/// A connection in use.
pub(super) struct Session {
    client: Client,
    limit: Duration,
}

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// The rows that a statement gives.
    pub(super) async fn rows(&self, sql: &str, values: Values<'_>) -> Attempt<Vec<Row>> {
        let work = async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.query(&statement, values).await
        };
        within(self.limit, work).await
    }

    /// The only row that a statement gives, if it gives one.
    pub(super) async fn row(&self, sql: &str, values: Values<'_>) -> Attempt<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Begins a transaction. It is taken back unless it is committed.
    pub(super) async fn begin(&mut self) -> Attempt<Tx<'_>> {
        let limit = self.limit;
        let inner = within(limit, self.client.transaction()).await?;
        Ok(Tx { inner, limit })
    }

    /// Begins a transaction whose statements may take very long, such as those that change the schema of a large database.
    pub(super) async fn begin_long(&mut self) -> Attempt<Tx<'_>> {
        let mut tx = self.begin().await?;
        let long = LONG.as_millis();
        let limits =
            format!("SET LOCAL statement_timeout = {long}; SET LOCAL lock_timeout = {long}");
        tx.batch(&limits).await?;
        tx.limit = LONG + GRACE;
        Ok(tx)
    }
}

/// A transaction.
pub(super) struct Tx<'a> {
    inner: Transaction<'a>,
    limit: Duration,
}

impl Tx<'_> {
    /// The rows that a statement gives.
    pub(super) async fn rows(&self, sql: &str, values: Values<'_>) -> Attempt<Vec<Row>> {
        within(self.limit, self.raw(sql, values)).await
    }

    /// The only row that a statement gives, if it gives one.
    pub(super) async fn row(&self, sql: &str, values: Values<'_>) -> Attempt<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Like [`Tx::rows`], with the server's complaint as it is, of which the caller knows more.
    pub(super) async fn complaining(
        &self,
        sql: &str,
        values: Values<'_>,
        known: impl FnOnce(&str) -> Option<Error>,
    ) -> Attempt<Vec<Row>> {
        let work = async { Ok(self.raw(sql, values).await) };
        within(self.limit, work).await?.map_err(|error| {
            let constraint = error.as_db_error().and_then(|error| error.constraint());
            match constraint.and_then(known) {
                Some(error) => Failure::from(error),
                None => Failure::of_statement(&error),
            }
        })
    }

    /// Several statements without values.
    pub(super) async fn batch(&self, sql: &str) -> Attempt<()> {
        within(self.limit, self.inner.batch_execute(sql)).await
    }

    /// Commits. If there is no answer, the error says that the outcome is unknown, and nothing is tried again.
    pub(super) async fn commit(self) -> Attempt<()> {
        match timeout(self.limit, self.inner.commit()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::of_commit(&error)),
            Err(_) => Err(unknown("it does not answer").into()),
        }
    }

    async fn raw(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.inner.prepare_cached(sql).await?;
        self.inner.query(&statement, values).await
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Attempt<T> {
    match timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Gone("it does not answer".into()).into()),
    }
}

/// Where the server is, and what it is told of a session at its beginning: the time limits, and not to compile statements to machine code,
/// which takes far longer than any of them runs.
fn server(settings: &DatabaseSettings, password: Option<&Secret>) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    let statement = settings.statement().as_millis();
    config
        .host(&settings.host)
        .port(settings.port)
        .dbname(&settings.name)
        .user(&settings.user)
        .application_name("rack")
        .connect_timeout(settings.connect())
        // A server that vanished without a word is noticed even while nothing is sent.
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(settings.statement() + GRACE)
        .ssl_mode(match settings.tls {
            Tls::Off => SslMode::Disable,
            Tls::Require => SslMode::Require,
        })
        .options(format!(
            "-c statement_timeout={statement} -c lock_timeout={statement} \
             -c idle_in_transaction_session_timeout={statement} -c timezone=UTC -c jit=off"
        ));
    if let Some(password) = password {
        config.password(password.expose());
    }
    config
}

/// TLS with a server whose certificate is checked.
fn tls(settings: &DatabaseSettings) -> Result<MakeRustlsConnect, Error> {
    let wrong = |why: String| Error::invalid("database.authority", why);
    let mut roots = RootCertStore::empty();
    match &settings.authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let unread = |error: rustls::pki_types::pem::Error| {
                wrong(format!("{} cannot be read: {error}", file.display()))
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(unread)? {
                let added = roots.add(certificate.map_err(unread)?);
                added.map_err(|error| wrong(format!("{}: {error}", file.display())))?;
            }
            if roots.is_empty() {
                return Err(wrong(format!("{} has no certificate", file.display())));
            }
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Fault(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Closes connections beyond those that are kept, when they were not in use for a while; as long as the pool is there.
fn close_idle(pool: &Pool, kept: usize) {
    let pool = pool.weak();
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval(IDLE / 3);
        loop {
            rounds.tick().await;
            let Some(pool) = pool.upgrade() else { return };
            let mut excess = pool.status().size.saturating_sub(kept);
            pool.retain(|_, metrics| {
                let stays = excess == 0 || metrics.last_used() < IDLE;
                excess -= usize::from(!stays);
                stays
            });
        }
    });
}
