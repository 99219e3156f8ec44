//! Checks whether sshd would accept a line as a public key, so that a copy-and-paste mistake does not lock the user
//! out.

const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Checks a line in the format of `id_ed25519.pub`; the error says what is wrong with it.
pub(super) fn check(line: &str) -> Result<(), String> {
    if line.contains("PRIVATE KEY") {
        return Err(
            "is a private key; never give it away: allowed is the line in the .pub file beside it"
                .into(),
        );
    }
    if line.contains(['\n', '\r']) {
        return Err("has several lines; allowed: one key for each string of the list".into());
    }
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    if let Some(other) = other_form(line, kind) {
        return Err(other.into());
    }
    if !KINDS.contains(&kind) {
        return Err(format!(
            "does not begin with a kind of key; allowed: {}",
            KINDS.join(", ")
        ));
    }
    let blob = words
        .next()
        .and_then(base64)
        .ok_or("is not whole: base64 must follow the kind of key")?;
    let fields = fields(&blob).ok_or("is not whole: it ends in the middle of the key")?;
    if fields.first() != Some(&kind.as_bytes()) {
        return Err(format!("says it is {kind}, but the key itself does not"));
    }
    let whole = match kind {
        "ssh-ed25519" => fields.len() == 2 && fields[1].len() == 32,
        "ssh-rsa" => fields.len() == 3 && fields[2].len() >= 256,
        _ => fields.len() >= 3,
    };
    whole
        .then_some(())
        .ok_or_else(|| format!("is too short for {kind}"))
}

/// What is wrong with a key in a form that other programs or places take.
fn other_form(line: &str, kind: &str) -> Option<&'static str> {
    if kind.ends_with("-cert-v01@openssh.com") {
        return Some(
            "is a certificate; allowed is the key that it was made for, in the .pub file without `-cert`",
        );
    }
    if line.starts_with("---- BEGIN SSH2") || line.starts_with("Comment:") {
        return Some(
            "is in the format of PuTTY; allowed is the line that `ssh-keygen -i -f FILE` prints",
        );
    }
    if line.starts_with("PuTTY-User-Key-File") {
        return Some(
            "is a private key of PuTTY; never give it away: allowed is the line that `puttygen FILE -L` prints",
        );
    }
    if kind == "ssh-dss" {
        return Some(
            "is a DSA key, which OpenSSH does not take any more; `ssh-keygen -t ed25519` makes another",
        );
    }
    let has_key = line
        .split_ascii_whitespace()
        .skip(1)
        .any(|word| KINDS.contains(&word));
    has_key.then_some("begins with options, which are not supported; allowed is the key alone")
}

/// The fields of a key, each preceded by its length; `None` if the lengths do not add up.
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        fields.push(field);
        blob = rest;
    }
    Some(fields)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
