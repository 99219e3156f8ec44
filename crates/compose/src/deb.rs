//! A .deb is an `ar` archive (deb(5)); its `data.tar.xz` member is what it installs.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Result, bail};

/// The package's data archive, decompressed.
pub fn data(deb: &Path) -> Result<Vec<u8>> {
    let mut archive = ar::Archive::new(File::open(deb)?);
    while let Some(member) = archive.next_entry() {
        let mut member = member?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        match name.trim_end_matches('/') {
            "data.tar.xz" => {
                let mut compressed = Vec::new();
                member.read_to_end(&mut compressed)?;
                let mut data = Vec::new();
                lzma_rust2::XzReader::new(compressed.as_slice(), true).read_to_end(&mut data)?;
                return Ok(data);
            }
            other if other.starts_with("data.tar") => {
                bail!("{other}: Debian's packages have data.tar.xz")
            }
            _ => {}
        }
    }
    bail!("not a Debian package: no data.tar.xz inside")
}
