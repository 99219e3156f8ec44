//! Chromium without a screen, driven through its debugging pipe: pages are opened in any size, colour and language, and
//! pointed at, tapped and steered with keys as their users do.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emulator::Tools;
use serde_json::{Value, json};

/// Starting it takes seconds of its own on a loaded host.
const PATIENCE: Duration = Duration::from_secs(120);
/// Roots of Debian that have Chromium, and bubblewrap; `./lichen test` names them.
const ROOTS: [&str; 2] = ["CHECK_TOOLS", "SERVERS"];

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Whether the viewer prefers dark colours.
    pub dark: bool,
    /// The viewer's language, such as en-AU.
    pub language: &'static str,
}

/// A browser with one page; it ends when this is dropped.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = piped(&chromium(profile.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let said = BufReader::new(child.stdout.take().unwrap());
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            for message in said.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    return;
                };
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            orders: child.stdin.take().unwrap(),
            child,
            answers,
            session: None,
            sent: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.order("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens an address, and waits until this expression is true there.
    pub fn open(&mut self, address: &str, view: View, ready: &str) {
        let View {
            width,
            height,
            dark,
            language,
        } = view;
        let theme = if dark { "dark" } else { "light" };
        for (method, parameters) in [
            (
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 }),
            ),
            (
                "Emulation.setTouchEmulationEnabled",
                json!({ "enabled": width < 500 }),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] }),
            ),
            (
                "Emulation.setUserAgentOverride",
                json!({ "userAgent": "test", "acceptLanguage": language }),
            ),
            ("Page.navigate", json!({ "url": address })),
        ] {
            self.order(method, parameters);
        }
        self.wait_until(ready);
    }

    /// Waits until an expression of the page is true.
    pub fn wait_until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")) != true {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {expression} in {}",
                self.value("document.body.innerText")
            );
            // The page's own clock ends this pause: nothing is gained by asking more often than it draws.
            self.value("new Promise((over) => requestAnimationFrame(() => over(true)))");
        }
    }

    /// The value of an expression, or of the promise that it is.
    pub fn value(&mut self, expression: &str) -> Value {
        let evaluate =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.order("Runtime.evaluate", evaluate);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]["exception"]["description"]
        );
        answer["result"]["value"].clone()
    }

    /// The value of an expression that is a text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        let text = value.as_str();
        // What Chromium puts between a time and its "AM" is a narrow space that does not break.
        text.unwrap_or_else(|| panic!("{expression} is {value}"))
            .replace(['\u{202f}', '\u{a0}'], " ")
    }

    /// Moves the mouse to a place of the page.
    pub fn hover(&mut self, (x, y): (f64, f64)) {
        let event = json!({ "type": "mouseMoved", "x": x, "y": y });
        self.order("Input.dispatchMouseEvent", event);
    }

    /// Taps a place of the page with a finger.
    pub fn tap(&mut self, (x, y): (f64, f64)) {
        for (kind, points) in [
            ("touchStart", json!([{ "x": x, "y": y }])),
            ("touchEnd", json!([])),
        ] {
            let event = json!({ "type": kind, "touchPoints": points });
            self.order("Input.dispatchTouchEvent", event);
        }
    }

    /// Presses a key, such as ArrowLeft.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key });
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    /// The names of the elements of this role, as a screen reader is told them.
    pub fn names(&mut self, role: &str) -> Vec<String> {
        let tree = self.order("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes");
        let of_role = nodes.iter().filter(|node| node["role"]["value"] == role);
        let mut names: Vec<String> = of_role
            .map(|node| {
                node["name"]["value"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// Keeps a picture of the page below the target folder, for those who want to see it.
    pub fn picture(&mut self, name: &str) -> PathBuf {
        let answer = self.order("Page.captureScreenshot", json!({ "format": "png" }));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("energy-{name}.png"));
        let data = answer["data"].as_str().expect("a picture");
        std::fs::write(&path, STANDARD.decode(data).expect("base64")).unwrap();
        path
    }

    /// What scripts and the page's security policy complained of since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        self.value("true"); // what came before it has arrived by then
        std::mem::take(&mut self.complaints)
    }

    fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut order = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        self.orders
            .write_all(format!("{order}\0").as_bytes())
            .expect("Chromium runs");
        loop {
            let message = self.answers.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|_| panic!("no answer to {order}"));
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{order}: {}", message["error"]);
                return message["result"].clone();
            }
            let parameters = &message["params"];
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(parameters.to_string()),
                Some("Log.entryAdded") => self.complaints.push(parameters["entry"].to_string()),
                Some("Runtime.consoleAPICalled") => self.complaints.push(parameters.to_string()),
                _ => {}
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The browser's command: Debian's of the test tools, else this machine's.
fn chromium(profile: &Path) -> Command {
    let [chromium, bubblewrap] = ROOTS.map(|root| std::env::var_os(root).map(PathBuf::from));
    let mut command = match chromium.zip(bubblewrap) {
        Some((root, bubblewrap)) => {
            // It starts copies of itself by its own path, so its root has to be the root.
            let mut command = Tools::new(bubblewrap).command("bwrap");
            for folder in ["usr", "etc"] {
                command.arg("--ro-bind").arg(root.join(folder));
                command.arg(format!("/{folder}"));
            }
            for link in ["lib", "lib64", "bin"] {
                command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
            }
            command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
            command.args(["--unshare-user", "--unshare-pid", "--die-with-parent"]);
            command.arg("--bind").args([profile, profile]);
            command.args(["--setenv", "HOME", "/tmp", "/usr/lib/chromium/chromium"]);
            command
        }
        None => {
            let has = |folder: &Path| folder.join("chromium").exists();
            let path = std::env::var_os("PATH").unwrap_or_default();
            assert!(
                std::env::split_paths(&path).any(|folder| has(&folder)),
                "there is no chromium\nhint: ./lichen test --quick brings one, or install your distribution's"
            );
            Command::new("chromium")
        }
    };
    command
        // Chromium's own sandbox does not work inside of another one.
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        // It makes no connections but those of the page.
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--remote-debugging-pipe", "about:blank"]);
    command
}

/// The same command with standard input and output where Chromium has its debugging pipe: 3 and 4.
fn piped(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    shell
}
