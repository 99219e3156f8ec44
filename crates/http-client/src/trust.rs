//! The authorities that TLS trusts: Mozilla's, or those in a file that the environment names.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};

use crate::Cause;

/// The variable that names the file of authorities; OpenSSL and Nix use it, too.
const FILE: &str = "SSL_CERT_FILE";

/// The authorities in the file that the environment names; none if it names no file. Whoever names a file does not mean
/// Mozilla's, so a file that cannot be used is an error.
pub fn named() -> Result<Option<Vec<CertificateDer<'static>>>, Cause> {
    let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) else {
        return Ok(None);
    };
    let file = Path::new(&file);
    read(file).map(Some).map_err(|trouble| {
        let file = file.display();
        Cause::Authorities(format!(
            "{FILE} names {file}, which {trouble}: correct it, or `unset {FILE}` to trust Mozilla's authorities"
        ))
    })
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let trouble = |error| match error {
        Error::Io(error) => format!("cannot be read ({error})"),
        error => format!("has a certificate that cannot be read ({error})"),
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(trouble)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(trouble)?;
    if certificates.is_empty() {
        return Err("has no certificate".into());
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        let added = store.add(certificate.clone());
        added.map_err(|error| format!("has a certificate that cannot be read ({error})"))?;
    }
    Ok(certificates)
}
