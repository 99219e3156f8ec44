//! YouTube as its documentation describes it: access tokens, resumable uploads, errors, and what it says of a video.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::http::{Reply, Request, Server};
use crate::resumable::{Outcome, Received};

pub const CLIENT_ID: &str = "recorder.apps.example";
pub const CLIENT_SECRET: &str = "client-s3cret";
pub const REFRESH_TOKEN: &str = "1//refresh-s3cret";

/// What it has and does.
#[derive(Debug, Default)]
pub struct State {
    /// The uploads that were begun, with what was said of each.
    pub uploads: BTreeMap<u32, (Received, Value)>,
    /// How many were begun.
    pub begun: u32,
    /// Tokens issued so far; only the last one is valid.
    pub issued: u32,
    /// Whether even a new token is refused.
    pub refuses_all: bool,
    /// The owner has taken the consent back.
    pub is_revoked: bool,
    /// It refuses uploads with this reason.
    pub refusal: Option<(u16, &'static str)>,
    /// The consent is for uploads only.
    pub is_upload_only: bool,
    /// What it says of every video.
    pub size: Option<u64>,
    pub upload_status: Option<&'static str>,
    /// Why it does not want a video.
    pub reason: Option<&'static str>,
    /// It knows none of its videos.
    pub knows_none: bool,
    /// It does not tell of videos, for this reason.
    pub keeps_silent: Option<(u16, &'static str)>,
}

/// The server.
pub struct YoutubeServer {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl YoutubeServer {
    pub fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let server = Server::start(move |request| answer(request, &mut shared.lock().unwrap()));
        YoutubeServer { server, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Deref for YoutubeServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

fn said(status: u16, body: &Value) -> Reply {
    Reply::of(status).body("application/json; charset=UTF-8", body.to_string())
}

fn refusal(status: u16, reason: &str) -> Reply {
    let errors = json!([{ "domain": "youtube.quota", "reason": reason, "message": "as told" }]);
    let error = json!({ "code": status, "message": "as told", "errors": errors });
    said(status, &json!({ "error": error }))
}

fn answer(request: &mut Request, state: &mut State) -> io::Result<Reply> {
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (request.path.clone(), String::new()),
    };
    if path == "/token" {
        return token(request, state);
    }
    let token = format!("Bearer access-{}", state.issued);
    let is_known = request.header("authorization") == Some(&token) && state.issued > 0;
    if !is_known || state.refuses_all {
        return Ok(refusal(401, "authError"));
    }
    let number = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(known, _)| *known == name);
        value.and_then(|(_, value)| value.parse::<u32>().ok())
    };
    match (&*request.method, &*path) {
        ("POST", "/upload/youtube/v3/videos") => {
            assert_eq!(query, "uploadType=resumable&part=snippet,status");
            assert_eq!(request.header("x-upload-content-type"), Some("video/mp4"));
            if let Some((status, reason)) = state.refusal {
                return Ok(refusal(status, reason));
            }
            let total = request.header("x-upload-content-length").unwrap();
            let received = Received {
                total: total.parse().unwrap(),
                ..Received::default()
            };
            let video = serde_json::from_str(&request.text()?).unwrap();
            state.begun += 1;
            let id = state.begun;
            state.uploads.insert(id, (received, video));
            let host = request.header("host").unwrap();
            let location = format!("http://{host}{path}?uploadType=resumable&upload_id={id}");
            Ok(Reply::of(200).header("location", location))
        }
        ("PUT", "/upload/youtube/v3/videos") => {
            let id = number("upload_id").unwrap();
            let Some((received, _)) = state.uploads.get_mut(&id) else {
                return Ok(Reply::of(404));
            };
            if let Some((status, reason)) = state.refusal {
                return Ok(refusal(status, reason));
            }
            let range = request.header("content-range").unwrap().to_owned();
            Ok(match received.take(&range, request)? {
                Outcome::Reply(reply) => reply,
                Outcome::Complete => said(
                    200,
                    &json!({
                        "kind": "youtube#video", "id": id.to_string(),
                        "status": { "uploadStatus": "uploaded" },
                    }),
                ),
            })
        }
        ("GET", "/youtube/v3/videos") => {
            if state.is_upload_only {
                return Ok(refusal(403, "insufficientPermissions"));
            }
            if let Some((status, reason)) = state.keeps_silent {
                return Ok(refusal(status, reason));
            }
            if state.knows_none {
                return Ok(said(200, &json!({ "items": [] })));
            }
            let (received, _) = &state.uploads[&number("id").unwrap()];
            let size = state.size.unwrap_or(received.bytes.len() as u64);
            let status = state.upload_status.unwrap_or("processed");
            let mut video = json!({
                "status": { "uploadStatus": status },
                "fileDetails": { "fileSize": size.to_string() },
            });
            let reason_of = match status {
                "failed" => "failureReason",
                _ => "rejectionReason",
            };
            if let Some(reason) = state.reason {
                video["status"][reason_of] = reason.into();
            }
            Ok(said(200, &json!({ "items": [video] })))
        }
        (method, path) => panic!("nobody documents {method} {path}"),
    }
}

fn token(request: &mut Request, state: &mut State) -> io::Result<Reply> {
    let form = request.text()?;
    let wanted = format!(
        "client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&refresh_token=1%2F%2Frefresh-s3cret&grant_type=refresh_token"
    );
    if state.is_revoked || form != wanted {
        let why = json!({
            "error": "invalid_grant", "error_description": "Token has been expired or revoked.",
        });
        return Ok(said(400, &why));
    }
    state.issued += 1;
    let access = format!("access-{}", state.issued);
    let tokens = json!({ "access_token": access, "expires_in": 3599, "token_type": "Bearer" });
    Ok(said(200, &tokens))
}
