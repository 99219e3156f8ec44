//! Which mirrors to use: those the machine's own apt uses. The project names none.

use crate::command::{program, stdout_of};
use anyhow::Result;

/// Base addresses of Debian's two archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The main archive, ending in a slash.
    pub debian: String,
    /// The security archive, ending in a slash.
    pub security: String,
}

impl Mirrors {
    /// From LICHEN_MIRROR and LICHEN_SECURITY_MIRROR, else from the machine's apt configuration.
    pub fn find() -> Result<Self> {
        let format = "$(SITE)\t$(REPO_URI)\t$(LABEL)\t$(ORIGIN)";
        let targets = stdout_of(program("apt-get").args(["indextargets", "--format", format]))?;
        let own = |name| {
            std::env::var(name)
                .ok()
                .filter(|v| !v.is_empty())
                .map(|v| format!("{}/", v.trim_end_matches('/')))
        };
        let (debian, security) = parse(&targets);
        let Some(debian) = own("LICHEN_MIRROR").or(debian) else {
            crate::fail!(
                hint: "run `apt-get update` on Debian, or set LICHEN_MIRROR and LICHEN_SECURITY_MIRROR to the base addresses of Debian mirrors",
                "this machine's apt configuration has no Debian archive"
            );
        };
        let Some(security) = own("LICHEN_SECURITY_MIRROR").or(security) else {
            crate::fail!(
                hint: "add Debian's security archive to apt's sources, or set LICHEN_SECURITY_MIRROR to its base address",
                "this machine's apt configuration has no Debian security archive"
            );
        };
        Ok(Mirrors { debian, security })
    }

    /// The address of a pool path.
    pub fn uri(&self, archive: &str, path: &str) -> String {
        let base = if archive == SECURITY {
            &self.security
        } else {
            &self.debian
        };
        format!(
            "{base}{}",
            path.replace('%', "%25")
                .replace('+', "%2b")
                .replace('~', "%7e")
        )
    }

    /// The archive and pool path of an address that apt printed.
    pub fn split<'a>(&self, uri: &'a str) -> Option<(&'static str, &'a str)> {
        // Longest first: one base may be the beginning of the other.
        let mut bases = [(SECURITY, &self.security), (DEBIAN, &self.debian)];
        bases.sort_by_key(|(_, base)| std::cmp::Reverse(base.len()));
        bases
            .into_iter()
            .find_map(|(archive, base)| Some((archive, uri.strip_prefix(base.as_str())?)))
    }
}

/// The main archive's name in the lock.
pub const DEBIAN: &str = "debian";
/// The security archive's name in the lock.
pub const SECURITY: &str = "debian-security";

fn parse(targets: &str) -> (Option<String>, Option<String>) {
    let (mut debian, mut security) = (None, None);
    for line in targets.lines() {
        let [_, uri, label, origin] = line.split('\t').collect::<Vec<_>>()[..] else {
            continue;
        };
        if origin != "Debian" {
            continue;
        }
        let slot = match label {
            "Debian" => &mut debian,
            "Debian-Security" => &mut security,
            _ => continue,
        };
        slot.get_or_insert_with(|| format!("{}/", uri.trim_end_matches('/')));
    }
    (debian, security)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_recognised_by_label_not_by_name() {
        let targets = "http://m/x\thttp://m/x/\tUbuntu\tUbuntu\n\
                       http://m/a\thttp://m/a/\tDebian\tDebian\n\
                       http://m/s\thttp://m/s\tDebian-Security\tDebian\n\
                       http://m/b\thttp://m/b/\tDebian\tDebian\n";
        assert_eq!(
            parse(targets),
            (Some("http://m/a/".into()), Some("http://m/s/".into()))
        );
    }

    #[test]
    fn addresses_split_into_archive_and_path() {
        let mirrors = Mirrors {
            debian: "http://m/debian/".into(),
            security: "http://m/debian-security/".into(),
        };
        assert_eq!(
            mirrors.split("http://m/debian/pool/a.deb"),
            Some((DEBIAN, "pool/a.deb"))
        );
        assert_eq!(
            mirrors.split("http://m/debian-security/pool/a.deb"),
            Some((SECURITY, "pool/a.deb"))
        );
        assert_eq!(mirrors.split("http://else/pool/a.deb"), None);
        assert_eq!(
            mirrors.uri(DEBIAN, "pool/libstdc++6_1~b.deb"),
            "http://m/debian/pool/libstdc%2b%2b6_1%7eb.deb"
        );
    }
}
