//! What every kind of target has in common: the trait, the video in hand, and the way through a resumable protocol.
//!
//! Three of the four protocols work alike: an upload is begun and gets an address, the server is asked how much of it
//! it has, and parts are sent until it has everything. A protocol says how each step is expressed in HTTP; in which
//! order they happen, and what follows from a setback, is decided here.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use http_client::{Client, FilePart, Options, Request};

use super::pace::Pace;
use super::trouble::{Setback, Trouble, other_size};
use super::video::Video;

/// Setbacks in a row, without a byte acknowledged in between, after which a target is left alone for longer.
const SETBACKS: u32 = 4;
/// A longer pause is the queue's, which something new may end.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How often an upload is begun in one attempt: a server that forgets every upload is not flooded with videos.
const BEGINNINGS: u32 = 3;

/// Where videos are uploaded to.
pub trait Target: Send {
    /// Uploads what is missing of a video, and checks what the target says that it has. Returns the target's name for
    /// the video.
    fn upload(&self, job: &Job) -> Result<String, Trouble>;
}

/// A video in hand.
pub struct Job<'j> {
    /// The video, whose file was checked.
    pub video: &'j Video,
    /// Its file.
    pub file: Arc<File>,
    /// The memory of this upload.
    pub journal: &'j dyn Journal,
    /// Watches everything that is sent.
    pub pace: Arc<Pace>,
    /// The pause after the first setback; it is doubled after each further one.
    pub pause: Duration,
    /// How often the target did not take this video before.
    pub failures: u32,
}

/// The memory of an upload; what was remembered is on the card.
pub trait Journal {
    /// The server's name for the upload, if it was begun.
    fn location(&self) -> Option<String>;

    /// How often the upload was begun.
    fn beginnings(&self) -> u32;

    /// Remembers the server's name for the upload, or that there is none any more.
    fn begun(&self, location: Option<&str>) -> Result<(), Trouble>;

    /// Remembers another name for the upload that was begun.
    fn moved(&self, location: &str) -> Result<(), Trouble>;

    /// Remembers how many bytes the server has acknowledged.
    fn acknowledged(&self, bytes: u64) -> Result<(), Trouble>;
}

/// A resumable protocol.
pub trait Protocol {
    /// The server's host, for messages.
    fn host(&self) -> &str;

    /// Begins an upload, and returns the server's name for it.
    fn begin(&self, video: &Video) -> Result<String, Setback>;

    /// Asks how much of the upload the server has.
    fn ask(&self, location: &str, video: &Video) -> Result<Reached, Setback>;

    /// Sends a part.
    fn send(&self, location: &str, video: &Video, part: Part) -> Result<Reached, Setback>;

    /// Checks what the server says of the complete upload. What is not the video is sent anew with the next attempt.
    fn check(&self, location: &str, job: &Job) -> Result<String, Setback>;

    /// The length of the next part; the rest of a video counts as one if it is shorter.
    fn chunk_bytes(&self) -> u64;
}

/// A part of a video.
pub struct Part {
    /// Where it begins.
    pub start: u64,
    /// Where it ends, exclusively.
    pub end: u64,
    body: FilePart,
    /// Whether to let the server refuse the part before it is sent. A server that refuses it and hangs up meanwhile
    /// would look like a line that was cut; asking each time would take a round trip for each part.
    is_announced: bool,
}

impl Part {
    /// Makes it the body of a request.
    pub fn in_request(self, request: Request) -> Request {
        let request = match self.is_announced {
            true => request.header("expect", "100-continue"),
            false => request,
        };
        request.body(self.body)
    }

    /// The bytes themselves, for a checksum.
    pub fn bytes(&self) -> FilePart {
        self.body.clone().unwatched()
    }
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The server has this many bytes.
    Bytes(u64),
    /// The server has everything, at this address if that is another one than the upload's.
    Whole(Option<String>),
}

/// Takes a video through a protocol, from wherever its upload stands.
pub fn resume(protocol: &impl Protocol, job: &Job) -> Result<String, Trouble> {
    let mut way = Way {
        protocol,
        job,
        reached: None,
        most: 0,
        setbacks: 0,
        beginnings: 0,
    };
    loop {
        match way.step() {
            Ok(Some(receipt)) => return Ok(receipt),
            Ok(None) => {}
            Err(setback) => way.overcome(setback)?,
        }
    }
}

struct Way<'w, P> {
    protocol: &'w P,
    job: &'w Job<'w>,
    /// None if the server has to be asked.
    reached: Option<Reached>,
    /// The most that was ever acknowledged of this upload.
    most: u64,
    setbacks: u32,
    beginnings: u32,
}

impl<P: Protocol> Way<'_, P> {
    fn step(&mut self) -> Result<Option<String>, Setback> {
        let (protocol, job) = (self.protocol, self.job);
        if job.pace.go_on().is_err() {
            return Err(Trouble::Ended.into());
        }
        let Some(location) = job.journal.location() else {
            self.beginnings += 1;
            let location = protocol.begin(job.video)?;
            job.journal.begun(Some(&location))?;
            self.reached = Some(Reached::Bytes(0));
            return Ok(None);
        };
        let whole = job.video.bytes;
        match self.reached.take() {
            None => {
                let reached = protocol.ask(&location, job.video)?;
                self.acknowledged(reached)?;
            }
            Some(Reached::Bytes(at)) if at > whole => {
                return Err(other_size(protocol.host(), at, whole));
            }
            Some(Reached::Bytes(at)) if at < whole => {
                let reached = self.send(&location, at)?;
                self.acknowledged(reached)?;
            }
            Some(_) => match protocol.check(&location, job) {
                Err(Setback::Foreign(why)) => {
                    // All of it was sent in vain: not again without a pause.
                    job.journal.begun(None)?;
                    return Err(Trouble::Video(why).into());
                }
                checked => return checked.map(Some),
            },
        }
        Ok(None)
    }

    /// Sends the part that begins at `at`.
    fn send(&mut self, location: &str, at: u64) -> Result<Reached, Setback> {
        let (protocol, job) = (self.protocol, self.job);
        let end = job.video.bytes.min(at + protocol.chunk_bytes());
        let body = FilePart::new(job.file.clone(), at..end).watched(job.pace.watch(at));
        let part = Part {
            start: at,
            end,
            body,
            is_announced: self.setbacks > 0,
        };
        let sent = protocol.send(location, job.video, part);
        if job.pace.has_ended() {
            return Err(Trouble::Ended.into());
        }
        match sent? {
            // A success that acknowledges nothing would be repeated for ever.
            Reached::Bytes(there) if there <= at => Err(Setback::Elsewhere),
            Reached::Bytes(there) if there > end => Err(other_size(protocol.host(), there, end)),
            reached => Ok(reached),
        }
    }

    fn acknowledged(&mut self, reached: Reached) -> Result<(), Trouble> {
        let bytes = match &reached {
            Reached::Bytes(bytes) => *bytes,
            Reached::Whole(moved) => {
                if let Some(location) = moved {
                    self.job.journal.moved(location)?;
                }
                self.job.video.bytes
            }
        };
        self.job.journal.acknowledged(bytes)?;
        if bytes > self.most {
            // A line that is cut again and again gets a video through, too, if slowly.
            (self.most, self.setbacks) = (bytes, 0);
        }
        self.reached = Some(reached);
        Ok(())
    }

    /// Prepares the next step after a setback, if there is to be one.
    fn overcome(&mut self, setback: Setback) -> Result<(), Trouble> {
        let host = self.protocol.host();
        self.reached = None;
        let (why, pause) = match setback {
            Setback::Final(trouble) => return Err(trouble),
            Setback::Gone => {
                let why = format!("{host} does not know the upload that it began any more");
                return self.begin_anew(Trouble::target(why));
            }
            Setback::Foreign(why) => return self.begin_anew(Trouble::Video(why)),
            Setback::Elsewhere => (format!("{host} expects another part"), None),
            Setback::Passing(why, pause) => (why, pause),
        };
        self.setbacks += 1;
        let own = kit::back_off(self.job.pause, self.setbacks, Duration::MAX);
        let rest = pause.unwrap_or(own);
        if self.setbacks >= SETBACKS || rest > LONGEST_REST {
            return Err(Trouble::Target { why, pause });
        }
        self.job.pace.rest(rest).map_err(|_| Trouble::Ended)
    }

    /// Forgets the upload, so that the next step begins another one, unless that was tried often enough.
    fn begin_anew(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        self.job.journal.begun(None)?;
        self.most = 0;
        match self.beginnings < BEGINNINGS {
            true => Ok(()),
            false => Err(trouble),
        }
    }
}

/// The client of all protocols: nothing is ever redirected, and a stalled request ends.
pub fn client() -> Client {
    Client::new(&Options {
        whole: None,
        redirects: 0,
        ..Options::new("lichen-recorder", Duration::from_secs(60))
    })
}
