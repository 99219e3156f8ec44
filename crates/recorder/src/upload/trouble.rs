//! Why an upload did not succeed, and what follows from it.

use std::time::Duration;

use http_client::Answer;

/// How much of a refusal is quoted, in bytes.
const EXCERPT: u64 = 300;

/// Why an upload ended without success. Nothing is dropped: all but a changed file is tried again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The target takes no upload at the moment, whichever it is.
    Target {
        /// What is wrong, and what to do about it.
        why: String,
        /// When it is worth trying again, if that is known.
        pause: Option<Duration>,
    },
    /// The target does not take this video.
    Video(String),
    /// The file is not the one that was recorded.
    Corrupted(String),
    /// The target has all of the video, and has to be asked after this pause whether it is done with it.
    Unfinished(Duration),
    /// Uploads may not run now.
    Ended,
}

/// What keeps a step of an upload from succeeding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// The server does not know this upload any more: begin anew.
    Gone,
    /// What the server has there is not this video: begin anew.
    Foreign(String),
    /// The server has another number of bytes than expected: ask it.
    Elsewhere,
    /// Likely to be over soon: ask the server and go on, after this pause if it named one.
    Passing(String, Option<Duration>),
    /// Not to be overcome in this attempt.
    Final(Trouble),
}

impl Trouble {
    /// Trouble with the target, which may be over at any time.
    pub fn target(why: impl Into<String>) -> Self {
        Trouble::Target {
            why: why.into(),
            pause: None,
        }
    }
}

impl From<Trouble> for Setback {
    fn from(trouble: Trouble) -> Self {
        Setback::Final(trouble)
    }
}

impl From<http_client::Error> for Setback {
    fn from(error: http_client::Error) -> Self {
        match error.is_transient() {
            true => Setback::Passing(error.to_string(), None),
            false => Trouble::target(error.to_string()).into(),
        }
    }
}

/// The meaning of an answer that is not what `host` should have answered; protocols judge their own statuses before.
pub fn judge(host: &str, answer: Answer) -> Setback {
    let (status, line) = (answer.status(), answer.status_line());
    if (300..400).contains(&status) {
        let to = answer.header("location").unwrap_or("nowhere");
        // Its path and query may contain secrets.
        let to = match http_client::Address::parse(to) {
            Some(address) => address.authority(),
            None => "another address there".into(),
        };
        let why = format!(
            "{host} redirects uploads to {to} ({line}), and nothing is sent there: set the address of the uploads to where they belong"
        );
        return Trouble::target(why).into();
    }
    if answer.is_success() && is_page(&answer) {
        return Trouble::target(portal(host)).into();
    }
    let pause = answer.seconds("retry-after");
    let said = match is_page(&answer) {
        true => String::new(),
        false => quoted(&answer.excerpt(EXCERPT)),
    };
    let why = match status {
        401 => format!("{host} does not accept the credential ({line}{said}): renew it"),
        403 => format!("{host} does not allow uploads with this credential ({line}{said})"),
        404 | 405 | 410 => {
            format!("{host} takes no uploads at this address ({line}): correct the address")
        }
        413 => {
            let why = format!("the video is too large for {host} ({line}{said})");
            return Trouble::Video(why).into();
        }
        507 => format!("{host} is full ({line}{said}): make room there"),
        408 | 423 | 425 | 429 | 500 | 502..=504 => {
            return Setback::Passing(format!("{host} answered {line}{said}"), pause);
        }
        _ => return Trouble::Video(format!("{host} answered {line}{said}")).into(),
    };
    Trouble::Target { why, pause }.into()
}

/// Whether the answer is a web page, which no upload server sends.
pub fn is_page(answer: &Answer) -> bool {
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    kind.starts_with("text/html") || kind.starts_with("application/xhtml")
}

/// What a web page in place of an answer means.
pub fn portal(host: &str) -> String {
    format!(
        "{host} answered with a web page: a login page of the network there stands before it, or the address is wrong"
    )
}

/// What it means that a server says that it has `there` bytes after `sent` were sent.
pub fn other_size(host: &str, there: u64, sent: u64) -> Setback {
    Setback::Foreign(format!(
        "{host} says that it has {there} bytes, but {sent} were sent"
    ))
}

fn quoted(said: &str) -> String {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    match said.is_empty() {
        true => said,
        false => format!(", {said:?}"),
    }
}
