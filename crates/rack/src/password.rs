//! Passwords, and how they are kept.
//!
//! What is kept is opaque to the database: the Argon2id hash of the password and, for one that came from a credential, the hash of
//! that credential after a space. So a password that somebody has changed stays, until the credential itself is another one.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SystemRandom, generate};

/// Memory for one hash in KiB, passes over it, and lanes: the second of OWASP's choices, about a tenth of a second on a Pi 4.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// The lengths of a password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 10..=200;

/// Refuses what is no password.
pub fn check(password: &str) -> Result<(), String> {
    let count = password.chars().count();
    if !LENGTH.contains(&count) {
        let (least, most) = (LENGTH.start(), LENGTH.end());
        return Err(format!("must have {least} to {most} characters"));
    }
    Ok(())
}

/// What is kept of a password.
pub fn keep(password: &str) -> String {
    hash(password)
}

/// What is kept of a password that a credential says.
pub fn keep_followed(credential: &str) -> String {
    format!("{} {}", hash(credential), hash(credential))
}

/// What is kept of a new password in place of what was kept before: a credential that was followed is remembered.
pub fn keep_instead(password: &str, before: &str) -> String {
    match before.split_once(' ') {
        Some((_, source)) => format!("{} {source}", hash(password)),
        None => hash(password),
    }
}

/// Whether what is kept is that of this password.
pub fn is(password: &str, kept: &str) -> bool {
    matches(password, kept.split(' ').next().unwrap_or_default())
}

/// Whether what is kept came from this credential, or was changed by somebody since it did.
pub fn follows(credential: &str, kept: &str) -> bool {
    let source = kept.split_once(' ');
    source.is_some_and(|(_, source)| matches(credential, source))
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None);
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        params.expect("these parameters are permitted"),
    )
}

fn hash(password: &str) -> String {
    let salt = generate::<[u8; 16]>(&SystemRandom::new());
    let salt = salt.expect("the kernel has random numbers").expose();
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    let hash = argon2().hash_password(password.as_bytes(), &salt);
    hash.expect("every text has a hash").to_string()
}

fn matches(password: &str, hash: &str) -> bool {
    // The parameters are those of the hash, so that others may be chosen later.
    PasswordHash::new(hash)
        .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_matches() {
        let kept = keep("correct horse");
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        assert!(is("correct horse", &kept));
        for guess in ["", "correct", "correct horse ", "Correct horse"] {
            assert!(!is(guess, &kept), "{guess}");
        }
        assert_ne!(kept, keep("correct horse"), "each has a salt of its own");
        assert!(!is("correct horse", "") && !is("", "") && !is("x", "$argon2id$nonsense"));
    }

    #[test]
    fn a_changed_password_stays_until_the_credential_is_another_one() {
        let kept = keep_followed("first secret");
        assert!(is("first secret", &kept) && follows("first secret", &kept));
        let changed = keep_instead("my own words", &kept);
        assert!(is("my own words", &changed) && !is("first secret", &changed));
        assert!(follows("first secret", &changed) && !follows("second secret", &changed));
        assert!(!follows("first secret", &keep("first secret")));
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert!(check("ten letter").is_ok() && check(&"ü".repeat(200)).is_ok());
        for wrong in ["", "nine lett", &"x".repeat(201)] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
