//! Whether a gateway answers: the routes say which there are, and the kernel's table of neighbours whether they are there.
//!
//! Each look also has the kernel ask for the neighbour anew, by ARP or by IPv6's neighbour solicitation, which every gateway
//! answers, also one that ignores pings. The next look finds the result.

use super::command;
use super::decide::Reach;
use anyhow::{Context, Result};
use protocol::link::Gateway;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The program `ip`, with what may have to precede it.
pub struct Ip(Vec<String>);

#[derive(Deserialize)]
struct Route {
    gateway: Option<String>,
    via: Option<Via>,
    dev: Option<String>,
    #[serde(default)]
    nexthops: Vec<Route>,
    #[serde(default)]
    flags: Vec<String>,
}

/// A gateway whose address is of the other family.
#[derive(Deserialize)]
struct Via {
    host: String,
}

#[derive(Deserialize)]
struct Neighbour {
    #[serde(default)]
    state: Vec<String>,
}

impl Ip {
    pub fn new() -> Self {
        Self(vec!["ip".into()])
    }

    /// The gateways on these interfaces, or on all if none is named. An answer is one of the last minute.
    pub fn gateways(&self, interfaces: &[String]) -> Result<Vec<Gateway>> {
        let mut gateways = Vec::new();
        for family in ["-4", "-6"] {
            let said = self.run(&["-j", family, "route", "show", "default"])?;
            gateways.extend(routes(&said)?);
        }
        let among =
            |gateway: &Gateway| interfaces.is_empty() || interfaces.contains(&gateway.interface);
        let mut seen = BTreeSet::new();
        gateways.retain(|gateway| {
            among(gateway) && seen.insert((gateway.interface.clone(), gateway.address.clone()))
        });
        for gateway in &mut gateways {
            if gateway.answers.is_none() {
                gateway.answers = self.answers(gateway)?;
            }
        }
        Ok(gateways)
    }

    fn answers(&self, gateway: &Gateway) -> Result<Option<bool>> {
        let of = [gateway.address.as_str(), "dev", &gateway.interface];
        let said = self.run(&[&["-j", "neigh", "show", "to"], &of[..]].concat())?;
        self.run(&[&["neigh", "replace"], &of[..], &["nud", "none", "use"]].concat())?;
        neighbour(&said)
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        command::run(&self.0, arguments, PATIENCE)
    }
}

/// What the gateways say together.
pub fn reach(gateways: &[Gateway]) -> Reach {
    let any = |answers| gateways.iter().any(|gateway| gateway.answers == answers);
    match () {
        () if any(Some(true)) => Reach::Answers,
        () if any(None) => Reach::Unknown,
        () => Reach::Silent,
    }
}

/// The gateways in what `ip -j route show default` prints. A route without one, as through a tunnel, tells nothing.
fn routes(said: &str) -> Result<Vec<Gateway>> {
    let mut gateways = Vec::new();
    for route in list::<Route>(said)? {
        let hops = match route.nexthops.is_empty() {
            true => vec![route],
            false => route.nexthops,
        };
        for hop in hops {
            let address = hop.gateway.or(hop.via.map(|via| via.host));
            let Some((address, interface)) = address.zip(hop.dev) else {
                continue;
            };
            let down = |flag: &String| flag == "linkdown" || flag == "dead";
            let answers = hop.flags.iter().any(down).then_some(false);
            gateways.push(Gateway {
                interface,
                address,
                answers,
            });
        }
    }
    Ok(gateways)
}

/// Whether the neighbour is there, by what `ip -j neigh show` prints.
fn neighbour(said: &str) -> Result<Option<bool>> {
    let states = list::<Neighbour>(said)?
        .into_iter()
        .flat_map(|neighbour| neighbour.state);
    Ok(states
        .map(|state| match state.as_str() {
            "REACHABLE" => Some(true),
            "FAILED" | "INCOMPLETE" => Some(false),
            // Being asked, or not to be asked.
            _ => None,
        })
        .next()
        .flatten())
}

/// `ip` prints nothing at all where there is nothing.
fn list<T: for<'a> Deserialize<'a>>(said: &str) -> Result<Vec<T>> {
    match said.trim() {
        "" => Ok(Vec::new()),
        said => serde_json::from_str(said).context("cannot read what `ip` prints"),
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
