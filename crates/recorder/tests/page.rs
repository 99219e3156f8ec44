//! The page in a real browser, with a real recording.
//!
//! These tests need Chromium out of the tools of `./lichen test`, and ffmpeg; so they run only where `LICHEN_INPUTS` names both
//! `check tools` and `test tools`.

mod film;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use film::*;
use serde_json::json;
use testbed::{Browser, Page, Window};

/// How long a page may take, by its own clock: a video is decoded by the clock on the wall, which goes more slowly.
const SETTLE: Duration = Duration::from_secs(20);

const PHONE: Window = Window {
    width: 390,
    height: 844,
    dark: false,
};
const DESK: Window = Window {
    width: 1280,
    height: 800,
    dark: true,
};

#[test]
#[ignore = "needs a browser: LICHEN_INPUTS=… cargo test -p recorder --test page -- --ignored"]
fn the_page_shows_what_was_recorded_and_plays_it_from_any_moment() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    let session = recorder.records(6.0);
    let door = lets_in(recorder.address);
    let browser = Browser::from_env().unwrap();
    let see = |path: &str, window: Window, name: &str| -> Page {
        let page = browser.open(&format!("{door}{path}"), window, SETTLE, name);
        let page = page.unwrap();
        assert!(page.complaints.is_empty(), "{:?}", page.complaints);
        page
    };
    for (name, window) in [("phone", PHONE), ("desk", DESK)] {
        let page = see("/", window, name);
        for shown in [">Ready<", ">Start recording<", "thumbnail.jpg"] {
            assert!(page.dom.contains(shown), "no {shown} in {}", page.dom);
        }
        let card = format!("data-id=\"{}\"", session["id"]);
        assert!(page.dom.contains(&card), "{}", page.dom);
        let closed = "<dialog id=\"player\" aria-labelledby=\"player-title\">";
        assert!(page.dom.contains(closed), "{}", page.dom);
    }
    // The place that is asked for is not at the beginning: it is reached by a range.
    let moment = format!("/#{}/4.5", session["id"]);
    for (name, window) in [("player-phone", PHONE), ("player-desk", DESK)] {
        let page = see(&moment, window, name);
        let line = page.dom.split("id=\"line\"").nth(1).unwrap();
        let line = line.split('>').next().unwrap();
        for shown in ["aria-valuenow=\"4.50\"", "aria-busy=\"false\""] {
            assert!(line.contains(shown), "no {shown} in {line}");
        }
        assert!(page.dom.contains(">0:04 of 0:0"), "{}", page.dom);
    }
    recorder.stop();
}

#[test]
#[ignore = "needs a browser: LICHEN_INPUTS=… cargo test -p recorder --test page -- --ignored"]
fn who_has_no_token_is_asked_for_it_and_sees_nobody() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    recorder.records(2.0);
    let browser = Browser::from_env().unwrap();
    let url = format!("http://{}/#1/1", recorder.address);
    let page = browser.open(&url, PHONE, SETTLE, "stranger").unwrap();
    assert!(page.complaints.is_empty(), "{:?}", page.complaints);
    assert!(
        page.dom.contains("<form id=\"login\" class=\"panel\">"),
        "{}",
        page.dom
    );
    for hidden in ["thumbnail.jpg", "live.jpg", "video.mp4"] {
        assert!(!page.dom.contains(hidden), "{hidden} in {}", page.dom);
    }
    recorder.stop();
}

/// The address of a relay that shows the token in each request, as a browser without hands cannot log in.
fn lets_in(recorder: SocketAddr) -> String {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", door.local_addr().unwrap());
    std::thread::spawn(move || {
        for browser in door.incoming().flatten() {
            std::thread::spawn(move || pass(browser, TcpStream::connect(recorder).unwrap()));
        }
    });
    address
}

/// Passes one request on, and its answer back.
fn pass(mut browser: TcpStream, mut recorder: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(browser.try_clone()?).lines();
    let (name, value) = BEARER;
    let mut head = lines.next().transpose()?.unwrap_or_default();
    head += &format!("\r\n{name}: {value}\r\nconnection: close\r\n");
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head += &format!("{line}\r\n");
        }
    }
    recorder.write_all(format!("{head}\r\n").as_bytes())?;
    std::io::copy(&mut recorder, &mut browser)?;
    Ok(())
}
