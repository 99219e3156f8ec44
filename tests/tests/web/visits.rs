//! The application of the how-to, as its visitors see it, and the servers behind it.

use serde_json::Value;
use tests::*;

use super::daemons::as_user;

/// Where the device reaches this host, and through it its own ports as others do: through the firewall.
const HOST: &str = "10.0.2.2";
/// The name of nginx's host.
const NAME: &str = "visits.local";
const CERTIFICATE: &str = "/run/visits.crt";

/// The application on one machine.
pub struct Visits<'m> {
    machine: &'m Machine,
    certificate: String,
    port: u16,
}

impl<'m> Visits<'m> {
    /// Copies the certificate, as the how-to says.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        let visits = Self {
            machine,
            certificate: machine
                .sh("openssl x509 -in /var/lib/self-signed/nginx-visits.local.pem")?,
            port: machine.port(443)?,
        };
        visits.is_told()?;
        Ok(visits)
    }

    /// Tells the visitor which certificate to trust, until the next boot.
    pub fn is_told(&self) -> Result<()> {
        self.machine
            .write_file(CERTIFICATE, self.certificate.as_bytes())
    }

    /// Visits, over TLS with a server that has the certificate, and returns which visitor this was.
    pub fn number(&self) -> Result<u64> {
        let said = self
            .machine
            .sh(&self.visit(&format!("--cacert {CERTIFICATE}")))?;
        let number = said.trim().strip_prefix("You are visitor ");
        let number = number.and_then(|rest| rest.strip_suffix('.'));
        number.with_context(|| said.clone())?.parse().context(said)
    }

    /// Who does not know the certificate is warned, and who comes without TLS is sent to it.
    pub fn is_refused_without_its_certificate(&self) -> Result<()> {
        let refused = self.machine.try_sh(&self.visit(""))?;
        ensure!(refused.status == 60, "curl without it: {refused:?}");
        let plain = format!(
            "curl -sS -m 60 -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: {NAME}' http://{HOST}:{}/",
            self.machine.port(80)?
        );
        let answer = self.machine.sh(&plain)?;
        assert_eq!(answer, format!("301 https://{NAME}/"));
        Ok(())
    }

    fn visit(&self, options: &str) -> String {
        let (machine, port) = (HOST, self.port);
        format!("curl -fsS -m 60 --connect-to ::{machine}:{port} {options} https://{NAME}/")
    }

    /// The rows that PostgreSQL has, asked as the application does.
    pub fn rows(&self) -> Result<u64> {
        let said = self.machine.sh(&as_user(
            "visits",
            "psql -Xqtc 'SELECT count(*) FROM visits'",
        ))?;
        said.trim().parse().context(said)
    }

    /// Other users of the device are no role of PostgreSQL's, and cannot be the application's.
    pub fn nobody_else_reads_them(&self) -> Result<()> {
        for (role, why) in [
            ("nobody", "does not exist"),
            ("visits", "Peer authentication failed"),
        ] {
            let refused = self.machine.try_sh(&as_user(
                "nobody",
                &format!("psql -U {role} -d visits -Xqtc 'SELECT 1'"),
            ))?;
            ensure!(
                refused.status != 0 && refused.stderr.contains(why),
                "nobody as {role}: {refused:?}"
            );
        }
        Ok(())
    }
}

/// The servers for clients of Redis: one of the application alone, and the cache of the whole device.
pub struct Cache {
    pub password_file: &'static str,
    pub password: &'static str,
}

/// As tests/generations/web.nix has them.
pub const CACHE: Cache = Cache {
    password_file: "/var/lib/visits.password",
    password: "known to the application",
};
const SOCKET: &str = "/run/redis-visits/redis.sock";

impl Cache {
    fn ask(&self, user: &str, password: &str, command: &str) -> String {
        let ask =
            format!("env REDISCLI_AUTH='{password}' valkey-cli -e -s {SOCKET} {command} 2>&1");
        as_user(user, &ask)
    }

    /// The application reaches its own server with the password, and anybody on the device the cache.
    pub fn answers_its_own(&self, machine: &Machine) -> Result<()> {
        let pong = machine.sh(&self.ask("visits", self.password, "ping"))?;
        assert_eq!(pong.trim(), "PONG");
        let pong = machine.sh(&as_user("nobody", "valkey-cli ping"))?;
        assert_eq!(pong.trim(), "PONG");
        Ok(())
    }

    /// Without the password or the group nobody reaches the application's server, and from outside nobody the cache.
    pub fn answers_nobody_else(&self, machine: &Machine) -> Result<()> {
        for (user, password, why) in [
            ("visits", "", "NOAUTH"),
            ("visits", "guessed", "WRONGPASS"),
            ("nobody", self.password, "Permission denied"),
        ] {
            let refused = machine.try_sh(&self.ask(user, password, "ping"))?;
            ensure!(refused.stdout.contains(why), "{user}: {refused:?}");
        }
        let address = machine.sh("hostname -I | cut -d ' ' -f 1")?;
        let outside = machine.try_sh(&format!("valkey-cli -h {} ping", address.trim()))?;
        ensure!(outside.status != 0, "on {address}: {outside:?}");
        Ok(())
    }

    /// Keeps a value; returns when that is on the card.
    pub fn keeps(&self, machine: &Machine, value: &str) -> Result<()> {
        machine.sh(&self.ask("visits", self.password, &format!("set kept '{value}'")))?;
        let synced = machine.sh(&self.ask("visits", self.password, "waitaof 1 0 60000"))?;
        ensure!(synced.starts_with('1'), "{synced}");
        Ok(())
    }

    /// The value that was kept.
    pub fn kept(&self, machine: &Machine) -> Result<String> {
        let said = machine.sh(&self.ask("visits", self.password, "get kept"))?;
        Ok(said.trim().to_owned())
    }
}

/// Waits until the device's Prometheus has scraped every daemon, its rule has fired, and the Alertmanager was told.
pub fn is_scraped(machine: &Machine) -> Result<()> {
    let json = |url: &str| -> Result<Value> {
        Ok(serde_json::from_str(
            &machine.sh(&format!("curl -fsS -m 60 {url}"))?,
        )?)
    };
    machine.wait_until("every daemon to be scraped", BOOT, || {
        let told = json("http://127.0.0.1:9090/api/v1/targets?state=active")?;
        let targets = told["data"]["activeTargets"].as_array();
        let targets = targets.context("no targets")?;
        assert_eq!(targets.len(), 6);
        for target in targets {
            ensure!(target["health"] == "up", "{target}");
        }
        let alerts = json("http://127.0.0.1:9093/api/v2/alerts")?;
        ensure!(alerts[0]["labels"]["alertname"] == "Scraped", "{alerts}");
        Ok(())
    })
}
