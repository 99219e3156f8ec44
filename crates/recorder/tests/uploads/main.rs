//! Uploads to servers that nobody here wrote (tus, S3) and to fakes that do what is documented of others (PUT, YouTube):
//! through cuts at any byte, and with everything that servers and networks answer instead of what they should.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod http;
mod journal;
mod kills;
mod oddities;
mod put;
mod put_server;
mod queue;
mod relay;
mod resumable;
mod s3;
mod scene;
mod tus;
mod tus_server;
mod youtube;
mod youtube_server;
