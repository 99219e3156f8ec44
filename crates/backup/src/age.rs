//! The format of age (<https://age-encryption.org/v1>), as far as backups need it: any number of X25519 recipients, no
//! passwords, no armor. What is written here can be read by `age --decrypt`, and the other way round.
//!
//! The payload is a series of chunks, each with a counter and a tag, so that nothing of a changed, reordered or
//! shortened chunk is ever passed on.

use crate::Damage;
use crate::key::{Identity, Recipient};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::io::{self, BufRead, Read, Write};
use x25519_dalek::{PublicKey, StaticSecret};

/// The first line of a file.
pub(crate) const VERSION: &str = "age-encryption.org/v1";
const X25519: &str = "X25519";
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// The length of a chunk before it is encrypted, and that of its tag.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// Base64 in a header is wrapped after so many characters.
const COLUMNS: usize = 64;
/// A longer header is not one: each recipient takes about 100 bytes.
const LONGEST_HEADER: u64 = 64 * 1024;

type Key = [u8; 32];
type FileKey = [u8; 16];

/// Encrypts what is written to it. Without [`Encryptor::finish`] the file is incomplete, and is refused when it is read.
pub(crate) struct Encryptor<W: Write> {
    to: W,
    chunks: Chunks,
    buffer: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Writes the header.
    pub(crate) fn new(mut to: W, recipients: &[Recipient]) -> io::Result<Self> {
        let file_key: FileKey = random()?;
        let mut header = format!("{VERSION}\n");
        for recipient in recipients {
            header += &wrap(&file_key, recipient)?;
        }
        header += "---";
        let mac = hmac::sign(&header_key(&file_key), header.as_bytes());
        header += &format!(" {}\n", BASE64.encode(mac));
        let nonce: [u8; 16] = random()?;
        to.write_all(header.as_bytes())?;
        to.write_all(&nonce)?;
        Ok(Self {
            to,
            chunks: Chunks::new(&file_key, &nonce),
            buffer: Vec::with_capacity(CHUNK + TAG),
        })
    }

    /// Writes the last chunk.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.chunk(true)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.chunks.next(last);
        let key = &self.chunks.key;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut self.buffer)
            .map_err(|_| io::Error::other("a chunk cannot be encrypted"))?;
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for more, because the last one must be written as such, and must not be empty.
        if self.buffer.len() == CHUNK && !bytes.is_empty() {
            self.chunk(false)?;
        }
        let length = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts what is read through it, and passes on only what is intact.
pub(crate) struct Decryptor<R> {
    from: R,
    chunks: Chunks,
    /// How many bytes of the file precede the next chunk.
    at: u64,
    chunk: Vec<u8>,
    /// The beginning of the next chunk: whether there is one tells whether the present one is the last.
    ahead: Vec<u8>,
    read: usize,
    ended: bool,
}

/// Why a file cannot be decrypted.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The file cannot be read.
    Io(io::Error),
    /// None of the keys is the right one.
    WrongKey,
    /// The header was changed, or is no header.
    Header(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: BufRead> Decryptor<R> {
    /// Reads the header.
    pub(crate) fn new(mut from: R, identities: &[Identity]) -> Result<Self, Trouble> {
        let header = Header::read(&mut from)?;
        let mut file_key = None;
        for (stanza, identity) in
            (header.stanzas.iter()).flat_map(|stanza| identities.iter().map(move |i| (stanza, i)))
        {
            file_key = file_key.or(stanza.unwrap(identity)?);
        }
        let file_key = file_key.ok_or(Trouble::WrongKey)?;
        hmac::verify(&header_key(&file_key), header.text.as_bytes(), &header.mac)
            .map_err(|_| Trouble::Header("its code does not match".into()))?;
        let mut nonce = [0; 16];
        from.read_exact(&mut nonce)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Trouble::Header("it ends early".into()),
                _ => error.into(),
            })?;
        let at = header.length + nonce.len() as u64;
        let ahead = piece(&mut from, CHUNK + TAG)?;
        Ok(Self {
            chunks: Chunks::new(&file_key, &nonce),
            chunk: Vec::new(),
            ended: false,
            read: 0,
            from,
            ahead,
            at,
        })
    }

    fn next(&mut self) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.ahead);
        self.ahead = match chunk.len() == CHUNK + TAG {
            true => piece(&mut self.from, CHUNK + TAG)?,
            false => Vec::new(),
        };
        self.ended = self.ahead.is_empty();
        let (from, to) = (self.at, self.at + chunk.len() as u64);
        let damaged = |why: String| io::Error::other(Damage(why));
        // A missing end is told from a changed byte by whether the chunk is intact as one that is not the last.
        let nonce = self.chunks.next(self.ended);
        let intact = |nonce, chunk: &mut [u8]| {
            let opened = self.chunks.key.open_in_place(nonce, Aad::empty(), chunk);
            opened.map(|plain| plain.len()).ok()
        };
        let mut copy = self.ended.then(|| chunk.clone());
        let Some(length) = intact(nonce, &mut chunk) else {
            let goes_on = copy
                .as_mut()
                .is_some_and(|copy| intact(self.chunks.same(false), copy).is_some());
            return Err(damaged(match goes_on {
                true => format!("it ends at byte {to}, before its end"),
                false if self.ended => format!(
                    "something between its bytes {from} and {to} was changed, or its end is missing"
                ),
                false => format!("something between its bytes {from} and {to} was changed"),
            }));
        };
        if length == 0 && self.chunks.count > 1 {
            return Err(damaged(format!("it has an empty piece at byte {from}")));
        }
        chunk.truncate(length);
        (self.chunk, self.read, self.at) = (chunk, 0, to);
        Ok(())
    }
}

impl<R: BufRead> Read for Decryptor<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.next()?;
        }
        let length = to.len().min(self.chunk.len() - self.read);
        to[..length].copy_from_slice(&self.chunk[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

/// Up to `length` bytes; fewer only at the end.
fn piece(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    from.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The key and the counter of the chunks.
struct Chunks {
    key: LessSafeKey,
    count: u64,
}

impl Chunks {
    fn new(file_key: &FileKey, nonce: &[u8; 16]) -> Self {
        Self {
            key: cipher(&derived(nonce, file_key, b"payload")),
            count: 0,
        }
    }

    fn next(&mut self, last: bool) -> Nonce {
        self.count += 1;
        self.same(last)
    }

    /// The nonce of the chunk that `next` came to.
    fn same(&self, last: bool) -> Nonce {
        Self::nonce(self.count - 1, last)
    }

    fn nonce(count: u64, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&count.to_be_bytes());
        nonce[11] = u8::from(last);
        Nonce::assume_unique_for_key(nonce)
    }
}

struct Header {
    /// What the code is computed from.
    text: String,
    stanzas: Vec<Stanza>,
    mac: Vec<u8>,
    length: u64,
}

impl Header {
    fn read(from: &mut impl BufRead) -> Result<Self, Trouble> {
        let mut lines = Lines {
            from: from.take(LONGEST_HEADER),
            length: 0,
        };
        let bad = |what: &str| Trouble::Header(what.to_owned());
        if lines.next()? != VERSION {
            return Err(bad("it does not begin as one of age's files"));
        }
        let mut text = format!("{VERSION}\n");
        let mut stanzas = Vec::new();
        loop {
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let mac = BASE64
                    .decode(mac)
                    .map_err(|_| bad("its code is no base64"))?;
                text += "---";
                return Ok(Self {
                    text,
                    stanzas,
                    mac,
                    length: lines.length,
                });
            }
            let words = line
                .strip_prefix("-> ")
                .ok_or_else(|| bad("it has a line that belongs to no recipient"))?;
            let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
            let visible =
                |word: &String| !word.is_empty() && word.bytes().all(|b| (33..=126).contains(&b));
            if !words.iter().all(visible) {
                return Err(bad("it has a recipient without a name"));
            }
            text += &format!("{line}\n");
            let mut body = String::new();
            loop {
                let line = lines.next()?;
                text += &format!("{line}\n");
                body += &line;
                match line.len() {
                    COLUMNS => {}
                    0..COLUMNS => break,
                    _ => return Err(bad("it has a line that is too long")),
                }
            }
            let body = BASE64
                .decode(body)
                .map_err(|_| bad("it has a recipient that is no base64"))?;
            stanzas.push(Stanza { words, body });
        }
    }
}

struct Lines<R> {
    from: R,
    length: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<String, Trouble> {
        let mut line = Vec::new();
        self.length += self.from.read_until(b'\n', &mut line)? as u64;
        let line = String::from_utf8(line).ok();
        let line = line.as_deref().and_then(|line| line.strip_suffix('\n'));
        line.map(str::to_owned)
            .ok_or_else(|| Trouble::Header("it is incomplete".into()))
    }
}

/// The key of the file, encrypted to one recipient.
struct Stanza {
    words: Vec<String>,
    body: Vec<u8>,
}

impl Stanza {
    /// The key of the file, if it is encrypted to this identity.
    fn unwrap(&self, identity: &Identity) -> Result<Option<FileKey>, Trouble> {
        if self.words[0] != X25519 {
            return Ok(None);
        }
        let bad = || Trouble::Header("it has a recipient that is malformed".into());
        let [_, share] = self.words.as_slice() else {
            return Err(bad());
        };
        let share: Key = (BASE64.decode(share).ok())
            .and_then(|share| share.try_into().ok())
            .ok_or_else(bad)?;
        if self.body.len() != size_of::<FileKey>() + TAG {
            return Err(bad());
        }
        let shared = identity.0.diffie_hellman(&PublicKey::from(share));
        if !shared.was_contributory() {
            return Err(bad());
        }
        let own = PublicKey::from(&identity.0);
        let key = wrap_key(&share, own.as_bytes(), shared.as_bytes());
        let mut body = self.body.clone();
        let opened = key.open_in_place(Chunks::nonce(0, false), Aad::empty(), &mut body);
        Ok(opened.ok().and_then(|key| FileKey::try_from(&*key).ok()))
    }
}

fn wrap(file_key: &FileKey, recipient: &Recipient) -> io::Result<String> {
    let ephemeral = StaticSecret::from(random::<32>()?);
    let share = PublicKey::from(&ephemeral);
    let shared = ephemeral.diffie_hellman(&recipient.0);
    let key = wrap_key(share.as_bytes(), recipient.0.as_bytes(), shared.as_bytes());
    let mut body = file_key.to_vec();
    key.seal_in_place_append_tag(Chunks::nonce(0, false), Aad::empty(), &mut body)
        .map_err(|_| io::Error::other("the key cannot be encrypted"))?;
    // 43 characters: shorter than a line, as the last line of a recipient must be.
    let (share, body) = (BASE64.encode(share), BASE64.encode(body));
    Ok(format!("-> {X25519} {share}\n{body}\n"))
}

fn wrap_key(share: &Key, recipient: &Key, shared: &Key) -> LessSafeKey {
    cipher(&derived(&[*share, *recipient].concat(), shared, WRAP_INFO))
}

fn header_key(file_key: &FileKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derived(&[], file_key, b"header"))
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        size_of::<Key>()
    }
}

fn derived(salt: &[u8], secret: &[u8], info: &[u8]) -> Key {
    let mut key = Key::default();
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    let filled = (derived.expand(&[info], Length)).and_then(|okm| okm.fill(&mut key));
    filled.expect("a key of 32 bytes is not too long");
    key
}

fn cipher(key: &Key) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of 32 bytes"))
}

pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the kernel gives no random numbers"))?;
    Ok(bytes)
}
