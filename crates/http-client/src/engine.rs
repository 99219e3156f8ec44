//! The client, implemented with `ureq`.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;
use http::{Method, Uri};
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, SendBody, Timeout};

use crate::error::{BodyError, of_tls};
use crate::{Body, Cause, Options, Request, Stage, trust};

/// An agent, and its time limits for error messages.
#[derive(Debug)]
pub struct Engine {
    agent: Agent,
    limits: Limits,
    distrust: Option<Cause>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    whole: Duration,
    idle: Duration,
}

impl Engine {
    pub fn new(options: &Options, name: String) -> Self {
        let (certificates, distrust) = match trust::named() {
            Ok(certificates) => (certificates, None),
            Err(cause) => (Some(Vec::new()), Some(cause)),
        };
        let roots = certificates.map_or(RootCerts::WebPki, |certificates| {
            let certificates = certificates.iter();
            let owned = certificates.map(|each| Certificate::from_der(each).to_owned());
            RootCerts::Specific(Arc::new(owned.collect()))
        });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(options.connect))
            .timeout_global(options.whole)
            .timeout_per_read(Some(options.idle))
            .timeout_per_write(Some(options.idle))
            .max_redirects(options.redirects)
            // A service that moves within its host still wants to know who asks; nobody else learns the secret.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .input_buffer_size(options.buffer)
            .output_buffer_size(options.buffer)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .user_agent(name)
            .build();
        Engine {
            agent: Agent::with_parts(agent, DefaultConnector::default(), System::default()),
            limits: Limits {
                connect: options.connect,
                whole: options.whole.unwrap_or_default(),
                idle: options.idle,
            },
            distrust,
        }
    }

    /// Why it trusts nobody, if that is so.
    pub fn distrust(&self) -> Option<&Cause> {
        self.distrust.as_ref()
    }

    pub fn send(&self, request: Request) -> Result<(Parts, Incoming), Cause> {
        let may_be_redirected = matches!(request.method, Method::GET | Method::HEAD);
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(request.url);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let answer = match request.body {
            Body::Empty => {
                let builder = match may_be_redirected {
                    true => builder,
                    false => builder.header("content-length", "0"),
                };
                self.run(builder, SendBody::none(), may_be_redirected)
            }
            Body::Bytes(bytes) => self.run(builder, &bytes[..], may_be_redirected),
            Body::File(part) => {
                // Without the length, the body would be sent in chunks, which S3 does not accept.
                let builder = builder.header("content-length", part.length());
                let body = SendBody::from_owned_reader(Ours(part));
                self.run(builder, body, may_be_redirected)
            }
        };
        let (head, body) = answer?.into_parts();
        Ok((
            head,
            Incoming {
                body: body.into_reader(),
                limits: self.limits,
            },
        ))
    }

    fn run(
        &self,
        request: http::request::Builder,
        body: impl AsSendBody,
        may_be_redirected: bool,
    ) -> Result<http::Response<ureq::Body>, Cause> {
        let request = request
            .body(body)
            .map_err(|error| Cause::Other(error.to_string()))?;
        let answer = match may_be_redirected {
            true => self.agent.run(request),
            false => {
                let request = self.agent.configure_request(request).max_redirects(0);
                self.agent.run(request.build())
            }
        };
        answer.map_err(|error| self.limits.cause(error))
    }
}

impl Limits {
    fn cause(self, error: ureq::Error) -> Cause {
        use ureq::Error;
        match error {
            Error::Io(error) => error.into(),
            Error::HostNotFound => Cause::NoSuchHost,
            Error::Timeout(Timeout::Global | Timeout::PerCall) => {
                Cause::Slow(Stage::Whole, self.whole)
            }
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Cause::Slow(Stage::Connect, self.connect)
            }
            Error::Timeout(_) => Cause::Slow(Stage::Idle, self.idle),
            Error::Rustls(error) => of_tls(&error),
            Error::Tls(why) => Cause::Tls(why.to_owned()),
            Error::TooManyRedirects | Error::RedirectFailed => Cause::Redirects,
            Error::InvalidProxyUrl => Cause::Proxy("its address is not valid".into()),
            Error::ConnectProxyFailed(why) => Cause::Proxy(why),
            other => Cause::Other(other.to_string()),
        }
    }
}

/// The system's resolver; wraps it so that DNS failures can be told from connection failures.
#[derive(Debug, Default)]
struct System(DefaultResolver);

impl Resolver for System {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        match self.0.resolve(uri, config, timeout) {
            Err(ureq::Error::Io(_)) => Err(ureq::Error::HostNotFound),
            outcome => outcome,
        }
    }
}

/// The body of an answer; its errors carry a [`Cause`].
pub struct Incoming {
    body: ureq::BodyReader<'static>,
    limits: Limits,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer).map_err(|error| {
            let cause = match error.downcast::<ureq::Error>() {
                Ok(error) => self.limits.cause(error),
                Err(error) => error.into(),
            };
            io::Error::other(cause)
        })
    }
}

/// A request body that is read locally: its errors must be told from network errors.
struct Ours<R>(R);

impl<R: Read> Read for Ours<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer);
        read.map_err(|error| io::Error::other(BodyError(error)))
    }
}
