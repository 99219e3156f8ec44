//! Live pictures, made only while somebody looks.
//!
//! While a recording runs they are made of the file that is being written, so that the camera is not opened twice and
//! recording costs no more when nobody looks.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::process::{ChildStdout, Command};
use tokio::sync::watch as signal;

use super::{Camera, ffmpeg};
use crate::mp4;

/// How often the file is looked at for what has been written since.
const LOOK: Duration = Duration::from_millis(200);

/// A picture that is larger than this is none.
const LARGEST: usize = 4 << 20;

/// Makes pictures of the recording whose newest part `parts` names, until that changes or something fails.
pub async fn follow(
    mut parts: signal::Receiver<Option<PathBuf>>,
    show: impl FnMut(Bytes),
) -> anyhow::Result<()> {
    let part = parts.borrow_and_update().clone();
    let part = part.context("nothing is being recorded at the moment")?;
    let mut command = ffmpeg::command("ffmpeg");
    command.args(ffmpeg::live_of_stdin()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (stdin, stdout) = stdin.zip(stdout).context("ffmpeg has no pipes")?;
    tokio::select! {
        fed = feed(&part, stdin) => fed,
        shown = pictures(stdout, show) => shown,
        _ = parts.changed() => Ok(()),
    }
}

/// Makes pictures of a camera that is not being recorded.
pub async fn preview(camera: &Camera, show: impl FnMut(Bytes)) -> anyhow::Result<()> {
    let mut command: Command = camera.preview().await.map_err(anyhow::Error::msg)?;
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("ffmpeg has no stdout")?;
    pictures(stdout, show).await
}

/// Writes the beginning of the part, and then what follows from its last fragment on, as it is being written.
async fn feed(part: &Path, mut to: impl AsyncWrite + Unpin) -> anyhow::Result<()> {
    let path = part.to_owned();
    let scan = tokio::task::spawn_blocking(move || mp4::scan(&path)).await??;
    let mut file = tokio::fs::File::open(part).await?;
    let mut chunk = vec![0; 64 << 10];
    let mut head = vec![0; usize::try_from(scan.head)?];
    file.read_exact(&mut head).await?;
    to.write_all(&head).await?;
    file.seek(SeekFrom::Start(scan.last.max(scan.head))).await?;
    loop {
        match file.read(&mut chunk).await? {
            0 => tokio::time::sleep(LOOK).await,
            count => to.write_all(&chunk[..count]).await?,
        }
    }
}

/// Takes pictures, each of which is preceded by its length.
async fn pictures(from: ChildStdout, mut show: impl FnMut(Bytes)) -> anyhow::Result<()> {
    let mut from = BufReader::new(from);
    let (mut line, mut length) = (String::new(), None);
    loop {
        line.clear();
        anyhow::ensure!(
            from.read_line(&mut line).await? > 0,
            "ffmpeg makes no pictures any more"
        );
        let text = line.trim();
        if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        if text.is_empty()
            && let Some(bytes) = length.take()
        {
            anyhow::ensure!(bytes <= LARGEST, "a picture of {bytes} bytes is none");
            let mut picture = vec![0; bytes];
            from.read_exact(&mut picture).await?;
            show(picture.into());
        }
    }
}
