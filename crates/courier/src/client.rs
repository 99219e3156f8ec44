//! The client with which targets and receivers are asked.

use std::time::Duration;

use http_client::{Client, Options};

/// A client that follows no redirect. Of its connections there may be as many as there are targets, so their buffers are small.
pub fn new(timeout: Duration) -> Client {
    Client::new(&Options {
        redirects: 0,
        buffer: 16 * 1024,
        ..Options::new("lichen-courier", timeout)
    })
}
