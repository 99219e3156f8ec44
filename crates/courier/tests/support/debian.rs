//! The Prometheus of Debian that alert rules are checked with, as `image/debian/lock.json` locks it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use emulator::Tools;
use kit::testing::{call, eventually, finished, nobody, try_call};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// A root that has been built already; without it, Nix is asked.
const ROOT: &str = "CHECK_TOOLS";

/// A Prometheus that others write to, and that scrapes one target itself; it is killed when this is dropped.
pub struct Debian {
    address: SocketAddr,
    folder: PathBuf,
    running: Option<Child>,
}

impl Debian {
    /// Starts one in `folder`. It takes samples that are out of order by so much, such as `1h`; `0s` is what it does by itself.
    pub fn start(folder: &Path, out_of_order: &str, target: SocketAddr) -> Self {
        let config = json!({
            "global": { "scrape_interval": "100ms", "scrape_timeout": "100ms" },
            "storage": { "tsdb": { "out_of_order_time_window": out_of_order } },
            "scrape_configs": [{
                "job_name": "both",
                "static_configs": [{ "targets": [target.to_string()], "labels": { "instance": "itself" } }],
            }],
        });
        fs::create_dir(folder).unwrap();
        // JSON is valid YAML.
        fs::write(folder.join("config.yml"), config.to_string()).unwrap();
        let mut prometheus = Debian {
            address: nobody(),
            folder: folder.into(),
            running: None,
        };
        prometheus.up();
        prometheus
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Starts it, with all that it had before.
    pub fn up(&mut self) {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let child = tools()
            .command("prometheus")
            .arg(format!(
                "--config.file={}",
                self.folder.join("config.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                self.folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={}", self.address))
            .arg("--web.enable-remote-write-receiver")
            .stderr(log)
            .spawn();
        self.running = Some(child.expect("it starts"));
        eventually("Prometheus is ready", || {
            let answer = try_call(self.address, "GET", "/-/ready", &[], "").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Lets it end in order, as its service does when it is restarted.
    pub fn down(&mut self) {
        let mut child = self.running.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The series that an expression gives now: their labels, and their values with their times in seconds.
    pub fn query(&self, expression: &str) -> Vec<(Value, Vec<(f64, f64)>)> {
        let body = format!("query={expression}");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = call(self.address, "POST", "/api/v1/query", &form, &body).json();
        let series = answer["data"]["result"].as_array();
        let series = series.unwrap_or_else(|| panic!("{expression}: {answer}"));
        let told = series.iter().map(|series| {
            let one = [series["value"].clone()];
            let values = series["values"].as_array().map_or(&one[..], Vec::as_slice);
            let values = values.iter().map(|pair| {
                let value = pair[1].as_str().unwrap().parse().unwrap();
                (pair[0].as_f64().unwrap(), value)
            });
            (series["metric"].clone(), values.collect())
        });
        told.collect()
    }

    /// All values of the only series of this name, sorted by time.
    pub fn values(&self, selector: &str) -> Vec<f64> {
        let series = self.query(&format!("{selector}[1h]"));
        assert!(series.len() <= 1, "{series:?}");
        let values = series.into_iter().flat_map(|(_, values)| values);
        values.map(|(_, value)| value).collect()
    }

    /// One of its own counters, whatever its labels; Prometheus tells some of them only when they have counted something.
    pub fn own(&self, metric: &str) -> f64 {
        let text = call(self.address, "GET", "/metrics", &[], "").text;
        let of_metric = text.lines().filter(|line| line.starts_with(metric));
        let values = of_metric.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Builds the root once, if it is not there yet.
fn tools() -> &'static Tools {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    TOOLS.get_or_init(|| {
        if let Some(root) = std::env::var_os(ROOT) {
            return Tools::new(root.into());
        }
        let mut nix = Command::new("nix");
        nix.args(["--extra-experimental-features", "nix-command flakes"])
            .args(["build", "--no-link", "--json", "--no-write-lock-file"])
            .arg(format!("git+file://{CHECKOUT}#check-tools"))
            .stdin(Stdio::null());
        let (status, stdout, stderr) = finished(&mut nix);
        assert_eq!(
            status,
            Some(0),
            "Debian's Prometheus cannot be built\nhint: {ROOT}=DIRECTORY names a root that has it\n{stderr}"
        );
        // `--print-out-paths` is newer than Debian 12's Nix.
        let built: Value = serde_json::from_str(&stdout).expect("Nix tells JSON");
        let root = built[0]["outputs"]["out"].as_str().expect("an output");
        Tools::new(root.into())
    })
}
