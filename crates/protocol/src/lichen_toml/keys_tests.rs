use super::check;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn";

#[test]
fn keys_as_ssh_keygen_writes_them_are_taken() {
    for key in [
        ED25519.to_owned(),
        format!("{ED25519} me@laptop"),
        format!("{ED25519} a longer comment"),
    ] {
        assert_eq!(check(&key), Ok(()), "{key}");
    }
}

#[test]
fn a_key_that_would_lock_its_owner_out_is_not() {
    for (key, why) in [
        ("", "begin with a kind"),
        ("ssh-ed25519", "not whole"),
        ("ssh-ed25519 %%%%", "not whole"),
        (&ED25519[..60], "not whole"),
        (&ED25519[..ED25519.len() - 4], "not whole"),
        (
            &ED25519.replace("ssh-ed25519", "ssh-rsa"),
            "but the key itself does not",
        ),
        ("ssh-dss AAAAB3NzaC1kc3M=", "is a DSA key"),
        ("ed25519 AAAAB3NzaC1kc3M=", "begin with a kind"),
        (&format!("command=\"x y\" {ED25519}"), "begins with options"),
        (
            &format!("ssh-ed25519-cert-v01@openssh.com {}", &ED25519[12..]),
            "is a certificate",
        ),
        (
            "---- BEGIN SSH2 PUBLIC KEY ----",
            "`ssh-keygen -i -f FILE` prints",
        ),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "private key of PuTTY"),
        (&format!("{ED25519}\n{ED25519}"), "several lines"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "too short"),
    ] {
        let message = check(key).expect_err(key);
        assert!(message.contains(why), "{key}: {message}");
    }
}
