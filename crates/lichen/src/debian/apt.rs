//! A private apt root for one architecture: apt's own solver, without touching the machine's packages.

use super::control;
use super::intent::Intent;
use super::mirror::Mirrors;
use crate::command::{program, stdout_of};
use crate::failure::Hint;
use anyhow::{Context, Result};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A folder that apt takes for the whole system.
#[derive(Debug)]
pub struct AptRoot {
    dir: PathBuf,
    arch: String,
    provided: Vec<String>,
}

impl AptRoot {
    /// Writes the configuration of the root; `cache` is the folder of all of them.
    pub fn new(cache: &Path, arch: &str, intent: &Intent, mirrors: &Mirrors) -> Result<Self> {
        let dir = cache.join(arch);
        for sub in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(dir.join(sub))
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        if !Path::new(KEYRING).is_file() {
            crate::fail!(hint: "apt-get install debian-archive-keyring", "{KEYRING} is missing");
        }
        let write = |name: &str, text: String| {
            fs::write(dir.join(name), text)
                .with_context(|| format!("cannot write to {}", dir.display()))
        };
        write("sources.list", sources(intent, mirrors, arch))?;
        write("preferences", preferences(intent))?;
        let root = AptRoot {
            dir,
            arch: arch.to_owned(),
            provided: intent.provided.packages.clone(),
        };
        root.pretend_installed(&[])?;
        Ok(root)
    }

    /// Makes the solver believe that these packages are installed, besides the one that provides `[provided]`.
    pub fn pretend_installed(&self, paragraphs: &[String]) -> Result<()> {
        let mut status = format!(
            "Package: lichen-provided\nStatus: install ok installed\nMaintainer: none <none@localhost>\n\
             Architecture: all\nMulti-Arch: foreign\nVersion: 99\nProvides: {}\nDescription: stands in for \
             maintainer-script helpers\n\n",
            self.provided.join(", ")
        );
        for paragraph in paragraphs {
            status.push_str("Status: install ok installed\n");
            status.push_str(paragraph.trim());
            status.push_str("\n\n");
        }
        fs::write(self.dir.join("status"), status).context("cannot write the pretended dpkg status")
    }

    /// Downloads the archive's indexes.
    pub fn update(&self) -> Result<()> {
        stdout_of(self.apt("apt-get").args(["-q", "--error-on=any", "update"]))
            .with_context(|| format!("cannot read Debian's package lists for {}", self.arch))
            .hint("is the network up? `apt-get update` uses the same mirrors")?;
        Ok(())
    }

    /// What the solver would install for these packages: addresses.
    pub fn solve(&self, packages: &[String]) -> Result<Vec<String>> {
        if packages.is_empty() {
            return Ok(vec![]);
        }
        let text = stdout_of(
            self.apt("apt-get")
                .args(["-qq", "-y", "--print-uris", "install"])
                .args(packages),
        )
        .with_context(|| format!("apt cannot resolve the packages for {}", self.arch))
        .hint("correct the package lists in image/debian/packages.toml")?;
        Ok(print_uris(&text))
    }

    /// The addresses of just these packages, without dependencies.
    pub fn candidates(&self, packages: &[String]) -> Result<Vec<String>> {
        if packages.is_empty() {
            return Ok(vec![]);
        }
        let text = stdout_of(
            self.apt("apt-get")
                .args(["-qq", "--print-uris", "download"])
                .args(packages),
        )
        .with_context(|| format!("apt does not find the packages for {}", self.arch))
        .hint("correct the package lists in image/debian/packages.toml")?;
        Ok(print_uris(&text))
    }

    /// The index's paragraphs for these pool paths.
    pub fn paragraphs(
        &self,
        paths: &HashSet<String>,
    ) -> Result<HashMap<String, control::Paragraph>> {
        let mut found = HashMap::new();
        self.each(|text| {
            let path = control::field(text, "Filename");
            if paths.contains(path) {
                found.insert(path.to_owned(), control::parse(text));
            }
        })?;
        Ok(found)
    }

    /// The names of all packages there are.
    pub fn names(&self) -> Result<HashSet<String>> {
        let mut names = HashSet::new();
        self.each(|text| {
            names.insert(control::field(text, "Package").to_owned());
        })?;
        Ok(names)
    }

    /// Visits the text of every paragraph of the index.
    fn each(&self, mut visit: impl FnMut(&str)) -> Result<()> {
        let format = "$(IDENTIFIER)\t$(FILENAME)";
        let targets = stdout_of(
            self.apt("apt-get")
                .args(["indextargets", "--format", format]),
        )?;
        for file in targets.lines().filter_map(|l| l.strip_prefix("Packages\t")) {
            let index = stdout_of(program("/usr/lib/apt/apt-helper").arg("cat-file").arg(file))?;
            control::paragraphs(&index).for_each(&mut visit);
        }
        Ok(())
    }

    fn apt(&self, name: &str) -> Command {
        let mut command = program(name);
        let dir = self.dir.display();
        let options = [
            format!("Dir::State={dir}"),
            format!("Dir::State::lists={dir}/lists"),
            // It has to be an absolute path: one relative to Dir::State would be the machine's own.
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}"),
            "Dir::Cache::pkgcache=pkgcache.bin".into(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".into(),
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::Etc::preferences={dir}/preferences"),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            format!("APT::Architecture={}", self.arch),
            format!("APT::Architectures={}", self.arch),
            "APT::Install-Recommends=false".into(),
            "APT::Install-Suggests=false".into(),
            "APT::Sandbox::User=".into(),
            "Acquire::ForceHash=SHA256".into(),
            // Some machines, most of all images for continuous integration, are told to take unsigned archives.
            "Acquire::AllowInsecureRepositories=false".into(),
            "Acquire::AllowWeakRepositories=false".into(),
            "Acquire::AllowDowngradeToInsecureRepositories=false".into(),
            "Acquire::Check-Valid-Until=true".into(),
            "Acquire::https::Verify-Peer=true".into(),
            "Acquire::https::Verify-Host=true".into(),
            "APT::Get::AllowUnauthenticated=false".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false".into(),
            "Debug::NoLocking=true".into(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command
    }
}

fn sources(intent: &Intent, mirrors: &Mirrors, arch: &str) -> String {
    let release = &intent.release;
    let components = intent.components.join(" ");
    let mut suites = vec![
        (&mirrors.debian, release.clone()),
        (&mirrors.debian, format!("{release}-updates")),
        (&mirrors.security, format!("{release}-security")),
    ];
    suites.extend(
        intent
            .pins
            .keys()
            .map(|suite| (&mirrors.debian, suite.clone())),
    );
    suites
        .into_iter()
        .map(|(base, suite)| {
            format!("deb [arch={arch} signed-by={KEYRING}] {base} {suite} {components}\n")
        })
        .collect()
}

/// Nothing comes from a pinned suite unless it is named: priority -1 for all packages, 990 for the named ones.
fn preferences(intent: &Intent) -> String {
    let mut text = String::new();
    for (suite, packages) in &intent.pins {
        let packages = packages.join(" ");
        text.push_str(&format!(
            "Package: *\nPin: release n={suite}\nPin-Priority: -1\n\n"
        ));
        text.push_str(&format!(
            "Package: {packages}\nPin: release n={suite}\nPin-Priority: 990\n\n"
        ));
    }
    text
}

/// The addresses in `--print-uris` output: `'URI' file size SHA256:hash`.
fn print_uris(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| Some(l.strip_prefix('\'')?.split_once('\'')?.0.to_owned()))
        .collect()
}

/// Undoes percent-encoding.
pub fn decode(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'%')
            .then(|| uri.get(i + 1..i + 3))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(code.unwrap_or(bytes[i]));
        i += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_uris_lines_become_addresses() {
        let text = "Reading package lists...\n\
            'http://m/debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_arm64.deb' libc6_2.41-12+deb13u5_arm64.deb 2488872 SHA256:0966\n";
        let uris = print_uris(text);
        assert_eq!(
            uris,
            ["http://m/debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_arm64.deb"]
        );
        assert_eq!(
            decode(&uris[0]),
            "http://m/debian/pool/main/g/glibc/libc6_2.41-12+deb13u5_arm64.deb"
        );
        assert_eq!(decode("100%"), "100%");
    }

    /// A mirror in a folder, whose archives this writes to `Release`, unsigned.
    fn forged(mirror: &Path) {
        let packages = "Package: evil\nVersion: 1\nArchitecture: arm64\nMaintainer: x <x@x>\nFilename: pool/evil.deb\n\
            Size: 1\nSHA256: 0000000000000000000000000000000000000000000000000000000000000000\nDescription: evil\n";
        for suite in ["trixie", "trixie-updates", "trixie-security"] {
            let suite = mirror.join("dists").join(suite);
            let folder = suite.join("main/binary-arm64");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("Packages"), packages).unwrap();
            let hash = crate::hash::file_sha256(&folder.join("Packages")).unwrap();
            let name = suite.file_name().unwrap().to_string_lossy();
            let release = format!(
                "Origin: Debian\nLabel: Debian\nSuite: {name}\nCodename: {name}\nDate: Mon, 30 Nov 2026 00:00:00 UTC\n\
                 Architectures: arm64\nComponents: main\nSHA256:\n {hash} {} main/binary-arm64/Packages\n",
                packages.len()
            );
            fs::write(suite.join("Release"), release).unwrap();
        }
    }

    #[test]
    fn an_archive_that_debian_did_not_sign_is_refused_whatever_the_machine_allows() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        forged(&mirror);
        let address = format!("file:{}/", mirror.display());
        let mirrors = Mirrors {
            debian: address.clone(),
            security: address,
        };
        let intent = "release = 'trixie'\ncomponents = ['main']\n[sets]\n[provided]\npackages = ['helper']\n";
        let intent: Intent = toml::from_str(intent).unwrap();
        let root = AptRoot::new(&folder.path().join("apt"), "arm64", &intent, &mirrors).unwrap();
        let lax = folder.path().join("lax.conf");
        let switches = "Acquire::AllowInsecureRepositories \"true\";\nAcquire::AllowDowngradeToInsecureRepositories \"true\";\n\
            Acquire::AllowWeakRepositories \"true\";\nAPT::Get::AllowUnauthenticated \"true\";\n";
        fs::write(&lax, switches).unwrap();

        let mut update = root.apt("apt-get");
        update
            .env("APT_CONFIG", &lax)
            .args(["-q", "--error-on=any", "update"]);
        let said = stdout_of(&mut update).unwrap_err();
        let said = format!("{said:#}");
        assert!(said.contains("is not signed"), "{said}");
        assert_eq!(root.names().unwrap(), HashSet::new());
    }

    #[test]
    fn a_pinned_suite_gives_only_what_is_named() {
        let intent: Intent = toml::from_str(
            "release = 'trixie'\ncomponents = ['main']\n[sets]\n[pins]\ntrixie-backports = ['src:linux']\n",
        )
        .unwrap();
        let text = preferences(&intent);
        assert!(
            text.contains("Package: *\nPin: release n=trixie-backports\nPin-Priority: -1"),
            "{text}"
        );
        assert!(
            text.contains("Package: src:linux\nPin: release n=trixie-backports\nPin-Priority: 990"),
            "{text}"
        );
    }
}
