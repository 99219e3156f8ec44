//! Connections: how many, how long anybody waits, and what is said if there are none.

use std::time::{Duration, Instant};

use daemons::{Device, Postgres, Server, free_port, openssl};
use kit::Secret;
use rack::config::{DatabaseSettings, Tls};
use rack::store::{Error, Store};
use rustix::process::Signal;
use testbed::{Context, Result, ensure, wait_until};

use crate::support::{Db, rack, refusal, runtime, settings, story, who};

/// A store that waits for nothing longer than a second.
fn hasty(db: &Db, connections: usize) -> Result<Store> {
    let settings = DatabaseSettings {
        connections,
        overflow: 0,
        wait_seconds: 1,
        statement_seconds: 1,
        ..db.settings.clone()
    };
    Ok(Store::open(&settings, None)?)
}

#[test]
fn a_ping_says_how_long_it_took_and_the_pool_what_it_has() -> Result<()> {
    story(async |db| {
        ensure!(db.store.ping().await? < Duration::from_secs(5));
        let status = db.store.pool_status();
        ensure!((status.size, status.available, status.max) == (1, 1, 30));
        let asked: Vec<_> = (0..60)
            .map(|_| {
                let store = db.store.clone();
                tokio::spawn(async move { store.racks().await })
            })
            .collect();
        for answer in asked {
            answer.await??;
        }
        let status = db.store.pool_status();
        ensure!(status.size <= 30 && status.waiting == 0, "{status:?}");
        Ok(())
    })
}

#[test]
fn when_all_connections_are_in_use_the_wait_is_bounded() -> Result<()> {
    story(async |db| {
        let made = db.rack("A", 4).await?;
        let mut blocker = db.client().await?;
        let held = blocker.transaction().await?;
        held.batch_execute("LOCK racks IN ACCESS EXCLUSIVE MODE")
            .await?;
        let settings = DatabaseSettings {
            connections: 1,
            overflow: 1,
            wait_seconds: 1,
            ..db.settings.clone()
        };
        let store = Store::open(&settings, None)?;
        let stuck: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.rack(made.id).await })
            })
            .collect();
        db.wait_for(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'relation'",
            2,
        )
        .await?;
        let began = Instant::now();
        let busy = refusal(store.ping().await);
        ensure!(
            began.elapsed() < Duration::from_secs(5),
            "it took {:?}",
            began.elapsed()
        );
        ensure!(matches!(busy, Error::Busy(_)), "{busy}");
        ensure!(
            busy.to_string().contains("all connections are in use"),
            "{busy}"
        );
        held.rollback().await?;
        for answer in stuck {
            ensure!(answer.await?? == made);
        }
        store.ping().await?;
        Ok(())
    })
}

#[test]
fn a_statement_that_takes_too_long_is_given_up_and_the_next_one_is_answered() -> Result<()> {
    story(async |db| {
        let made = db.rack("A", 4).await?;
        let store = hasty(&db, 2)?;
        let mut blocker = db.client().await?;
        let held = blocker.transaction().await?;
        held.batch_execute("SELECT * FROM racks FOR UPDATE").await?;
        let busy = refusal(store.change_rack(&who(), made.id, 1, &rack("B", 4)).await);
        ensure!(matches!(busy, Error::Busy(_)), "{busy}");
        ensure!(busy.to_string().contains("timeout"), "{busy}");
        // Who only looks does not wait.
        ensure!(store.rack(made.id).await? == made);
        held.rollback().await?;
        store.change_rack(&who(), made.id, 1, &rack("B", 4)).await?;
        Ok(())
    })
}

#[test]
fn connections_that_the_server_has_ended_are_replaced() -> Result<()> {
    story(async |db| {
        db.rack("A", 4).await?;
        for _ in 0..5 {
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'rack' \
                       AND datname = current_database()";
            db.count(end).await?;
            ensure!(db.store.racks().await?.len() == 1);
            let name = format!("R{}", fastrand::u64(..));
            let made = db.rack(&name, 4).await?;
            db.store.delete_rack(&who(), made.id, 1).await?;
        }
        Ok(())
    })
}

#[test]
fn a_database_that_is_not_there_is_named() -> Result<()> {
    story(async |db| {
        let nowhere = DatabaseSettings {
            name: "nothing".into(),
            ..db.settings.clone()
        };
        let gone = refusal(Store::open(&nowhere, None)?.racks().await);
        ensure!(matches!(gone, Error::Gone(_)), "{gone}");
        ensure!(
            gone.to_string()
                .contains("database \"nothing\" does not exist"),
            "{gone}"
        );
        let nobody = DatabaseSettings {
            user: "nobody_here".into(),
            ..db.settings.clone()
        };
        let gone = refusal(Store::open(&nobody, None)?.ping().await);
        ensure!(matches!(gone, Error::Gone(_)), "{gone}");
        ensure!(gone.to_string().contains("nobody_here"), "{gone}");
        let elsewhere = DatabaseSettings {
            host: "/nonexistent".into(),
            ..db.settings.clone()
        };
        let began = Instant::now();
        let gone = refusal(
            Store::open(&elsewhere, None)?
                .create_rack(&who(), &rack("A", 1))
                .await,
        );
        ensure!(matches!(gone, Error::Gone(_)), "{gone}");
        ensure!(!gone.to_string().contains("unknown"), "{gone}");
        ensure!(began.elapsed() < Duration::from_secs(10));
        Ok(())
    })
}

#[test]
fn certificates_that_cannot_be_read_are_said_at_once() -> Result<()> {
    runtime()?.block_on(async {
        let settings = DatabaseSettings {
            host: "db.example".into(),
            tls: Tls::Require,
            authority: Some("/nonexistent.pem".into()),
            ..DatabaseSettings::default()
        };
        let wrong = refusal(Store::open(&settings, None));
        ensure!(
            wrong
                .to_string()
                .starts_with("database.authority: /nonexistent.pem"),
            "{wrong}"
        );
        Ok(())
    })
}

/// A server with a role that has a password, and with a certificate.
struct Elsewhere {
    device: Device,
    port: u16,
    _server: Server,
}

impl Elsewhere {
    fn start() -> Result<Self> {
        let port = free_port()?;
        let device = Device::new("postgresql", &[("5432", port.to_string())])?;
        let connect = || session(&device, port);
        let mut up = device.up(connect)?;
        let (data, there) = (device.data(), device.data_there());
        let file = |name: &str| data.join(name).display().to_string();
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &file("key.pem"),
            "-out",
            &file("cert.pem"),
        ])?;
        for statement in [
            "CREATE ROLE rack2 LOGIN PASSWORD 's3cret'".to_owned(),
            "CREATE DATABASE rack2 OWNER rack2".into(),
            "ALTER SYSTEM SET ssl = on".into(),
            format!(
                "ALTER SYSTEM SET ssl_cert_file = '{}'",
                there.join("cert.pem").display()
            ),
            format!(
                "ALTER SYSTEM SET ssl_key_file = '{}'",
                there.join("key.pem").display()
            ),
        ] {
            up.value.query(&statement)?;
        }
        up.server.stop(Signal::INT)?;
        let server = device.up(|| session(&device, port))?.server;
        Ok(Elsewhere {
            device,
            port,
            _server: server,
        })
    }

    fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            host: "localhost".into(),
            port: self.port,
            user: "rack2".into(),
            tls: Tls::Require,
            authority: Some(self.device.data().join("cert.pem")),
            ..settings(&self.device.runtime(), "rack2")
        }
    }
}

/// A session of the server's own role; the name of its socket has another port than usual.
fn session(device: &Device, port: u16) -> Result<Postgres> {
    let usual = device.runtime().join(".s.PGSQL.5432");
    if !usual.is_symlink() {
        std::os::unix::fs::symlink(format!(".s.PGSQL.{port}"), &usual)?;
    }
    Postgres::connect(&device.runtime())
}

#[test]
fn a_database_elsewhere_is_reached_by_tls_and_with_a_password() -> Result<()> {
    let elsewhere = Elsewhere::start()?;
    runtime()?.block_on(async {
        let settings = elsewhere.settings();
        let store = Store::open(&settings, Some(Secret::new("s3cret")))?;
        store.migrate().await?;
        store.create_rack(&who(), &rack("A", 4)).await?;
        let mut config = tokio_postgres::Config::new();
        let connected = config
            .host_path(elsewhere.device.runtime())
            .port(elsewhere.port)
            .user("postgres")
            .connect(tokio_postgres::NoTls);
        let (client, connection) = connected.await?;
        tokio::spawn(connection);
        let encrypted = client
            .query_one(
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'rack'",
                &[],
            )
            .await?;
        ensure!(encrypted.try_get::<_, bool>(0)?);

        let wrong = refusal(Store::open(&settings, Some(Secret::new("guess")))?.ping().await);
        ensure!(matches!(wrong, Error::Gone(_)), "{wrong}");
        ensure!(wrong.to_string().contains("password authentication failed for user \"rack2\""), "{wrong}");
        ensure!(!wrong.to_string().contains("guess"), "{wrong}");
        let none = refusal(Store::open(&settings, None)?.ping().await);
        ensure!(none.to_string().contains("password"), "{none}");
        // Nobody vouches for the certificate, or it is another server's.
        let strangers = DatabaseSettings {
            authority: None,
            ..settings.clone()
        };
        let refused = refusal(Store::open(&strangers, Some(Secret::new("s3cret")))?.ping().await);
        ensure!(matches!(refused, Error::Gone(_)), "{refused}");
        ensure!(refused.to_string().to_lowercase().contains("certificate"), "{refused}");
        let other = DatabaseSettings {
            host: "127.0.0.1".into(),
            ..settings
        };
        let refused = refusal(Store::open(&other, Some(Secret::new("s3cret")))?.ping().await);
        ensure!(refused.to_string().to_lowercase().contains("certificate"), "{refused}");
        Ok(())
    })
}

#[test]
fn a_server_that_comes_late_is_waited_for() -> Result<()> {
    let device = Device::new("postgresql", &[])?;
    let runtime = runtime()?;
    let store =
        runtime.block_on(async { Store::open(&settings(&device.runtime(), "postgres"), None) })?;
    let gone = refusal(runtime.block_on(store.racks()));
    ensure!(matches!(gone, Error::Gone(_)), "{gone}");
    let up = device.up(|| Postgres::connect(&device.runtime()))?;
    wait_until("the store", Duration::from_secs(30), || {
        Ok(runtime.block_on(store.migrate())?)
    })?;
    up.server.stop(Signal::INT)?;
    let gone = refusal(runtime.block_on(store.racks()));
    ensure!(matches!(gone, Error::Gone(_)), "{gone}");
    let _up = device.up(|| Postgres::connect(&device.runtime()))?;
    runtime.block_on(store.racks()).context("after a restart")?;
    Ok(())
}
