//! A real Prometheus on the host, to see what it makes of an appliance's metrics.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulator::free_port;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Leashed};
use crate::{Tools, Web, wait_until};

const START: Duration = Duration::from_secs(60);
/// Longer than any story needs it.
const LONGEST: Duration = Duration::from_secs(3600);

/// A Prometheus with nothing in its memory yet.
#[derive(Debug)]
pub struct Prometheus {
    web: Web,
    folder: TempDir,
    server: Leashed,
}

/// Runs `promtool`, which has to succeed.
pub fn promtool(arguments: &[&str]) -> Result<()> {
    process::run(Tools::checks()?.command("promtool").args(arguments))
}

impl Prometheus {
    /// Starts one that scrapes `job` on this host's ports four times a second, and evaluates these files of rules as
    /// often.
    pub fn start(job: &str, ports: &[u16], rules: &[PathBuf]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lichen-").tempdir()?;
        let targets: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let config = json!({
            "global": { "scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms" },
            "rule_files": rules,
            "scrape_configs": [{ "job_name": job, "static_configs": [{ "targets": targets }] }],
        });
        // JSON is valid YAML.
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config.to_string())?;
        let port = free_port()?;
        let mut command = Tools::checks()?.command("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Leashed::start(&command, &folder.path().join("log"), LONGEST)?;
        let prometheus = Self {
            web: Web::new(port),
            folder,
            server,
        };
        wait_until("Prometheus", START, || {
            if let Some(status) = prometheus.server.ended()? {
                return Ok(Err(anyhow::anyhow!(
                    "Prometheus: {status}: {}",
                    prometheus.log()
                )));
            }
            prometheus.web.get("/-/ready")?.success()?;
            Ok(Ok(()))
        })??;
        Ok(prometheus)
    }

    /// The series that `expression` gives now: their labels, with the name as `__name__`.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self.api("query", &[("query", expression)])?;
        let result = data["result"].as_array();
        let result = result.with_context(|| format!("{expression} gives no series but {data}"))?;
        Ok(result
            .iter()
            .map(|series| series["metric"].clone())
            .collect())
    }

    /// The values of a label among the series that `selector` asks for.
    pub fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>> {
        let data = self.api(&format!("label/{label}/values"), &[("match[]", selector)])?;
        serde_json::from_value(data).context("the values of a label are not strings")
    }

    /// Its groups of rules as it read them, with their present state.
    pub fn rules(&self) -> Result<Vec<Value>> {
        let data = self.api("rules", &[])?;
        serde_json::from_value(data["groups"].clone()).context("groups of rules")
    }

    fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let answer = self
            .web
            .ask(&format!("/api/v1/{path}"), parameters)?
            .json()?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer["data"].clone())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
