//! Alert rules and dashboards, judged by Prometheus itself, on services that run on this host.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testbed::{Prometheus, promtool, references};
use tests::*;
use watched::*;

mod watched;

#[test]
fn every_rule_is_one_that_prometheus_takes() -> Result<()> {
    for folder in monitored()?.values() {
        let rules = folder.join("alerts.yml").display().to_string();
        promtool(&["check", "rules", "--lint-fatal", &rules])?;
    }
    Ok(())
}

#[test]
fn every_alert_fires_on_what_it_is_for_and_on_nothing_else() -> Result<()> {
    for (name, folder) in monitored()? {
        let file = folder.join("alerts_test.yml").display().to_string();
        promtool(&["test", "rules", &file]).with_context(|| format!("crates/{name}"))?;
    }
    Ok(())
}

/// promtool's tests of an alert count only if they fail when the alert is changed.
#[test]
#[ignore = "slow: promtool, twice for every alert; ./lichen test --slow"]
fn an_alert_that_always_fires_or_never_does_would_be_noticed() -> Result<()> {
    for (name, folder) in monitored()? {
        let tests = fs::read_to_string(folder.join("alerts_test.yml"))
            .with_context(|| format!("crates/{name}/monitoring/alerts_test.yml"))?;
        let groups = groups(&Prometheus::start(
            "nothing",
            &[],
            &[folder.join("alerts.yml")],
        )?)?;
        // Tests that fail with the unchanged alerts prove nothing about changed ones.
        passes(&groups, &tests).with_context(|| format!("crates/{name}"))?;
        for alert in alerts(&groups) {
            let instead = |expression: &str| {
                let mut groups = groups.clone();
                let rules = groups
                    .iter_mut()
                    .flat_map(|group| group["rules"].as_array_mut());
                for rule in rules
                    .flatten()
                    .filter(|rule| rule["alert"] == alert.as_str())
                {
                    rule["expr"] = expression.into();
                    rule["for"] = "0s".into();
                }
                passes(&groups, &tests)
            };
            ensure!(
                instead("vector(1) < 0").is_err(),
                "{name}: no test sees {alert} fire"
            );
            ensure!(
                instead("vector(1)").is_err(),
                "{name}: no test sees {alert} keep silent"
            );
        }
    }
    Ok(())
}

#[test]
fn every_alert_looks_at_series_that_its_service_has_and_is_silent_when_all_is_well() -> Result<()> {
    for_each_service(|watched| {
        let groups = groups(&watched.prometheus)?;
        for rule in groups
            .iter()
            .flat_map(|group| group["rules"].as_array())
            .flatten()
        {
            let name = rule["alert"].as_str().context("only alerts are expected")?;
            let severity = rule["labels"]["severity"].as_str();
            ensure!(
                matches!(severity, Some("critical" | "warning")),
                "{name}: severity {severity:?}"
            );
            for text in ["summary", "description"] {
                ensure!(
                    rule["annotations"][text].is_string(),
                    "{name} has no {text}"
                );
            }
            let references = references(rule["expr"].as_str().context("no expression")?)?;
            for selector in &references.selectors {
                watched.knows(selector).with_context(|| name.to_owned())?;
            }
            for label in &references.labels {
                watched.has_label(label).with_context(|| name.to_owned())?;
            }
        }
        // A service has its state on the disk of this host, about which an alert may well be right.
        let disk = rustix::fs::statvfs(std::env::temp_dir())?;
        let room = disk.f_bavail * 5 > disk.f_blocks;
        let about_disk = |rule: &Value| {
            let query = rule["query"].as_str().unwrap_or_default();
            query.contains("state_disk_size_bytes")
        };
        wait_until("silence", SOON, || {
            for rule in watched
                .prometheus
                .rules()?
                .iter()
                .flat_map(|group| group["rules"].as_array())
                .flatten()
            {
                ensure!(rule["health"] == "ok", "{rule}");
                ensure!(
                    rule["state"] == "inactive" || (about_disk(rule) && !room),
                    "{} is {}",
                    rule["name"],
                    rule["state"]
                );
            }
            Ok(())
        })
    })
}

#[test]
fn every_panel_draws_what_its_service_tells() -> Result<()> {
    for_each_service(|watched| {
        let dashboard = watched.dashboard()?;
        let variables = dashboard.variables(watched)?;
        for Target {
            panel,
            expression,
            legend,
        } in dashboard.targets()?
        {
            let draw = || {
                let expression = resolve(&expression, &variables)?;
                let labels = legend
                    .split("{{")
                    .skip(1)
                    .filter_map(|rest| rest.split("}}").next());
                let labels: Vec<&str> = labels.map(str::trim).collect();
                for series in watched.draws(&expression)? {
                    for label in &labels {
                        ensure!(
                            series[label].is_string(),
                            "{{{{{label}}}}} is in no label of {series}"
                        );
                    }
                }
                references(&expression)?
                    .labels
                    .iter()
                    .try_for_each(|label| watched.has_label(label))
            };
            draw().with_context(|| format!("panel {panel:?}"))?;
        }
        Ok(())
    })
}

#[test]
fn every_dashboard_can_be_imported() -> Result<()> {
    let mut uids = BTreeSet::new();
    for (name, folder) in monitored()? {
        for file in DASHBOARDS.map(|file| folder.join(file)) {
            if !file.exists() {
                continue;
            }
            let dashboard = Dashboard::read(&file)?;
            importable(&dashboard).with_context(|| file.display().to_string())?;
            ensure!(
                uids.insert(dashboard.text("/uid")?.to_owned()),
                "{name}: its uid is another's"
            );
        }
    }
    Ok(())
}

/// Grafana accepts nearly any file, and then shows nothing, or panels that cover each other.
fn importable(dashboard: &Dashboard) -> Result<()> {
    dashboard.text("/title")?;
    ensure!(
        dashboard.text("/templating/list/0/type")? == "datasource",
        "its data source can't be chosen"
    );
    let source = format!("${{{}}}", dashboard.text("/templating/list/0/name")?);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard.panels()? {
        let title = panel["title"].as_str().filter(|title| !title.is_empty());
        let title = title.with_context(|| format!("a panel has no title: {panel}"))?;
        ensure!(
            ids.insert(panel["id"].as_u64()),
            "{title}: its id is another's"
        );
        let place = |name: &str| {
            panel["gridPos"][name]
                .as_u64()
                .with_context(|| format!("{title}: no {name}"))
        };
        let (x, y, w, h) = (place("x")?, place("y")?, place("w")?, place("h")?);
        ensure!(w > 0 && h > 0 && x + w <= 24, "{title}: beyond the edge");
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        for cell in cells {
            ensure!(taken.insert(cell), "{title}: covers another at {cell:?}");
        }
        let kind = panel["type"].as_str().unwrap_or_default();
        if kind == "row" || kind == "text" {
            continue;
        }
        ensure!(
            panel["datasource"]["uid"] == source.as_str(),
            "{title}: its data source is not {source}"
        );
        let numbers = kind != "table";
        ensure!(
            !numbers || panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}: numbers without a unit"
        );
        ensure!(
            panel["targets"]
                .as_array()
                .is_some_and(|all| !all.is_empty()),
            "{title}: draws nothing"
        );
    }
    Ok(())
}

/// Groups of rules as Prometheus understood them, in the form of a file of rules.
fn groups(prometheus: &Prometheus) -> Result<Vec<Value>> {
    let rule = |rule: &Value| {
        json!({
            "alert": rule["name"],
            "expr": rule["query"],
            "for": format!("{}s", rule["duration"]),
            "labels": rule["labels"],
            "annotations": rule["annotations"],
        })
    };
    let group = |group: &Value| {
        let rules = group["rules"].as_array();
        let rules: Vec<Value> = rules.into_iter().flatten().map(rule).collect();
        json!({ "name": group["name"], "rules": rules })
    };
    let groups: Vec<Value> = prometheus.rules()?.iter().map(group).collect();
    ensure!(!alerts(&groups).is_empty(), "there are no alerts");
    Ok(groups)
}

fn alerts(groups: &[Value]) -> BTreeSet<String> {
    let rules = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten();
    rules
        .filter_map(|rule| rule["alert"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Runs promtool's tests of these rules.
fn passes(groups: &[Value], tests: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    // JSON is valid YAML.
    write("alerts.yml", &json!({ "groups": groups }).to_string())?;
    write("alerts_test.yml", tests)?;
    let path = |name: &str| Path::new(folder.path()).join(name).display().to_string();
    promtool(&["test", "rules", &path("alerts_test.yml")])
}
