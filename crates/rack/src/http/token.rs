//! Random texts by which callers are known: those of sessions and of programs. Only their SHA-256 is kept, which is enough because
//! nobody can guess what has 256 random bits.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SystemRandom, generate};
use sha2::{Digest, Sha256};

/// What the tokens of programs begin with, so that people and scanners of source code know what they have found.
const PREFIX: &str = "rack_";

/// What is kept of a token.
pub(super) type Sum = [u8; 32];

/// The token of a session.
pub(super) fn of_session() -> String {
    let random = generate::<[u8; 32]>(&SystemRandom::new());
    URL_SAFE_NO_PAD.encode(random.expect("the kernel has random numbers").expose())
}

/// The token of a program.
pub(super) fn of_program() -> String {
    format!("{PREFIX}{}", of_session())
}

/// What is kept of a token.
pub(super) fn sum(token: &str) -> Sum {
    Sha256::digest(token.as_bytes()).into()
}

/// What a page of this planner says with each change, and another site's page cannot know: it is made of the session's token, which
/// no page can read.
pub(super) fn csrf(session: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"csrf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_random_and_told_apart() {
        let (one, other) = (of_program(), of_program());
        assert!(one.starts_with("rack_") && one.len() == 48 && one != other);
        assert_ne!(sum(&one), sum(&other));
        assert_eq!(of_session().len(), 43);
    }

    #[test]
    fn what_a_page_says_belongs_to_its_session() {
        assert_eq!(csrf("a"), csrf("a"));
        assert_ne!(csrf("a"), csrf("b"));
    }
}
