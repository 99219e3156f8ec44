//! Certificates from a real authority, Debian's pebble, by Debian's lego, as the page of a device has them asked for: whatever the
//! authority does, the web server has one.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::ExitStatus;
use std::time::Duration;

use daemons::{Authority, Device, Web, free_port, openssl};
use testbed::{Result, ensure, wait_until};

const UNIT: &str = "acme-rack.test";
/// The certificate that the device signs itself.
const OWN: &str = "self-signed/acme-rack.test.pem";

/// A device before its first certificate, as tmpfiles and self-signed-acme-rack.test.service leave it.
fn device(authority: &str, knows_the_time: bool) -> Result<Device> {
    // Nobody waits two minutes for the time here.
    let device = Device::new(
        UNIT,
        &[
            ("127.0.0.1:14000", authority.to_owned()),
            ("seq 60", "seq 0".to_owned()),
        ],
    )?;
    fs::create_dir_all(
        device
            .run()
            .join("acme-challenge/.well-known/acme-challenge"),
    )?;
    fs::create_dir_all(device.run().join("systemd/timesync"))?;
    if knows_the_time {
        fs::write(device.run().join("systemd/timesync/synchronized"), "")?;
    }
    let own = device.var_lib().join(OWN);
    fs::create_dir_all(own.parent().unwrap())?;
    let [key, certificate] =
        ["key", "crt"].map(|kind| own.with_extension(kind).display().to_string());
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-subj",
        "/CN=own",
        "-days",
        "9",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ])?;
    fs::write(
        &own,
        fs::read_to_string(key)? + &fs::read_to_string(certificate)?,
    )?;
    fs::create_dir(device.data().join("none"))?;
    symlink(&own, device.data().join("none/full.pem"))?;
    symlink("none", device.data().join("current"))?;
    Ok(device)
}

/// Runs the unit as its timer does. Says how it ended, and what it said.
fn run(device: &Device) -> Result<(ExitStatus, String)> {
    let (status, lines) = device.start("")?.end()?;
    Ok((status, lines.join("\n")))
}

fn got(device: &Device) -> Result<String> {
    let (status, said) = run(device)?;
    ensure!(status.success(), "{status}: {said}");
    Ok(said)
}

fn serial(device: &Device) -> Result<String> {
    let file = device.data().join("current/cert.pem").display().to_string();
    openssl(&["x509", "-in", &file, "-noout", "-serial"])
}

fn failed(device: &Device) -> bool {
    device.runtime().join("failed").exists()
}

#[test]
fn a_web_server_shows_its_own_certificate_until_the_authority_has_given_one_and_again_when_it_is_renewed()
-> Result<()> {
    let [http, tls] = [free_port()?, free_port()?];
    // Fewer days than the page wants to have left: each run renews it.
    let authority = Authority::start(http, 20)?;
    let device = device(&authority.address(), true)?;
    fs::copy(authority.certificate(), device.run().join("authority.pem"))?;
    let web = Web::start(&device, http, tls)?;
    assert_eq!(web.issuer()?, "issuer=CN=own");

    let said = got(&device)?;
    assert!(
        said.contains("a new certificate for rack.test www.rack.test, valid until 20"),
        "{said}"
    );
    assert!(
        device.runtime().join("renewed").exists(),
        "services are to be reloaded"
    );
    let current = device.data().join("current");
    let full = fs::read_to_string(current.join("full.pem"))?;
    assert_eq!(
        full,
        fs::read_to_string(current.join("key.pem"))?
            + &fs::read_to_string(current.join("fullchain.pem"))?
    );
    let names = openssl(&[
        "x509",
        "-in",
        &current.join("cert.pem").display().to_string(),
        "-noout",
        "-ext",
        "subjectAltName",
    ])?;
    assert!(
        names.ends_with("DNS:rack.test, DNS:www.rack.test"),
        "{names}"
    );
    let ends: u64 = fs::read_to_string(current.join("ends"))?.trim().parse()?;
    let days = ends.saturating_sub(daemons::now() / 1_000_000) / 86400;
    assert!((18..=20).contains(&days), "{days} days");

    web.reload()?;
    wait_until("the new certificate", Duration::from_secs(60), || {
        let issuer = web.issuer()?;
        ensure!(
            issuer.starts_with("issuer=CN=Pebble Intermediate"),
            "{issuer}"
        );
        Ok(())
    })?;

    let first = serial(&device)?;
    got(&device)?;
    assert_ne!(serial(&device)?, first, "it was renewed");
    let accounts = authority.said().matches(" accounts in memory").count();
    assert_eq!(
        accounts,
        1,
        "both were asked for by one account: {}",
        authority.said()
    );

    // What a power cut may have left, or a card has damaged.
    fs::write(device.data().join("account.tar"), "half")?;
    got(&device)?;
    // The one before stays until the next is asked for: some service may still be about to read it.
    let kept = fs::read_dir(device.data())?;
    let kept = kept.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(kept.filter(|name| name.starts_with("cert-")).count(), 2);
    Ok(())
}

#[test]
fn nobody_is_asked_while_a_certificate_has_many_days_left() -> Result<()> {
    let [http, tls] = [free_port()?, free_port()?];
    let authority = Authority::start(http, 90)?;
    let device = device(&authority.address(), true)?;
    fs::copy(authority.certificate(), device.run().join("authority.pem"))?;
    let _web = Web::start(&device, http, tls)?;
    got(&device)?;
    let first = serial(&device)?;
    drop(authority);
    assert_eq!(got(&device)?, "");
    assert_eq!((serial(&device)?, failed(&device)), (first, false));
    Ok(())
}

#[test]
fn what_the_authority_refuses_costs_nothing_and_is_seen() -> Result<()> {
    // Nobody answers its question, and then it is gone itself.
    let mut authority = Some(Authority::start(free_port()?, 90)?);
    let device = device(&authority.as_ref().unwrap().address(), true)?;
    fs::copy(
        authority.as_ref().unwrap().certificate(),
        device.run().join("authority.pem"),
    )?;
    for cause in [
        "urn:ietf:params:acme:error:connection",
        "connection refused",
    ] {
        let (status, said) = run(&device)?;
        assert_eq!(status.code(), Some(75), "{said}");
        assert!(said.contains(cause), "{said}");
        let last = said.lines().last().unwrap();
        assert_eq!(
            last,
            "<3>the authority gave no certificate for rack.test www.rack.test: the present one stays, and the timer tries again"
        );
        assert!(failed(&device) && !device.runtime().join("renewed").exists());
        assert!(
            fs::read_to_string(device.data().join("current/full.pem"))?.contains("PRIVATE KEY")
        );
        drop(authority.take());
    }
    Ok(())
}

#[test]
fn nobody_is_asked_before_the_time_is_known() -> Result<()> {
    let device = device("127.0.0.1:1", false)?;
    assert_eq!(
        got(&device)?,
        "the time is not known yet: nobody is asked for a certificate"
    );
    assert!(!failed(&device));
    Ok(())
}
