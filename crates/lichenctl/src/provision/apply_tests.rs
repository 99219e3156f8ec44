use super::*;
use protocol::lichen_toml::Secret;

fn of(ssid: &str, passphrase: Option<&str>) -> (String, String) {
    network(&Wifi {
        ssid: ssid.into(),
        passphrase: passphrase.map(|p| Secret::from(p.to_owned())),
        country: None,
    })
}

#[test]
fn networks_as_iwd_names_them() {
    let psk = |name: &str, line: &str| (name.to_owned(), format!("[Security]\n{line}\n"));
    assert_eq!(
        of("attic 2_x-y", Some("longenough")),
        psk("attic 2_x-y.psk", "Passphrase=longenough")
    );
    assert_eq!(of("café", Some("longenough")).0, "=636166c3a9.psk");
    assert_eq!(
        of("../../etc", Some("longenough")).0,
        "=2e2e2f2e2e2f657463.psk"
    );
    assert_eq!(
        of("a", Some(r" a\b c ")),
        psk("a.psk", r"Passphrase=\sa\\b\sc\s")
    );
    assert_eq!(
        of("a", Some(&"AB".repeat(32))),
        psk("a.psk", &format!("PreSharedKey={}", "ab".repeat(32)))
    );
    assert_eq!(of("guests", None).0, "guests.open");
}

#[test]
fn the_country_goes_into_what_the_generation_configured() {
    for (before, after) in [
        ("", "[General]\nCountry=DE\n"),
        ("[General]\nX=1\n", "[General]\nCountry=DE\nX=1\n"),
        (
            "[General]\nCountry=FR\nX=1\n[Network]\nY=2\n",
            "[General]\nCountry=DE\nX=1\n[Network]\nY=2\n",
        ),
        (
            "[Network]\nCountry=no\n",
            "[General]\nCountry=DE\n[Network]\nCountry=no\n",
        ),
    ] {
        assert_eq!(with_country(before, "DE"), after);
        assert_eq!(
            with_country(after, "DE"),
            after,
            "a second time changes nothing"
        );
    }
}
