//! The target `youtube`: YouTube's
//! [resumable uploads](https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol).
//!
//! The refresh token, which is the credential, is exchanged for an access token that is valid for an hour; one that is
//! refused with 401 is replaced once. The quota is renewed at midnight of Pacific time, so nothing is tried before.
//!
//! What was sent is not a video yet: YouTube processes it, and may find that it cannot. So it is asked until it is done. A
//! video that it has lost or could not process is sent once more; after that, people have to look, and it is only asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_client::{Answer, Client, Method, Request};
use kit::Secret;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use super::config::{CHUNK_UNIT, YoutubeSettings};
use super::hours::until_quota_is_renewed;
use super::place::Place;
use super::put::{content_range, received};
use super::target::{Job, Part, Protocol, Reached, Target, client, resume};
use super::trouble::{Setback, Trouble, is_page, judge};
use super::video::Video;

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 1 << 20;
/// Titles are at most this long, in characters.
const LONGEST_TITLE: usize = 100;
/// How often a video is sent.
const MOST_SENT: u32 = 2;
/// So often a video that is not there is looked for later before it counts as lost.
const LOOKED_FOR: u32 = 3;
/// The pause before it is asked again whether a video is processed, in multiples of the first pause after a setback.
const PROCESSING: u32 = 300;

/// The secrets of a channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The program's ID, which Google issued.
    pub client_id: Secret,
    /// The program's secret.
    pub client_secret: Secret,
    /// The consent of the channel's owner.
    pub refresh_token: Secret,
}

/// A channel on YouTube.
pub struct Youtube {
    api: Place,
    host: String,
    settings: YoutubeSettings,
    channel: Channel,
    client: Client,
    chunk_bytes: u64,
    token: Mutex<Token>,
}

#[derive(Default)]
enum Token {
    #[default]
    None,
    /// Not refused yet.
    Some(Secret),
    /// The one before was refused: if this one is refused as well, a person has to help.
    Second(Secret),
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
}

/// An error as the API describes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: RefusalError,
    /// The answer's first line.
    #[serde(skip)]
    line: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalError {
    message: String,
    errors: Vec<RefusalReason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalReason {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    id: String,
    status: ResourceStatus,
    #[serde(rename = "fileDetails")]
    file: FileDetails,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceStatus {
    upload_status: String,
    failure_reason: String,
    rejection_reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FileDetails {
    /// A number, as text.
    file_size: Option<String>,
}

#[derive(Deserialize)]
struct Resources {
    items: Vec<Resource>,
}

impl Refusal {
    fn of(answer: Answer) -> Self {
        let line = answer.status_line();
        let said = answer.excerpt(LONGEST_ANSWER as u64);
        let refusal: Refusal = serde_json::from_str(&said).unwrap_or_default();
        Refusal { line, ..refusal }
    }

    /// The API's word for why.
    fn reason(&self) -> &str {
        let first = self.error.errors.first();
        first.map_or("", |first| first.reason.as_str())
    }
}

impl Youtube {
    /// The channel whose owner gave these secrets.
    pub fn new(
        settings: &YoutubeSettings,
        channel: Channel,
        chunk_bytes: u64,
    ) -> anyhow::Result<Self> {
        let api = Place::new(&settings.api)?;
        Ok(Youtube {
            host: api.host(),
            api,
            settings: settings.clone(),
            channel,
            client: client(),
            chunk_bytes: chunk_bytes.next_multiple_of(CHUNK_UNIT),
            token: Mutex::default(),
        })
    }

    /// Sends a request with an access token; an answer that refuses the token is a setback.
    fn ask_with(&self, request: Request) -> Result<Answer, Setback> {
        let token = self.token()?;
        let request = request.header("authorization", format!("Bearer {}", token.expose()));
        let answer = self.client.send(request)?;
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.status() != 401 {
            *held = Token::Some(token);
            return Ok(answer);
        }
        match std::mem::take(&mut *held) {
            Token::Second(_) => {
                let host = &self.host;
                let why = format!(
                    "{host} refuses a new access token (401): its owner has to give the consent again, as recorder.youtube-refresh-token"
                );
                Err(Trouble::target(why).into())
            }
            Token::None | Token::Some(_) => {
                drop(held);
                let fresh = self.fresh_token()?;
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Token::Second(fresh);
                let why = format!("{} refused the access token", self.host);
                Err(Setback::Passing(why, Some(Duration::ZERO)))
            }
        }
    }

    fn token(&self) -> Result<Secret, Setback> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Token::Some(token) | Token::Second(token) => Ok(token.clone()),
            Token::None => {
                let token = self.fresh_token()?;
                *held = Token::Second(token.clone());
                Ok(token)
            }
        }
    }

    /// Exchanges the refresh token for an access token.
    fn fresh_token(&self) -> Result<Secret, Setback> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", self.channel.client_id.expose())
            .append_pair("client_secret", self.channel.client_secret.expose())
            .append_pair("refresh_token", self.channel.refresh_token.expose())
            .append_pair("grant_type", "refresh_token")
            .finish();
        let request = Request::post(&*self.settings.token_url, form)
            .header("content-type", "application/x-www-form-urlencoded");
        let place = Place::new(&self.settings.token_url);
        let host = place.map_or_else(|_| self.host.clone(), |place| place.host());
        let answer = self.client.send(request)?;
        if is_page(&answer) {
            return Err(judge(&host, answer));
        }
        match answer.status() {
            200 => {
                let tokens: Tokens = json(answer, &host)?;
                Ok(Secret::new(tokens.access_token))
            }
            400 | 401 => {
                let (line, said) = (answer.status_line(), answer.excerpt(LONGEST_ANSWER as u64));
                let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
                let why = match said["error"].as_str().unwrap_or_default() {
                    "invalid_grant" => format!(
                        "{host} does not accept the consent of the channel's owner any more (invalid_grant): it has to be given again, as recorder.youtube-refresh-token"
                    ),
                    "invalid_client" | "unauthorized_client" => format!(
                        "{host} does not know recorder.youtube-client-id with recorder.youtube-client-secret"
                    ),
                    "" => format!("{host} issues no access token ({line})"),
                    other => format!("{host} issues no access token ({line}: {other})"),
                };
                Err(Trouble::target(why).into())
            }
            _ => Err(judge(&host, answer)),
        }
    }

    /// The meaning of a refusal, by the reasons in the API's documentation.
    fn judge(&self, answer: Answer) -> Setback {
        let status = answer.status();
        if is_page(&answer) || !(400..500).contains(&status) || matches!(status, 408 | 429) {
            return judge(&self.host, answer);
        }
        self.refused(status, &Refusal::of(answer))
    }

    fn refused(&self, status: u16, refusal: &Refusal) -> Setback {
        let (host, reason) = (&self.host, refusal.reason());
        let message = match refusal.error.message.is_empty() {
            true => String::new(),
            false => format!(": {}", refusal.error.message),
        };
        let why = format!("{host} answered {} ({reason}{message})", refusal.line);
        match reason {
            "quotaExceeded" | "dailyLimitExceeded" | "uploadLimitExceeded" => Trouble::Target {
                why: format!("{host} takes no more uploads today ({reason})"),
                pause: Some(until_quota_is_renewed()),
            }
            .into(),
            "rateLimitExceeded" | "userRateLimitExceeded" => Setback::Passing(why, None),
            "youtubeSignupRequired" => Trouble::target(format!(
                "the account at {host} has no channel (youtubeSignupRequired): create one"
            ))
            .into(),
            _ if status == 403 => Trouble::target(why).into(),
            _ => Trouble::Video(why).into(),
        }
    }

    /// Judges a video by what the API says of it.
    fn accepted(&self, resource: &Resource, job: &Job) -> Result<(), Setback> {
        let (host, status) = (&self.host, &resource.status);
        let reason = match status.failure_reason.is_empty() {
            true => &status.rejection_reason,
            false => &status.failure_reason,
        };
        let why = || {
            let how = &status.upload_status;
            format!("{host} says that the video is {how}: {reason}")
        };
        match &*status.upload_status {
            "processed" => {}
            // Its answer to an earlier upload of the same bytes was lost.
            "rejected" if reason == "duplicate" => return Ok(()),
            "rejected" | "deleted" => return Err(Trouble::Video(why()).into()),
            "failed" => return Err(self.sent_in_vain(why(), job)),
            _ => return Err(unfinished(job)),
        }
        let (size, bytes) = (resource.file.file_size.as_ref(), job.video.bytes);
        match size.and_then(|size| size.parse::<u64>().ok()) {
            Some(there) if there != bytes => {
                let why = format!("{host} says that it has {there} bytes, but {bytes} were sent");
                Err(self.sent_in_vain(why, job))
            }
            _ => Ok(()),
        }
    }

    /// What follows when the video that was made of an upload is none: it is sent once more.
    fn sent_in_vain(&self, why: String, job: &Job) -> Setback {
        match job.journal.beginnings() < MOST_SENT {
            true => Setback::Foreign(why),
            false => {
                let why = format!("{why}; it was sent twice, and is not sent again");
                Trouble::Video(why).into()
            }
        }
    }

    /// The address of a video.
    fn address(&self, id: &str) -> String {
        let api = self.settings.api.trim_end_matches('/');
        format!("{api}/youtube/v3/videos?part=status,fileDetails&id={id}")
    }

    /// The video that is at an address, unless it is that of an upload.
    fn video_at<'l>(&self, location: &'l str) -> Option<&'l str> {
        location.strip_prefix(&self.address(""))
    }

    fn reached(&self, answer: Answer) -> Result<Reached, Setback> {
        match answer.status() {
            308 if answer.header("location").is_none() => Ok(Reached::Bytes(received(&answer))),
            200 | 201 if !is_page(&answer) => {
                let said = answer.bytes(LONGEST_ANSWER)?;
                let id = serde_json::from_slice(&said).map(|resource: Resource| resource.id);
                match id {
                    Ok(id) if !id.is_empty() => Ok(Reached::Whole(Some(self.address(&id)))),
                    _ => {
                        let why = format!("{} does not say which video it has made", self.host);
                        Err(Trouble::Video(why).into())
                    }
                }
            }
            404 | 410 => Err(Setback::Gone),
            _ => Err(self.judge(answer)),
        }
    }
}

impl Target for Youtube {
    fn upload(&self, job: &Job) -> Result<String, Trouble> {
        resume(self, job)
    }
}

impl Protocol for Youtube {
    fn host(&self) -> &str {
        &self.host
    }

    fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    fn begin(&self, video: &Video) -> Result<String, Setback> {
        // These two are not allowed in titles.
        let title = video.title.replace(['<', '>'], " ");
        let title: String = title.trim().chars().take(LONGEST_TITLE).collect();
        let title = match title.is_empty() {
            true => video.name(),
            false => title,
        };
        let body = json!({
            "snippet": {
                "title": title,
                "description": self.settings.description,
                "categoryId": self.settings.category.to_string(),
            },
            "status": { "privacyStatus": self.settings.privacy.word() },
        });
        let url = format!(
            "{}/upload/youtube/v3/videos?uploadType=resumable&part=snippet,status",
            self.settings.api.trim_end_matches('/')
        );
        let request = Request::post(url, body.to_string())
            .header("content-type", "application/json; charset=UTF-8")
            .header("x-upload-content-length", video.bytes.to_string())
            .header("x-upload-content-type", "video/mp4");
        let answer = self.ask_with(request)?;
        match answer.status() {
            200 if !is_page(&answer) => self.api.location(answer.header("location")),
            _ => Err(self.judge(answer)),
        }
    }

    fn ask(&self, location: &str, video: &Video) -> Result<Reached, Setback> {
        if self.video_at(location).is_some() {
            return Ok(Reached::Whole(None));
        }
        let request = Request::new(Method::PUT, location)
            .header("content-range", format!("bytes */{}", video.bytes));
        self.reached(self.ask_with(request)?)
    }

    fn send(&self, location: &str, video: &Video, part: Part) -> Result<Reached, Setback> {
        let request = Request::new(Method::PUT, location)
            .header("content-type", "video/mp4")
            .header("content-range", content_range(&part, video));
        self.reached(self.ask_with(part.in_request(request))?)
    }

    /// Asks for the video. A consent that only allows uploads does not allow that: then the answer to the upload has to
    /// suffice.
    fn check(&self, location: &str, job: &Job) -> Result<String, Setback> {
        let Some(id) = self.video_at(location) else {
            // It has everything, and has not named the video yet.
            return Err(unfinished(job));
        };
        let answer = self.ask_with(Request::get(location))?;
        if is_page(&answer) {
            return Err(judge(&self.host, answer));
        }
        match answer.status() {
            200 => {}
            403 => {
                let refusal = Refusal::of(answer);
                return match refusal.reason() {
                    "insufficientPermissions" | "forbidden" => Ok(id.to_owned()),
                    _ => Err(self.refused(403, &refusal)),
                };
            }
            _ => return Err(self.judge(answer)),
        }
        let found: Resources = json(answer, &self.host)?;
        match found.items.first() {
            Some(resource) => self.accepted(resource, job).map(|()| id.to_owned()),
            None => {
                let host = &self.host;
                let why = format!("{host} does not know the video {id} that it has made");
                // Others of its servers may not have heard of it yet.
                match job.failures < LOOKED_FOR {
                    true => Err(Trouble::Video(why).into()),
                    false => Err(self.sent_in_vain(why, job)),
                }
            }
        }
    }
}

fn unfinished(job: &Job) -> Setback {
    Trouble::Unfinished(job.pause * PROCESSING).into()
}

fn json<T: serde::de::DeserializeOwned>(answer: Answer, host: &str) -> Result<T, Setback> {
    let said = answer.bytes(LONGEST_ANSWER)?;
    serde_json::from_slice(&said).map_err(|_| {
        let why = format!("{host} answered with something that this version does not understand");
        Trouble::target(why).into()
    })
}
