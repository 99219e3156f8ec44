//! The certificates that an authority gives, for the metrics: how long each is valid, and whether the last request for it
//! failed. The units of modules/daemons/acme.nix leave both.

use crate::openmetrics::{Families, labels};
use crate::record::now;
use crate::root::Root;
use std::fs;

/// The names of the certificates.
const DECLARED: &str = "etc/lichen/certificates.json";

/// What the metrics are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) name: String,
    /// How many seconds it is valid; less than none if it has ended. None while there is none from the authority.
    pub(super) left: Option<i64>,
    pub(super) failed: bool,
}

/// Nothing where the page asks for none.
pub(super) fn read(root: &Root) -> Vec<Certificate> {
    let names = fs::read(root.at(DECLARED)).unwrap_or_default();
    let names: Vec<String> = serde_json::from_slice(&names).unwrap_or_default();
    let certificate = |name: String| {
        let ends = root.at(format!("var/lib/acme/{name}/current/ends"));
        let ends = fs::read_to_string(ends).ok();
        let ends = ends.and_then(|text| text.trim().parse::<i64>().ok());
        Certificate {
            left: ends.map(|ends| ends.saturating_sub_unsigned(now())),
            failed: root.at(format!("run/acme-{name}/failed")).exists(),
            name,
        }
    };
    names.into_iter().map(certificate).collect()
}

pub(super) fn text(certificates: &[Certificate]) -> String {
    let labelled = |certificate: &Certificate| labels(&[("certificate", &certificate.name)]);
    let mut families = Families::default();
    families.gauges(
        "lichen_certificate_left_seconds",
        "How long a certificate of an authority is still valid",
        (certificates.iter()).filter_map(|it| Some((labelled(it), it.left?))),
    );
    families.gauges(
        "lichen_certificate_failed",
        "Whether the last request for a certificate failed",
        (certificates.iter()).map(|it| (labelled(it), u8::from(it.failed))),
    );
    families.text()
}
