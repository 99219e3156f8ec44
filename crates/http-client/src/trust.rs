//! Whom TLS trusts: Mozilla's authorities, or those of a file that the environment names.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The file of authorities, by the name that OpenSSL and Nix have for it.
const FILE: &str = "SSL_CERT_FILE";

/// The authorities of the file that the environment names; none if it names none, or there are none in it.
pub fn named() -> Vec<CertificateDer<'static>> {
    let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) else {
        return Vec::new();
    };
    let certificates = CertificateDer::pem_file_iter(file);
    certificates.into_iter().flatten().flatten().collect()
}
