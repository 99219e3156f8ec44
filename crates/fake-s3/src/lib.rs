//! A server of buckets for tests, in the test's own process: it speaks S3, demands signatures, and can be made to fail.
//!
//! Its buckets are folders and its objects files, so that a test sees what came.

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The access key that it knows.
pub const KEY: &str = "AKIDLICHEN";
/// Its secret.
pub const SECRET: &str = "not-so-secret";

/// What S3 says of a bucket that nobody has made; `s3s_fs` would make it.
const NO_SUCH_BUCKET: &str = "<Error><Code>NoSuchBucket</Code></Error>";

/// A server of buckets; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeS3 {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Vec<String>,
    failing: Option<String>,
    root: PathBuf,
}

impl Shared {
    /// The answer to what is asked, if it is a no.
    fn refuse(&self, asked: &str, path: &str) -> Option<(StatusCode, &'static str)> {
        if self
            .failing
            .as_ref()
            .is_some_and(|words| asked.contains(words))
        {
            return Some((StatusCode::SERVICE_UNAVAILABLE, ""));
        }
        let bucket = path.split('/').nth(1).unwrap_or_default();
        (!self.root.join(bucket).is_dir()).then_some((StatusCode::NOT_FOUND, NO_SUCH_BUCKET))
    }
}

impl FakeS3 {
    /// Serves the folders in `root`, on a free port of this machine.
    pub fn serve(root: &Path) -> io::Result<Self> {
        let files = s3s_fs::FileSystem::new(root)
            .map_err(|error| io::Error::other(format!("{}: {error:?}", root.display())))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::new(Mutex::new(Shared {
            root: root.to_owned(),
            ..Shared::default()
        }));
        let serving = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    _ = stopped => Ok(()),
                    end = answer(listener, service, serving) => end,
                }
            })
        });
        Ok(Self {
            port,
            shared,
            _stop: stop,
        })
    }

    /// Where it listens, on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked, such as `PUT /bucket/key?…`, since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared).asked)
    }

    /// Is unable to answer what contains `words`, as if it were too busy; nothing, to answer again.
    pub fn fail(&self, words: Option<&str>) {
        lock(&self.shared).failing = words.map(str::to_owned);
    }
}

async fn answer(
    listener: TcpListener,
    service: S3Service,
    shared: Arc<Mutex<Shared>>,
) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (service, shared) = (service.clone(), shared.clone());
        let one = service_fn(move |request: Request<Incoming>| {
            let asked = format!("{} {}", request.method(), request.uri());
            let refusal = {
                let mut shared = lock(&shared);
                let refusal = shared.refuse(&asked, request.uri().path());
                shared.asked.push(asked);
                refusal
            };
            let service = service.clone();
            async move {
                if let Some((status, words)) = refusal {
                    let mut no = Response::new(s3s::Body::from(words.to_owned()));
                    *no.status_mut() = status;
                    return Ok(no);
                }
                service.call(request.map(s3s::Body::from)).await
            }
        });
        tokio::spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is nobody's fault.
            let _ = http.serve_connection(TokioIo::new(stream), one).await;
        });
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
