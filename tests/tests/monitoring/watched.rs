//! What services are watched with: `crates/<service>/monitoring/`, as Prometheus and Grafana read it.
//!
//! A service that is to be watched brings three files, and they are tested by being there:
//!
//! * `alerts.yml`, rules for Prometheus. Every alert has a severity and a summary.
//! * `alerts_test.yml`, promtool's unit tests of them. Every alert fires in one and keeps silent in another.
//! * `dashboard.json`, a dashboard for Grafana whose data source is a variable, so that it can be imported and
//!   provisioned alike.
//!
//! And it can be run anywhere: `<service> [run] --config FILE --simulate` serves `/health/ready` and `/metrics` where `http`
//! in the file says, as the service kit has it, and without hardware or network soon has every series that its
//! dashboard draws and its rules look at. To Prometheus its job has the name of its crate.
//!
//! The rules in `crates/kit/monitoring/` are about what the kit tells of every service.
//!
//! A service that is nothing without servers of others cannot be run like that. Its rules and dashboards are about those servers as well,
//! and a device that has all of them is asked, by the service's own stories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testbed::{Context, Prometheus, Result, Selector, Service, bail, ensure, wait_until};

use tests::SOON;

/// The crate whose rules hold for every service.
const KIT: &str = "kit";
/// What is nothing without servers; a device is asked by `rack::every_rule_and_panel_finds_what_it_looks_for`.
const BESIDE_SERVERS: [&str; 1] = ["rack"];
/// What Grafana makes of its own variables, for a day on a screen with a scrape every 15 s.
const BUILT_IN: [(&str, &str); 4] = [
    ("__rate_interval", "1m"),
    ("__interval", "1m"),
    ("__range", "1d"),
    ("__range_s", "86400"),
];

/// The files of a service's dashboards that it may have.
pub const DASHBOARDS: [&str; 2] = ["dashboard.json", "infrastructure.json"];

/// The checkout under test. All services are one input: what is looked at is found by being there.
fn checkout() -> Result<PathBuf> {
    testbed::input("services")
}

/// Every `crates/*/monitoring`, by the name of its crate.
pub fn monitored() -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(checkout()?.join("crates"))? {
        let entry = entry?;
        let folder = entry.path().join("monitoring");
        if folder.exists() {
            found.insert(entry.file_name().to_string_lossy().into_owned(), folder);
        }
    }
    ensure!(found.len() > 1, "nothing to look at but {found:?}");
    Ok(found)
}

/// A service that runs, and a Prometheus that watches it with its rules and the kit's.
#[derive(Debug)]
pub struct Watched {
    /// Where its files are.
    pub folder: PathBuf,
    /// What watches it.
    pub prometheus: Prometheus,
    service: Service,
}

/// Every service that brings what to watch it with, one after the other.
pub fn for_each_service(look: impl Fn(&Watched) -> Result<()>) -> Result<()> {
    testbed::lasts_a_day("alerts may be about this host, such as about its disk")?;
    let mut monitored = monitored()?;
    let kit = monitored.remove(KIT).context("the kit has no rules")?;
    for name in BESIDE_SERVERS {
        monitored.remove(name).context(name)?;
    }
    for (name, folder) in monitored {
        let service = Service::simulated(&checkout()?, &name)?;
        let rules = [folder.join("alerts.yml"), kit.join("alerts.yml")];
        let prometheus = Prometheus::start(&name, &[service.port()], &rules)?;
        let watched = Watched {
            folder,
            prometheus,
            service,
        };
        look(&watched).with_context(|| format!("crates/{name}/monitoring"))?;
    }
    Ok(())
}

impl Watched {
    /// Waits until there are series behind this selector: of this name and this job, with labels of these names. What
    /// values the others have is the selector's own affair: it may look for what rightly is not there.
    pub fn knows(&self, selector: &Selector) -> Result<()> {
        let matchers =
            selector
                .matchers
                .iter()
                .map(|(label, operator, value)| match label.as_str() {
                    "job" | "__name__" => format!("{label}{operator}\"{value}\""),
                    _ => format!("{label}!=\"\""),
                });
        let job = [format!("job=\"{}\"", self.service.name())];
        let matchers: Vec<String> = matchers.chain(job).collect();
        self.draws(&format!("{}{{{}}}", selector.metric, matchers.join(",")))
            .map(drop)
    }

    /// Waits until the service has series of its own with a label of this name.
    pub fn has_label(&self, label: &str) -> Result<()> {
        let own = format!("{{job=\"{}\"}}", self.service.name());
        wait_until(&format!("a label {label}"), SOON, || {
            ensure!(
                !self.prometheus.label_values(label, &own)?.is_empty(),
                "no series has it"
            );
            Ok(())
        })
    }

    /// Waits until an expression gives something, and gives that.
    pub fn draws(&self, expression: &str) -> Result<Vec<Value>> {
        wait_until(&format!("series of {expression}"), SOON, || {
            let series = self.prometheus.query(expression)?;
            ensure!(!series.is_empty(), "there are none");
            Ok(series)
        })
    }

    /// The service's dashboard.
    pub fn dashboard(&self) -> Result<Dashboard> {
        Dashboard::read(&self.folder.join("dashboard.json"))
    }
}

/// A dashboard for Grafana.
#[derive(Debug)]
pub struct Dashboard(Value);

/// One thing that it draws.
#[derive(Debug)]
pub struct Target {
    /// The panel's title.
    pub panel: String,
    /// What is drawn, with variables in it.
    pub expression: String,
    /// How series are called.
    pub legend: String,
}

impl Dashboard {
    /// The one in this file.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Self(
            serde_json::from_str(&text).with_context(|| file.display().to_string())?,
        ))
    }

    /// A value of its own, such as `/title`.
    pub fn text(&self, pointer: &str) -> Result<&str> {
        let value = self
            .0
            .pointer(pointer)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        value.with_context(|| format!("{pointer} is missing"))
    }

    /// Its panels, those within rows too.
    pub fn panels(&self) -> Result<Vec<&Value>> {
        let mut panels = Vec::new();
        for panel in list(&self.0, "panels") {
            panels.push(panel);
            panels.extend(list(panel, "panels"));
        }
        ensure!(!panels.is_empty(), "there are no panels");
        Ok(panels)
    }

    /// Everything it asks Prometheus for.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for panel in self.panels()? {
            for target in list(panel, "targets") {
                let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
                targets.push(Target {
                    panel: panel["title"].as_str().unwrap_or_default().to_owned(),
                    expression: text("expr"),
                    legend: text("legendFormat"),
                });
            }
        }
        Ok(targets)
    }

    /// Its variables and what Grafana would make of each when the dashboard is opened: everything is chosen.
    pub fn variables(&self, watched: &Watched) -> Result<BTreeMap<String, String>> {
        let built_in = BUILT_IN.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut variables = BTreeMap::from(built_in);
        for variable in list(&self.0["templating"], "list") {
            let name = variable["name"]
                .as_str()
                .context("a variable has no name")?;
            let query = variable["query"]
                .as_str()
                .or(variable["query"]["query"].as_str())
                .unwrap_or_default();
            let value = match variable["type"].as_str() {
                Some("datasource") => continue,
                Some("query") => {
                    let values = values(&resolve(query, &variables)?, watched);
                    let values = values.with_context(|| format!("variable {name}"))?;
                    values.join("|")
                }
                Some("constant" | "custom" | "interval" | "textbox") => query
                    .split(',')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                other => bail!("variable {name}: this story does not know type {other:?}"),
            };
            variables.insert(name.to_owned(), value);
        }
        Ok(variables)
    }
}

/// The values of `label_values(SELECTOR, LABEL)`, each escaped as Grafana escapes them for `=~`.
fn values(query: &str, watched: &Watched) -> Result<Vec<String>> {
    let inner = query
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inner
        .and_then(|inner| inner.rsplit_once(','))
        .with_context(|| {
            format!("this story knows only label_values(SELECTOR, LABEL), not {query:?}")
        })?;
    watched.draws(selector.trim())?;
    let values = watched
        .prometheus
        .label_values(label.trim(), selector.trim())?;
    ensure!(!values.is_empty(), "{query} gives nothing");
    let escape = |value: &String| {
        let escape = |c| {
            if r"\^$*+?.()|[]{}/-".contains(c) {
                format!(r"\\{c}")
            } else {
                String::from(c)
            }
        };
        value.chars().map(escape).collect()
    };
    Ok(values.iter().map(escape).collect())
}

/// `text` with `$name` and `${name}` replaced.
pub fn resolve(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut parts = text.split('$');
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(part) => part
                .split_once('}')
                .with_context(|| format!("no }} in {part:?}"))?,
            None => part.split_at(
                part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(part.len()),
            ),
        };
        let value = variables
            .get(name)
            .with_context(|| format!("${name} is no variable of this dashboard"))?;
        resolved.push_str(value);
        resolved.push_str(rest);
    }
    Ok(resolved)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}
