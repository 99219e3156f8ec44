//! SHA-256 of files, and the store paths that Nix derives from it.
//!
//! Store paths are computed here rather than asked of `nix-store --print-fixed-path`: that is one
//! process for each of a thousand files.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 of a file's content, in hexadecimal.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", path.display()))?
        {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// The store path of a file added with `nix-store --add-fixed sha256`.
pub fn flat_store_path(name: &str, sha256: &str) -> PathBuf {
    let inner = hex(&Sha256::digest(format!("fixed:out:sha256:{sha256}:")));
    store_path("output:out", &inner, name)
}

/// The store path of a tree added with `nix-store --add-fixed --recursive sha256`.
pub fn recursive_store_path(name: &str, nar_sha256: &str) -> PathBuf {
    store_path("source", nar_sha256, name)
}

fn store_path(kind: &str, sha256: &str, name: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{kind}:sha256:{sha256}:/nix/store:{name}"));
    let mut folded = [0u8; 20];
    for (i, byte) in digest.iter().enumerate() {
        folded[i % 20] ^= byte;
    }
    PathBuf::from(format!("/nix/store/{}-{name}", base32(&folded)))
}

fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let length = (bytes.len() * 8).div_ceil(5);
    (0..length)
        .rev()
        .map(|n| {
            let (i, shift) = (n * 5 / 8, n * 5 % 8);
            let low = u16::from(bytes[i]) >> shift;
            let high = bytes.get(i + 1).map_or(0, |b| u16::from(*b) << (8 - shift));
            char::from(DIGITS[usize::from((low | high) & 31)])
        })
        .collect()
}

/// SHA-256 of the Nix archive of a folder that holds one executable file, in hexadecimal.
pub fn folder_nar_sha256(name: &str, content: &[u8]) -> String {
    let mut hasher = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
        hasher.update(vec![0; bytes.len().next_multiple_of(8) - bytes.len()]);
    };
    let folder = [
        "nix-archive-1",
        "(",
        "type",
        "directory",
        "entry",
        "(",
        "name",
        name,
        "node",
    ];
    for word in folder
        .into_iter()
        .chain(["(", "type", "regular", "executable", "", "contents"])
    {
        put(word.as_bytes());
    }
    put(content);
    for _ in ["file", "entry", "folder"] {
        put(b")");
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values are what nix-store 2.8 printed for the same files.
    #[test]
    fn store_paths_equal_those_of_nix() {
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(
            flat_store_path("hello.txt", sha).to_str().unwrap(),
            "/nix/store/gy454w1cxaq731grqwylhzf4pp9r5izh-hello.txt"
        );
        let nar = folder_nar_sha256("busybox", b"hello\n");
        assert_eq!(
            recursive_store_path("bootstrap", &nar).to_str().unwrap(),
            "/nix/store/rhqsbilvzbixn6k0ifc54450v1578iib-bootstrap"
        );
    }
}
