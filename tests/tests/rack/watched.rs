//! What the Prometheus of the device finds of what its rules and the dashboards look for.

use serde_json::Value;
use testbed::{Selector, references};
use tests::*;

/// What an emulated machine lacks.
const ON_BOARDS: &str = "soc_";

/// Waits until every series that a rule of the planner or a panel looks for is there, every panel has something to draw, and no rule has
/// an error or fires.
pub fn all_is_found(machine: &Machine) -> Result<()> {
    let panels = panels(machine)?;
    let rules = rules(machine)?;
    ensure!(
        panels.len() > 30 && rules.len() > 30,
        "{panels:?} {rules:?}"
    );
    let own = rules
        .iter()
        .filter(|rule| text(rule, "name").starts_with("Rack"));
    let expressions: Vec<&str> = own
        .map(|rule| text(rule, "query"))
        .chain(panels.iter().map(String::as_str))
        .collect();
    let mut wanted = Vec::new();
    for expression in &expressions {
        wanted.extend(references(expression)?.selectors);
    }
    wanted.retain(|selector| !selector.metric.starts_with(ON_BOARDS));

    machine.wait_until("every series", BOOT, || {
        let known = ask(machine, "series", Some(("match[]", "{__name__=~\".+\"}")))?;
        let known = known.as_array().context("no series")?;
        for selector in &wanted {
            ensure!(
                known.iter().any(|series| is_meant(selector, series)),
                "nothing is {selector:?}"
            );
        }
        Ok(())
    })?;
    // Rates need a second look at everything.
    machine.wait_until("panels that draw", BOOT, || {
        for panel in panels.iter().filter(|panel| !panel.contains(ON_BOARDS)) {
            let drawn = ask(machine, "query", Some(("query", panel)))?;
            let series = drawn["result"].as_array().context("no result")?;
            ensure!(!series.is_empty(), "nothing is {panel}");
        }
        Ok(())
    })?;
    for rule in self::rules(machine)? {
        ensure!(
            rule["health"] == "ok" && rule["state"] != "firing",
            "{rule}"
        );
        let severity = rule["labels"]["severity"].as_str();
        ensure!(matches!(severity, Some("critical" | "warning")), "{rule}");
        for text in ["summary", "description"] {
            ensure!(rule["annotations"][text].is_string(), "{rule}");
        }
    }
    Ok(())
}

/// Whether a series has this name, is of this job, and has labels of these names.
fn is_meant(selector: &Selector, series: &Value) -> bool {
    series["__name__"] == selector.metric.as_str()
        && selector.matchers.iter().all(|(label, operator, value)| {
            match (label.as_str(), operator.as_str()) {
                ("job", "=") => series["job"] == value.as_str(),
                ("job", "=~") => value.split('|').any(|job| series["job"] == job),
                _ => series[label].is_string(),
            }
        })
}

/// What the panels of both dashboards draw, with every device chosen.
fn panels(machine: &Machine) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for file in ["dashboard", "infrastructure"] {
        let dashboard = machine.sh(&format!("cat /etc/rack/dashboards/{file}.json"))?;
        let dashboard: Value = serde_json::from_str(&dashboard)?;
        let panels = dashboard["panels"].as_array().context("no panels")?;
        let targets = panels
            .iter()
            .filter_map(|panel| panel["targets"].as_array());
        all.extend(targets.flatten().map(|target| {
            text(target, "expr")
                .replace("$instance", ".+")
                .replace("$__rate_interval", "2m")
        }));
    }
    Ok(all)
}

fn rules(machine: &Machine) -> Result<Vec<Value>> {
    let groups = ask(machine, "rules?type=alert", None)?;
    let groups = groups["groups"].as_array().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    Ok(rules.flatten().cloned().collect())
}

/// The data of an answer of Prometheus.
fn ask(machine: &Machine, what: &str, parameter: Option<(&str, &str)>) -> Result<Value> {
    let mut options = String::new();
    if let Some((name, value)) = parameter {
        machine.write_file("/run/parameter", value.as_bytes())?;
        options = format!("-G --data-urlencode '{name}@/run/parameter'");
    }
    let url = format!("http://127.0.0.1:9090/api/v1/{what}");
    let answer = machine.sh(&format!("curl -fsS -m 60 {options} '{url}'"))?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer["status"] == "success", "{answer}");
    Ok(answer["data"].clone())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
