//! An S3 server over a folder (s3s-fs), with faults in front of it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::sync::{Notify, watch};

/// The name of the bucket that it has.
pub const NAME: &str = "market";
/// The access key that it knows.
pub const KEY: &str = "AKTESTSTESTSTESTS";
/// Its secret.
pub const SECRET: &str = "a-secret-that-only-tests-know";

/// The server.
pub struct Bucket {
    root: tempfile::TempDir,
    port: u16,
    faults: Arc<Faults>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Faults {
    refuse: AtomicU32,
    corrupt: AtomicU32,
    /// Requests until the server dies; 0 is never.
    die_in: AtomicU32,
    dead: AtomicBool,
    /// Tells those that have a connection that the server is dead.
    death: Notify,
    requests: AtomicU32,
}

impl Bucket {
    /// Starts one on a free port.
    pub fn start() -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(NAME))?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let faults = Arc::<Faults>::default();
        let (stop, stopped) = watch::channel(false);
        let (path, shared) = (root.path().to_owned(), faults.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, path, shared, stopped));
        });
        Ok(Bucket {
            root,
            port,
            faults,
            stop,
            thread: Some(thread),
        })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address on this machine.
    pub fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
        )
    }

    /// Where its objects are as files.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join(NAME)
    }

    /// Requests so far, the refused ones too.
    pub fn requests(&self) -> u32 {
        self.faults.requests.load(SeqCst)
    }

    /// Answers the next `count` requests with 503.
    pub fn refuse(&self, count: u32) {
        self.faults.refuse.store(count, SeqCst);
    }

    /// Changes a byte of the next `count` objects or parts on their way.
    pub fn corrupt(&self, count: u32) {
        self.faults.corrupt.store(count, SeqCst);
    }

    /// Dies at the `count`-th request from now, without an answer; [`Bucket::up`] brings it back.
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

impl Faults {
    fn die(&self) {
        self.dead.store(true, SeqCst);
        self.death.notify_waiters();
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn service(root: &Path) -> Option<S3Service> {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).ok()?);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    Some(builder.build())
}

async fn accept(
    listener: TcpListener,
    root: PathBuf,
    faults: Arc<Faults>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        // One of its own for each connection: what a server knows beyond its files would not outlive its death.
        let Some(service) = service(&root) else {
            continue;
        };
        if faults.dead.load(SeqCst) {
            continue;
        }
        let (faults, mut stopped) = (faults.clone(), stopped.clone());
        tokio::spawn(async move {
            let shared = faults.clone();
            let answer =
                service_fn(move |request| answer(request, service.clone(), shared.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                _ = connection => {}
                () = faults.death.notified() => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    faults: Arc<Faults>,
) -> Result<Response<s3s::Body>, Infallible> {
    faults.requests.fetch_add(1, SeqCst);
    if count_down(&faults.die_in) == Some(0) {
        faults.die();
        std::future::pending::<()>().await;
    }
    let refuse = |status: StatusCode| {
        let mut response = Response::new(s3s::Body::empty());
        *response.status_mut() = status;
        Ok(response)
    };
    if count_down(&faults.refuse).is_some() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return refuse(StatusCode::BAD_REQUEST);
    };
    let mut body = body.to_bytes().to_vec();
    if head.method == "PUT" && count_down(&faults.corrupt).is_some() {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let request = Request::from_parts(head, s3s::Body::from(body));
    match service.call(request).await {
        Ok(response) => Ok(response),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Takes one away, unless there is none; what is left.
fn count_down(counter: &AtomicU32) -> Option<u32> {
    let one_less = |count: u32| count.checked_sub(1);
    let before = counter.fetch_update(SeqCst, SeqCst, one_less);
    before.ok().map(|count| count - 1)
}
