//! The rack planner as its users meet it: through nginx, from outside of the device.

use serde_json::{Value, json};
use tests::*;

/// Where the device reaches this host, and through it its own ports as others do: through the firewall.
const HOST: &str = "10.0.2.2";
/// The name of nginx's host.
const NAME: &str = "rack.local";
const CERTIFICATE: &str = "/run/rack.crt";
/// The secret that the device makes by itself.
const PASSWORD: &str = "/run/credstore/rack.admin-password";

/// A planner that has booted for the first time, and is healthy.
pub fn rack_appliance() -> Result<Machine> {
    started(&snapshot_of(
        "rack",
        &lichen_toml_with(&[])?,
        rack_is_healthy,
    )?)
}

/// Waits until nothing is left to do and nothing has failed, and the planner is ready behind nginx.
pub fn rack_is_healthy(machine: &Machine) -> Result<()> {
    machine.wait_until("a healthy appliance", BOOT, || {
        nothing_failed(machine)?;
        let ready = machine.web(80)?.get("/api/health/ready")?;
        ready.success().map(drop)
    })
}

/// What was answered.
#[derive(Debug)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Told {
    /// The body as JSON, if the status is this one.
    pub fn json(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "{self:?}");
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }

    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| *known == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.trim()),
            _ => None,
        }
    }
}

/// The planner on one machine, and a token for it.
pub struct Planner<'m> {
    machine: &'m Machine,
    token: String,
}

impl<'m> Planner<'m> {
    /// Logs in with the password that the device has made, and makes a token.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        let mut planner = Planner {
            machine,
            token: String::new(),
        };
        let password = machine.sh(&format!("cat {PASSWORD}"))?;
        ensure!(password.trim().len() == 24, "the password is no secret");
        let login = json!({ "name": "admin", "password": password.trim() });
        let jar = "-c /run/jar";
        let session = planner.http("POST", "/api/session", jar, Some(&login))?;
        let csrf = session.json(200)?;
        let csrf = csrf["csrf"].as_str().context("no csrf")?;
        let wish = json!({ "name": machine.boot_id()?, "role": "admin" });
        let with = format!("-b /run/jar -H 'X-CSRF-Token: {csrf}'");
        let made = planner.http("POST", "/api/tokens", &with, Some(&wish))?;
        let token = made.json(201)?;
        planner.token = token["token"].as_str().context("no token")?.to_owned();
        Ok(planner)
    }

    /// The planner of a machine that knows this token.
    pub fn knowing(machine: &'m Machine, token: &str) -> Self {
        Planner {
            machine,
            token: token.to_owned(),
        }
    }

    /// The token that was made.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Asks over HTTP, in the local network.
    pub fn http(
        &self,
        method: &str,
        path: &str,
        options: &str,
        body: Option<&Value>,
    ) -> Result<Told> {
        let port = self.machine.port(80)?;
        self.ask(
            method,
            &format!("http://{HOST}:{port}{path}"),
            options,
            body,
        )
    }

    /// Asks over TLS, with the device's own certificate as the only one that is trusted.
    pub fn https(&self, path: &str) -> Result<Told> {
        let certificate = self.machine.sh(&format!(
            "openssl x509 -in /var/lib/self-signed/nginx-{NAME}.pem"
        ))?;
        self.machine
            .write_file(CERTIFICATE, certificate.as_bytes())?;
        let port = self.machine.port(443)?;
        let options = format!("--cacert {CERTIFICATE} --connect-to ::{HOST}:{port}");
        self.ask("GET", &format!("https://{NAME}{path}"), &options, None)
    }

    fn ask(&self, method: &str, url: &str, options: &str, body: Option<&Value>) -> Result<Told> {
        let mut options = format!("{options} -X {method}");
        if !self.token.is_empty() {
            options += &format!(" -H 'Authorization: Bearer {}'", self.token);
        }
        if let Some(body) = body {
            self.machine
                .write_file("/run/asked", body.to_string().as_bytes())?;
            options += " -H 'Content-Type: application/json' --data-binary @/run/asked";
        }
        let status = self.machine.sh(&format!(
            "rm -f /run/told; curl -sS -m 60 -D /run/head -o /run/told -w '%{{http_code}}' {options} '{url}'"
        ))?;
        Ok(Told {
            status: status.trim().parse().context(status)?,
            head: self.machine.sh("cat /run/head")?.to_lowercase(),
            body: self.machine.sh("cat /run/told 2> /dev/null || true")?,
        })
    }

    /// Adds a rack, and returns it.
    pub fn adds(&self, name: &str) -> Result<Value> {
        let rack = json!({ "name": name, "units": 42, "watts": 3000.0 });
        self.http("POST", "/api/racks", "", Some(&rack))?.json(201)
    }

    /// The names of all racks, in order.
    pub fn names(&self) -> Result<Vec<String>> {
        let racks = self.http("GET", "/api/racks", "", None)?.json(200)?;
        let names = racks["items"].as_array().context("no items")?.iter();
        let names = names.filter_map(|rack| Some(rack["name"].as_str()?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    /// Writes a note to a rack, and returns it as it is then; an error unless that is acknowledged. It takes one round trip, from the host.
    pub fn notes(&self, rack: &Value, note: &str) -> Result<Value> {
        let mut wish = rack.clone();
        let fields = wish.as_object_mut().context("no rack")?;
        fields.remove("id");
        fields.insert("notes".into(), note.into());
        let path = format!("/api/racks/{}", rack["id"]);
        let web = self.machine.web(80)?;
        let answer = web.put(&path, Some(&self.token), &wish)?;
        answer.success()?.json()
    }

    /// A rack as it is now.
    pub fn rack(&self, id: &Value) -> Result<Value> {
        let path = format!("/api/racks/{id}");
        self.http("GET", &path, "", None)?.json(200)
    }

    /// Waits until the planner is ready, or is not.
    pub fn is_ready(&self, ready: bool) -> Result<()> {
        let what = if ready {
            "a ready planner"
        } else {
            "a planner that is not ready"
        };
        self.machine.wait_until(what, SOON, || {
            let answer = self.machine.web(80)?.get("/api/health/ready")?;
            ensure!((answer.status == 200) == ready, "{answer:?}");
            Ok(())
        })
    }
}
