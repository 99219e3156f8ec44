//! Who opens a bucket: an access key and its secret, from where every tool of Amazon's takes them.

use crate::text;
use anyhow::Result;
use bucket::Keys;
use std::path::PathBuf;

/// A key, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// The access key, its secret and perhaps a token.
    pub keys: Keys,
    /// What to look at when it is the wrong one.
    pub found: String,
}

/// Finds it in the environment, as `variable` gives it, or in the file of credentials.
pub fn find(profile: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Found> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let named = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ];
    // A profile that the address names is meant, whatever else there is.
    if let (None, Some(key)) = (profile, variable(named[0])) {
        let Some(secret) = variable(named[1]) else {
            crate::fail!(
                hint: "set both, or neither and write them into ~/.aws/credentials",
                "{} is set, and {} is not", named[0], named[1]
            );
        };
        return Ok(Found {
            keys: keys(key, secret, variable(named[2])),
            found: format!("{} and {}", named[0], named[1]),
        });
    }
    let file = variable("AWS_SHARED_CREDENTIALS_FILE").map_or_else(
        || PathBuf::from(variable("HOME").unwrap_or_default()).join(".aws/credentials"),
        PathBuf::from,
    );
    let profile = profile.map(str::to_owned);
    let profile = profile
        .or_else(|| variable("AWS_PROFILE"))
        .unwrap_or_else(|| "default".into());
    let found = format!("profile {profile} in {}", file.display());
    if !file.exists() {
        crate::fail!(
            hint: format!("export {}=… {}=…, or write them into {}", named[0], named[1], file.display()),
            "there is no key to the bucket: neither {} nor {}", named[0], file.display()
        );
    }
    let text = text::read(&file)?;
    let value = |name: &str| value(&text, &profile, name);
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(key), Some(secret)) => Ok(Found {
            keys: keys(key, secret, value("aws_session_token")),
            found,
        }),
        _ => crate::fail!(
            hint: format!("write aws_access_key_id and aws_secret_access_key there, below [{profile}]; AWS_PROFILE chooses another one"),
            "there is no {found} with a key to the bucket"
        ),
    }
}

fn keys(key: String, secret: String, token: Option<String>) -> Keys {
    match token {
        Some(token) => Keys::lent(&key, &secret, &token),
        None => Keys::new(&key, &secret),
    }
}

/// What a file of `[sections]` and `name = value` says in one of them.
fn value(text: &str, section: &str, name: &str) -> Option<String> {
    let mut here = false;
    for line in text.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix('[') {
            here = title.trim_end_matches(']').trim() == section;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| here)
            && key.trim() == name
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    const FILE: &str = "[default]\naws_access_key_id = one\naws_secret_access_key=first\n\n\
                        [lab]\n# of the laboratory\naws_access_key_id=two\naws_secret_access_key = second=\naws_session_token = t\n\
                        [half]\naws_access_key_id = three\n";

    /// What is found with these variables, and that file.
    fn with(profile: Option<&str>, variables: &[(&str, &str)]) -> Result<(String, String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, FILE).unwrap();
        let found = find(profile, |name| {
            let value = variables.iter().find(|(n, _)| *n == name);
            let value = value.map(|(_, value)| (*value).to_owned());
            value.or_else(|| {
                (name == "AWS_SHARED_CREDENTIALS_FILE").then(|| file.display().to_string())
            })
        })?;
        let key = found.keys.id().to_owned();
        Ok((key, found.keys.secret().to_owned(), found.found))
    }

    #[test]
    fn the_environment_comes_first_and_a_named_profile_before_it() {
        let variables = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let (key, secret, found) = with(None, &variables).unwrap();
        assert_eq!((key.as_str(), secret.as_str()), ("k", "s"));
        assert!(found.contains("AWS_ACCESS_KEY_ID"), "{found}");
        assert_eq!(with(Some("lab"), &variables).unwrap().0, "two");
    }

    #[test]
    fn the_file_has_a_key_for_each_profile() {
        assert_eq!(with(None, &[]).unwrap().1, "first");
        let (key, secret, found) = with(None, &[("AWS_PROFILE", "lab")]).unwrap();
        assert_eq!((key.as_str(), secret.as_str()), ("two", "second="));
        assert!(found.starts_with("profile lab in "), "{found}");
    }

    #[test]
    fn without_a_whole_key_it_is_said_where_one_would_be_looked_for() {
        for (profile, variables, what) in [
            (Some("half"), &[][..], "profile half in "),
            (Some("none"), &[], "profile none in "),
            (
                None,
                &[("AWS_ACCESS_KEY_ID", "k")],
                "AWS_SECRET_ACCESS_KEY is not",
            ),
            (
                None,
                &[("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")],
                "neither AWS_ACCESS_KEY_ID nor /nowhere",
            ),
        ] {
            let failure = with(profile, variables).unwrap_err().downcast::<Failure>();
            let failure = failure.unwrap();
            assert!(failure.what.contains(what), "{failure}");
        }
    }
}
