//! The authorities that TLS trusts: Mozilla's, or those in a file that the environment names.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The variable that names the file of authorities; OpenSSL and Nix use it, too.
const FILE: &str = "SSL_CERT_FILE";

/// The authorities in the file that the environment names; none if there is no file or it is empty.
pub fn named() -> Vec<CertificateDer<'static>> {
    let Some(file) = std::env::var_os(FILE).filter(|file| !file.is_empty()) else {
        return Vec::new();
    };
    let certificates = CertificateDer::pem_file_iter(file);
    certificates.into_iter().flatten().flatten().collect()
}
