//! What the stories of the cache are made of: Debian's server, roads to it that can be blocked, and a database that is a number.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use daemons::{Device, Redis, Server};
use kit::Secret;
use rack::cache::{Cache, Group, Origin, Outage};
use rack::config::CacheSettings;
use testbed::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The server, which is up.
pub struct Debian {
    device: Device,
    server: Option<Server>,
}

impl Debian {
    pub fn up() -> Result<Self> {
        let device = Device::new("redis-cache", &[])?;
        let mut debian = Debian {
            device,
            server: None,
        };
        debian.restart()?;
        Ok(debian)
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |server| {
            server.kill()?;
            Ok(())
        })
    }

    /// Kills it, and starts it with what it had saved.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let up = self.device.up(|| self.client()?.call(&["PING"]))?;
        self.server = Some(up.server);
        Ok(())
    }

    pub fn client(&self) -> Result<Redis> {
        Redis::connect(&self.device.runtime())
    }

    pub fn call(&self, words: &[&str]) -> Result<serde_json::Value> {
        self.client()?.call(words)
    }

    pub fn socket(&self) -> PathBuf {
        self.device.runtime().join("redis.sock")
    }

    /// What a process has that uses it.
    pub fn cache(&self) -> Result<Cache> {
        cache(&self.socket())
    }
}

/// Settings that do not mind a busy machine.
pub fn settings(address: &Path) -> CacheSettings {
    CacheSettings {
        address: address.display().to_string(),
        connect_milliseconds: 20_000,
        answer_milliseconds: 10_000,
        ..CacheSettings::default()
    }
}

pub fn cache(address: &Path) -> Result<Cache> {
    Cache::open(&settings(address), None)
}

pub fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

/// Why the database did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    Gone,
    NoSuchRack,
}

impl Outage for Problem {
    fn is_outage(&self) -> bool {
        *self == Problem::Gone
    }
}

/// A database that is a number, and counts how often it is read.
#[derive(Debug, Default)]
pub struct Number {
    pub value: AtomicU64,
    pub reads: AtomicU64,
}

impl Number {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub async fn read(&self) -> Result<Bytes, Problem> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        // What was read is under way for some time.
        dawdle().await;
        Ok(Bytes::from(value.to_string()))
    }

    pub async fn write(&self) -> Result<u64, Problem> {
        dawdle().await;
        let value = self.value.fetch_add(1, Ordering::SeqCst) + 1;
        dawdle().await;
        Ok(value)
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }
}

/// Lets others do something, some times.
async fn dawdle() {
    for _ in 0..fastrand::u32(..20) {
        tokio::task::yield_now().await;
    }
}

/// Reads the number through a cache.
pub async fn read(cache: &Cache, number: &Number) -> (u64, Origin) {
    let got = cache.get_or(Group::Plan, "number", || number.read()).await;
    let (bytes, origin) = got.expect("the number can be read");
    (text(&bytes).parse().expect("a number"), origin)
}

/// Adds one to the number through a cache.
pub async fn change(cache: &Cache, number: &Arc<Number>) -> u64 {
    let number = number.clone();
    let write = async move { number.write().await };
    let written = cache.change(&[Group::Plan], write).await;
    written.expect("the number can be written")
}

pub fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// What a road does with what is sent on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    Flows,
    /// It waits.
    Stands,
    /// It is lost, with all connections.
    Lost,
}

/// A road from a process to the server.
pub struct Road {
    folder: tempfile::TempDir,
    traffic: watch::Sender<Traffic>,
}

impl Road {
    pub fn to(server: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (traffic, seen) = watch::channel(Traffic::Flows);
        let road = Road { folder, traffic };
        let listener = UnixListener::bind(road.end())?;
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *seen.borrow() == Traffic::Lost {
                    continue;
                }
                let (server, seen) = (server.clone(), seen.clone());
                tokio::spawn(async move {
                    let far = UnixStream::connect(server).await?;
                    carry(near, far, seen).await
                });
            }
        });
        Ok(road)
    }

    /// The end at which processes connect.
    pub fn end(&self) -> PathBuf {
        self.folder.path().join("road.sock")
    }

    /// What sets it.
    pub fn traffic(&self) -> watch::Sender<Traffic> {
        self.traffic.clone()
    }

    pub fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }
}

/// Carries bytes both ways while the traffic flows.
async fn carry(near: UnixStream, far: UnixStream, seen: watch::Receiver<Traffic>) -> Result<()> {
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    let mut watched = seen.clone();
    let lost = async move {
        let lost = watched.wait_for(|traffic| *traffic == Traffic::Lost).await;
        lost.map(drop).context("the road is gone")
    };
    tokio::select! {
        ended = lost => ended,
        ended = one_way(from_near, to_far, seen.clone()) => ended,
        ended = one_way(from_far, to_near, seen) => ended,
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut seen: watch::Receiver<Traffic>,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        seen.wait_for(|traffic| *traffic == Traffic::Flows).await?;
        to.write_all(&buffer[..count]).await?;
    }
}

/// A certificate as a file has it.
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A port of this machine at which the server is reached with TLS.
pub async fn tls(made: &rcgen::CertifiedKey<rcgen::KeyPair>, server: PathBuf) -> Result<u16> {
    let key =
        tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(near).await?;
                let mut far = UnixStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Ok(port)
}
