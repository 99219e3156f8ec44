//! A server of buckets for tests, in the test's own process: it speaks S3, demands signatures, and fails when it
//! is told to.
//!
//! Its buckets are folders and its objects files, so that a test sees what came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// The access key that it knows.
pub const KEY: &str = "AKIDLICHEN";
/// Its secret.
pub const SECRET: &str = "not-so-secret";
/// The name of a [`Bucket`].
pub const BUCKET: &str = "lab";

/// What S3 says of a bucket that nobody has made; `s3s_fs` would make it.
const NO_SUCH_BUCKET: &str = "<Error><Code>NoSuchBucket</Code></Error>";

/// A server of buckets; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeS3 {
    port: u16,
    faults: Arc<Faults>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// A server of one bucket, [`BUCKET`], which goes when it is dropped.
#[derive(Debug)]
pub struct Bucket {
    server: FakeS3,
    root: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Faults {
    asked: Mutex<Vec<String>>,
    failing: Mutex<Option<String>>,
    denied: Mutex<Option<String>>,
    refuse: AtomicU32,
    corrupt: AtomicU32,
    /// The number of requests after which the server dies; 0 means never.
    die_in: AtomicU32,
    dead: AtomicBool,
    /// Tells those that have a connection that the server is dead.
    death: Notify,
    requests: AtomicU32,
}

impl Bucket {
    /// Starts the server.
    pub fn start() -> io::Result<Self> {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(BUCKET))?;
        let server = FakeS3::serve(root.path())?;
        Ok(Self { server, root })
    }

    /// Where its objects are as files.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }
}

impl Deref for Bucket {
    type Target = FakeS3;

    fn deref(&self) -> &FakeS3 {
        &self.server
    }
}

impl FakeS3 {
    /// Serves the folders in `root`, on a free port of this machine.
    pub fn serve(root: &Path) -> io::Result<Self> {
        service(root)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let faults = Arc::<Faults>::default();
        let (stop, stopped) = watch::channel(false);
        let (root, shared) = (root.to_owned(), faults.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread =
            std::thread::spawn(move || runtime.block_on(accept(listener, root, shared, stopped)));
        Ok(Self {
            port,
            faults,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens, on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address on this machine.
    pub fn url(&self) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        format!("http://{address}")
    }

    /// What it was asked, such as `PUT /bucket/key?…`, since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.faults.asked))
    }

    /// How many requests it got so far, those included that it refused.
    pub fn requests(&self) -> u32 {
        self.faults.requests.load(SeqCst)
    }

    /// Answers requests that contain `words` as if it were too busy; with no words, it answers all of them again.
    pub fn fail(&self, words: Option<&str>) {
        *lock(&self.faults.failing) = words.map(str::to_owned);
    }

    /// Forbids requests that contain `words`; with no words, it answers all of them again.
    pub fn deny(&self, words: Option<&str>) {
        *lock(&self.faults.denied) = words.map(str::to_owned);
    }

    /// Answers the next `count` requests as if it were too busy.
    pub fn refuse(&self, count: u32) {
        self.faults.refuse.store(count, SeqCst);
    }

    /// Changes a byte of the next `count` objects or parts on their way.
    pub fn corrupt(&self, count: u32) {
        self.faults.corrupt.store(count, SeqCst);
    }

    /// Dies at the `count`-th request from now, without an answer; [`FakeS3::up`] brings it back.
    pub fn die_in(&self, count: u32) {
        self.faults.die_in.store(count, SeqCst);
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.faults.dead.load(SeqCst)
    }

    /// Dies: every connection is cut, and so is every new one. The port stays taken, or another program would take it.
    pub fn down(&self) {
        self.faults.die();
    }

    /// Starts again, with what was stored.
    pub fn up(&self) {
        self.faults.dead.store(false, SeqCst);
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Faults {
    fn die(&self) {
        self.dead.store(true, SeqCst);
        self.death.notify_waiters();
    }
}

fn service(root: &Path) -> io::Result<S3Service> {
    let files = s3s_fs::FileSystem::new(root)
        .map_err(|error| io::Error::other(format!("{}: {error:?}", root.display())))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    Ok(service.build())
}

async fn accept(
    listener: std::net::TcpListener,
    root: PathBuf,
    faults: Arc<Faults>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = stopped.changed() => return Ok(()),
        };
        if faults.dead.load(SeqCst) {
            continue;
        }
        // Each connection has a server of its own, so that nothing but the files outlives the server.
        let service = service(&root)?;
        let (root, faults, mut stopped) = (root.clone(), faults.clone(), stopped.clone());
        tokio::spawn(async move {
            let one = service_fn(|request| answer(request, &service, &root, &faults));
            let http = hyper::server::conn::http1::Builder::new();
            tokio::select! {
                // A client may close its connection at any time: that is not an error.
                _ = http.serve_connection(TokioIo::new(stream), one) => {}
                () = faults.death.notified() => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    service: &S3Service,
    root: &Path,
    faults: &Faults,
) -> Result<Response<Body>, HttpError> {
    let asked = format!("{} {}", request.method(), request.uri());
    let is_meant = |words: &Mutex<Option<String>>| {
        let words = lock(words);
        words.as_ref().is_some_and(|words| asked.contains(words))
    };
    let (failing, denied) = (is_meant(&faults.failing), is_meant(&faults.denied));
    lock(&faults.asked).push(asked);
    faults.requests.fetch_add(1, SeqCst);
    if count_down(&faults.die_in) == Some(0) {
        faults.die();
        std::future::pending::<()>().await;
    }
    if failing || count_down(&faults.refuse).is_some() {
        return Ok(no(StatusCode::SERVICE_UNAVAILABLE, ""));
    }
    if denied {
        return Ok(no(StatusCode::FORBIDDEN, ""));
    }
    let bucket = request.uri().path().split('/').nth(1).unwrap_or_default();
    if !root.join(bucket).is_dir() {
        return Ok(no(StatusCode::NOT_FOUND, NO_SUCH_BUCKET));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(no(StatusCode::BAD_REQUEST, ""));
    };
    let mut body = body.to_bytes().to_vec();
    if head.method == "PUT" && count_down(&faults.corrupt).is_some() {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let request = Request::from_parts(head, Body::from(body));
    service.call(request).await
}

fn no(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words.to_owned()));
    *response.status_mut() = status;
    response
}

/// Decrements the counter and returns what is left; `None` if it was zero.
fn count_down(counter: &AtomicU32) -> Option<u32> {
    let one_less = |count: u32| count.checked_sub(1);
    let before = counter.fetch_update(SeqCst, SeqCst, one_less);
    before.ok().map(|count| count - 1)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
