//! Uploads a file as an object, in one piece or in parts.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use http_client::{Body, Bytes, FilePart, Watch};
use rusty_s3::actions::{
    CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload,
};
use std::os::unix::fs::FileExt;

use crate::sum::{Parts, Sum};
use crate::{Bucket, Entry, Error, Ledger, Object, Reason, Refusal, quirks, text};

/// How to upload a file.
#[derive(Clone)]
pub struct Upload<'u> {
    /// Larger files are uploaded in parts of this size, or larger parts if there would be too many.
    pub part_bytes: u64,
    /// The ledger and the entry's name, so that the upload continues after a restart. Without it, a failed upload is
    /// aborted.
    pub ledger: Option<(&'u Ledger, &'u str)>,
    /// Called with the number of uploaded bytes, also while the object is read back. Its error ends the upload.
    pub progress: Option<Watch>,
}

impl Default for Upload<'_> {
    fn default() -> Self {
        Upload {
            part_bytes: 16 << 20,
            ledger: None,
            progress: None,
        }
    }
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("part_bytes", &self.part_bytes)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

/// A file that is being uploaded.
struct Source<'s> {
    path: &'s Path,
    file: Arc<File>,
    bytes: u64,
}

/// A multipart upload that the storage knows.
struct Begun {
    id: String,
    tags: Vec<String>,
}

impl Bucket {
    /// Uploads a file, replacing any object with that key, and verifies it; with a ledger, this is recorded.
    ///
    /// The file must not change during the upload. A change is detected, and the next call uploads the file again.
    pub fn upload(&self, key: &str, file: &Path, how: &Upload) -> Result<Object, Error> {
        let source = Source::open(file)?;
        let part_bytes = quirks::part_bytes(how.part_bytes, source.bytes);
        let object = match source.bytes <= part_bytes {
            true => self.in_one_piece(key, &source, how)?,
            false => self.in_parts(key, &source, how, part_bytes)?,
        };
        if let Some((ledger, name)) = how.ledger {
            let Object { etag, bytes } = object.clone();
            let entry = Entry::Synced { etag, bytes };
            ledger.set(name, &entry).map_err(Error::Ledger)?;
        }
        Ok(object)
    }

    fn in_one_piece(&self, key: &str, source: &Source, how: &Upload) -> Result<Object, Error> {
        let sum = source.sum(0..source.bytes)?;
        let etag = self.patiently(|| {
            let action = self.bucket.put_object(Some(&self.keys.0), key);
            self.send_summed(action, source.part(0..source.bytes, how), &sum)
        })?;
        match etag == sum.hex() {
            true => Ok(Object {
                etag,
                bytes: source.bytes,
            }),
            false => self.compare(key, source, &sum.hex(), how),
        }
    }

    fn in_parts(
        &self,
        key: &str,
        source: &Source,
        how: &Upload,
        part_bytes: u64,
    ) -> Result<Object, Error> {
        let begun = self.resumed(key, source, how, part_bytes)?;
        let mut begun = match begun {
            Some(begun) => begun,
            None => self.begin(key)?,
        };
        let mut sums = Parts::default();
        let outcome = self
            .send_parts(key, source, how, part_bytes, &mut begun, &mut sums)
            .and_then(|()| self.complete(key, &begun));
        let whole = sums.tag();
        let Err(error) = outcome else {
            return self.compare(key, source, &whole, how);
        };
        // The upload may be complete already, if only the answer was lost.
        let is_whole = |there: Option<Object>| there.is_some_and(|there| there.etag == whole);
        if error.reason().is_some() && self.head(key).is_ok_and(is_whole) {
            return self.compare(key, source, &whole, how);
        }
        match how.ledger {
            // A busy storage, a wrong clock or an expired key does not make the uploaded parts worthless.
            Some((ledger, name)) if is_lost(&error) => {
                ledger.clear(name).map_err(Error::Ledger)?;
            }
            Some(_) => {}
            None => self.give_up(key, &begun),
        }
        Err(error)
    }

    /// The upload in the ledger, if it belongs to the current content of this file; another one is aborted.
    fn resumed(
        &self,
        key: &str,
        source: &Source,
        how: &Upload,
        part_bytes: u64,
    ) -> Result<Option<Begun>, Error> {
        let entry = how.ledger.and_then(|(ledger, name)| ledger.get(name));
        let Some(Entry::Uploading {
            upload_id: id,
            part_bytes: then,
            parts: tags,
        }) = entry
        else {
            return Ok(None);
        };
        let mut fits = then == part_bytes && tags.len() <= source.ranges(part_bytes).count();
        for (tag, range) in tags.iter().zip(source.ranges(part_bytes)) {
            fits = fits && (!quirks::is_sum(tag) || *tag == source.sum(range)?.hex());
        }
        let begun = Begun { id, tags };
        if !fits {
            self.give_up(key, &begun);
            return Ok(None);
        }
        Ok(Some(begun))
    }

    fn begin(&self, key: &str) -> Result<Begun, Error> {
        let id = self.patiently(|| {
            let action = self.bucket.create_multipart_upload(Some(&self.keys.0), key);
            let answer = text(self.ask(&action, Body::Empty)?)?;
            match CreateMultipartUpload::parse_response(&answer) {
                Ok(begun) => Ok(begun.upload_id().to_owned()),
                Err(_) => Err(Error::Strange {
                    what: "the upload's ID",
                    answer,
                }),
            }
        })?;
        Ok(Begun {
            id,
            tags: Vec::new(),
        })
    }

    /// Uploads the missing parts.
    fn send_parts(
        &self,
        key: &str,
        source: &Source,
        how: &Upload,
        part_bytes: u64,
        begun: &mut Begun,
        sums: &mut Parts,
    ) -> Result<(), Error> {
        for (number, range) in (1..).zip(source.ranges(part_bytes)) {
            let sum = source.sum(range.clone())?;
            sums.add(&sum);
            if usize::from(number) <= begun.tags.len() {
                continue;
            }
            let tag = self.patiently(|| {
                let keys = Some(&self.keys.0);
                let action = self.bucket.upload_part(keys, key, number, &begun.id);
                self.send_summed(action, source.part(range.clone(), how), &sum)
            })?;
            begun.tags.push(tag);
            if let Some((ledger, name)) = how.ledger {
                let entry = Entry::Uploading {
                    upload_id: begun.id.clone(),
                    part_bytes,
                    parts: begun.tags.clone(),
                };
                ledger.set(name, &entry).map_err(Error::Ledger)?;
            }
        }
        Ok(())
    }

    /// Combines the parts into an object.
    fn complete(&self, key: &str, begun: &Begun) -> Result<(), Error> {
        self.patiently(|| {
            let action = || {
                let tags = begun.tags.iter().map(String::as_str);
                let keys = Some(&self.keys.0);
                CompleteMultipartUpload::new(&self.bucket, keys, key, &begun.id, tags)
            };
            let list = Bytes::from(action().body());
            let answer = text(self.ask(&action(), list.into())?)?;
            match CompleteMultipartUploadResponse::parse(&answer) {
                Ok(_) => Ok(()),
                // The status was sent before the result was known.
                Err(_) => Err(Error::Refused(Refusal::new(500, &answer, None, None))),
            }
        })
    }

    /// Aborts an upload: parts of an incomplete upload are invisible, but cost money.
    fn give_up(&self, key: &str, begun: &Begun) {
        let action = self
            .bucket
            .abort_multipart_upload(Some(&self.keys.0), key, &begun.id);
        let _ = self.ask(&action, Body::Empty);
    }

    /// Checks that the object equals the file: by its ETag, or by reading all of it if the ETag is not meaningful.
    fn compare(
        &self,
        key: &str,
        source: &Source,
        expected: &str,
        how: &Upload,
    ) -> Result<Object, Error> {
        let there = self.head(key)?.ok_or(Error::Damaged)?;
        if there.bytes != source.bytes {
            return Err(Error::Damaged);
        }
        let is_known =
            there.etag == expected && (expected.contains('-') || quirks::is_sum(expected));
        let alive = || match &how.progress {
            Some(progress) => progress(source.bytes).map_err(|why| Error::Unreadable {
                path: source.path.to_owned(),
                why,
            }),
            None => Ok(()),
        };
        match is_known || self.read_back(key, alive)? == source.sum(0..source.bytes)? {
            true => Ok(there),
            false => Err(Error::Damaged),
        }
    }
}

/// Whether an upload that ended with `error` cannot be continued.
fn is_lost(error: &Error) -> bool {
    let gone = [Reason::NoUpload, Reason::NoObject, Reason::Other];
    let refused = error.reason().is_some_and(|reason| gone.contains(reason));
    refused || matches!(error, Error::Damaged)
}

impl<'s> Source<'s> {
    fn open(path: &'s Path) -> Result<Self, Error> {
        let open = || -> std::io::Result<(File, u64)> {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|why| Error::Unreadable {
            path: path.to_owned(),
            why,
        })?;
        Ok(Source {
            path,
            file: Arc::new(file),
            bytes,
        })
    }

    fn ranges(&self, part_bytes: u64) -> impl Iterator<Item = Range<u64>> {
        let bytes = self.bytes;
        let starts = (0..bytes).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX));
        starts.map(move |start| start..bytes.min(start + part_bytes))
    }

    /// The bytes of `range`, which are read while they are sent.
    fn part(&self, range: Range<u64>, how: &Upload) -> Body {
        let part = FilePart::new(self.file.clone(), range);
        match &how.progress {
            Some(progress) => part.watched(progress.clone()).into(),
            None => part.into(),
        }
    }

    fn sum(&self, range: Range<u64>) -> Result<Sum, Error> {
        let mut at = range.start;
        Sum::of_pieces(|buffer| {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let most = buffer.len().min(left);
            let read = self.file.read_at(&mut buffer[..most], at);
            let read = read.map_err(|why| Error::Unreadable {
                path: self.path.to_owned(),
                why,
            })?;
            at += read as u64;
            Ok(read)
        })
    }
}
