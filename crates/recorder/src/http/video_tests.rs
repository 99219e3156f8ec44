//! Ranges of files.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use axum::body::to_bytes;

use super::*;

#[test]
fn a_range_is_what_the_standard_says() {
    use Wanted::{Beyond, Part};
    for (range, wanted) in [
        ("bytes=0-0", Some(Part(0..1))),
        ("bytes=0-499", Some(Part(0..500))),
        ("bytes=500-999", Some(Part(500..1000))),
        ("bytes=500-", Some(Part(500..1000))),
        ("bytes=0-", Some(Part(0..1000))),
        ("bytes=999-5000", Some(Part(999..1000))),
        ("bytes=0-99999999999999999999999", Some(Part(0..1000))),
        ("bytes=-1", Some(Part(999..1000))),
        ("bytes=-5000", Some(Part(0..1000))),
        ("Bytes = 1-2", Some(Part(1..3))),
        ("bytes=1000-", Some(Beyond)),
        ("bytes=1000-1001", Some(Beyond)),
        ("bytes=99999999999999999999999-", Some(Beyond)),
        ("bytes=-0", Some(Beyond)),
        // These are not ranges, or not one range, so that the whole is sent.
        ("bytes=2-1", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1-2-3", None),
        ("bytes=0-1,5-6", None),
        ("frames=0-1", None),
        ("0-1", None),
    ] {
        assert_eq!(part(range, 1000), wanted, "{range}");
    }
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        assert_eq!(part(range, 0), Some(Beyond), "{range} of nothing");
    }
}

#[test]
fn a_range_of_another_file_is_not_taken() {
    let asked = |if_range: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=5-"));
        if let Some(if_range) = if_range {
            headers.insert(header::IF_RANGE, if_range.parse().unwrap());
        }
        wanted(&headers, "\"now\"", 10)
    };
    assert_eq!(asked(None), Wanted::Part(5..10));
    assert_eq!(asked(Some("\"now\"")), Wanted::Part(5..10));
    for other in ["\"before\"", "W/\"now\"", "Mon, 30 Nov 2026 00:00:00 GMT"] {
        assert_eq!(asked(Some(other)), Wanted::Whole, "{other}");
    }
}

/// A file of a thousand bytes, each of which tells its place.
struct Film(tempfile::TempDir);

impl Film {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..1000u32).map(|place| place as u8).collect();
        std::fs::write(directory.path().join("video.mp4"), bytes).unwrap();
        Film(directory)
    }

    async fn asked(
        &self,
        method: Method,
        all: &[(header::HeaderName, &str)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let path = self.0.path().join("video.mp4");
        let served = Served {
            path: &path,
            kind: "video/mp4",
            sha256: Some("abc"),
        };
        let headers = all.iter();
        let headers = headers
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let response = served.answer(&method, &headers).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status.as_u16(), head.headers, body.to_vec())
    }
}

#[tokio::test]
async fn a_player_gets_the_range_that_it_seeks_to() {
    let film = Film::new();
    let (status, headers, body) = film.asked(Method::GET, &[]).await;
    assert_eq!((status, body.len()), (200, 1000));
    assert_eq!(headers[header::ACCEPT_RANGES], "bytes");
    assert_eq!(headers[header::ETAG], "\"abc\"");
    assert_eq!(headers[header::CONTENT_LENGTH], "1000");

    let seek = [(header::RANGE, "bytes=500-"), (header::IF_RANGE, "\"abc\"")];
    let (status, headers, body) = film.asked(Method::GET, &seek).await;
    assert_eq!((status, body.len(), body[0]), (206, 500, 244));
    assert_eq!(headers[header::CONTENT_RANGE], "bytes 500-999/1000");
    assert_eq!(headers[header::CONTENT_LENGTH], "500");
    assert_eq!(headers[header::CONTENT_TYPE], "video/mp4");

    // The file has become another one: all of it has to be fetched.
    let seek = [(header::RANGE, "bytes=500-"), (header::IF_RANGE, "\"ab\"")];
    let (status, _, body) = film.asked(Method::GET, &seek).await;
    assert_eq!((status, body.len()), (200, 1000));

    let beyond = [(header::RANGE, "bytes=1000-")];
    let (status, headers, body) = film.asked(Method::GET, &beyond).await;
    assert_eq!((status, body.len()), (416, 0));
    assert_eq!(headers[header::CONTENT_RANGE], "bytes */1000");
}

#[tokio::test]
async fn what_a_browser_has_already_is_not_sent_again() {
    let film = Film::new();
    let known = [(header::IF_NONE_MATCH, "\"abc\"")];
    let (status, headers, body) = film.asked(Method::GET, &known).await;
    assert_eq!((status, body.len()), (304, 0));
    assert_eq!(headers[header::ETAG], "\"abc\"");
    let other = [(header::IF_NONE_MATCH, "\"abcd\"")];
    assert_eq!(film.asked(Method::GET, &other).await.0, 200);
}

#[tokio::test]
async fn a_question_for_the_size_alone_is_answered_for_the_whole() {
    let film = Film::new();
    let ranged = [(header::RANGE, "bytes=0-9")];
    let (status, headers, _) = film.asked(Method::HEAD, &ranged).await;
    assert_eq!(status, 200);
    assert_eq!(headers[header::CONTENT_LENGTH], "1000");
}

#[tokio::test]
async fn a_file_that_is_gone_is_named() {
    let served = Served {
        path: Path::new("/nonexistent/video.mp4"),
        kind: "video/mp4",
        sha256: None,
    };
    let answer = served.answer(&Method::GET, &HeaderMap::new()).await;
    let response = answer.unwrap_err().into_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("/nonexistent/video.mp4"), "{body}");
}
