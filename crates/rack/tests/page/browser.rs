//! Chromium without a screen, moved by hand: its mouse, its fingers and its keys, over the pipe of its devtools protocol.
//!
//! `CHECK_TOOLS` names a Debian root that has it, and `SERVERS` a folder whose root has the sandbox that it runs in; without the first,
//! it is this machine's.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a page may take for what it has to do, on a loaded host.
const PATIENCE: Duration = Duration::from_secs(90);

/// A point of the window, in CSS pixels.
pub type Point = (f64, f64);

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    next: AtomicU64,
    session: String,
    pictures: PathBuf,
    _profile: TempDir,
}

/// What the browser has said.
#[derive(Default)]
struct Heard {
    awaited: HashMap<u64, Sender<Value>>,
    complaints: Vec<String>,
}

/// The window.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Whether they prefer dark colours.
    pub dark: bool,
    /// Whether it is touched.
    pub touch: bool,
}

/// A desktop by day.
pub const DESKTOP: Window = Window {
    width: 1280,
    height: 900,
    dark: false,
    touch: false,
};

/// A phone by day.
pub const PHONE: Window = Window {
    width: 390,
    height: 844,
    dark: false,
    touch: true,
};

impl Browser {
    /// Starts one.
    pub fn start(window: Window) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = command(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts\nhint: CHECK_TOOLS and SERVERS name folders that have it; ./lichen test sets them");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let hears = heard.clone();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|length| length > 0)
            {
                message.pop();
                if let Ok(told) = serde_json::from_slice(&message) {
                    hears.lock().unwrap().take(&told);
                }
                message.clear();
            }
            // Nobody waits for a browser that has ended.
            hears.lock().unwrap().awaited.clear();
        });
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&pictures).unwrap();
        let mut browser = Browser {
            input: Mutex::new(child.stdin.take().unwrap()),
            child,
            heard,
            next: AtomicU64::new(1),
            session: String::new(),
            pictures,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.window(window);
        browser
    }

    /// One command of the protocol, and its answer.
    pub fn call(&self, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = channel();
        self.heard.lock().unwrap().awaited.insert(id, tell);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut input = self.input.lock().unwrap();
        input.write_all(&bytes).unwrap();
        input.flush().unwrap();
        drop(input);
        let answer = told
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// Changes the window.
    pub fn window(&self, window: Window) {
        let Window {
            width,
            height,
            dark,
            touch,
        } = window;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let touched = json!({ "enabled": touch, "maxTouchPoints": 1 });
        self.call("Emulation.setTouchEmulationEnabled", touched);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression in the page; a promise is waited for.
    pub fn value(&self, expression: &str) -> Value {
        let wanted =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", wanted);
        let wrong = &answer["exceptionDetails"];
        assert!(wrong.is_null(), "{expression}: {wrong}");
        answer["result"]["value"].clone()
    }

    /// The text of an element.
    pub fn text(&self, selector: &str) -> String {
        let value = self.value(&format!(
            "document.querySelector({selector:?})?.textContent ?? ''"
        ));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true in the page.
    pub fn until(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({condition})")) != true {
            if Instant::now() > deadline {
                let story = testbed::story_name();
                let picture = self.picture(&format!("{story}-in-vain"));
                let notes = self.text("#notes");
                let said = self.text("#said");
                panic!(
                    "waited in vain until {condition}\nnotes: {notes}\nsaid: {said}\ncomplaints: {:?}\npicture: {}",
                    self.complaints(),
                    picture.display()
                );
            }
            // Waits for the page rather than for time: whatever changes is drawn in a frame.
            self.value("new Promise((done) => requestAnimationFrame(() => done(0)))");
        }
    }

    /// Waits until the text of an element has these words.
    pub fn until_text(&self, selector: &str, words: &str) {
        self.until(&format!(
            "[...document.querySelectorAll({selector:?})].some((node) => node.textContent.includes({words:?}))"
        ));
    }

    /// What the page's scripts complained of, but for answers that are no success: those are what stories are about.
    pub fn complaints(&self) -> Vec<String> {
        self.heard.lock().unwrap().complaints.clone()
    }

    /// The middle of an element, which is scrolled to.
    pub fn middle(&self, selector: &str) -> Point {
        self.until(&format!("document.querySelector({selector:?})"));
        // What comes into sight only now may turn out to be larger than was thought, and shift everything.
        let corner = format!(
            "(async () => {{ let last; for (;;) {{ const node = document.querySelector({selector:?}); \
             if (!last) node.scrollIntoView({{ block: 'center', inline: 'nearest' }}); \
             await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); \
             const box = node.getBoundingClientRect(); const point = [box.x + box.width / 2, box.y + box.height / 2]; \
             if (String(point) === String(last)) return point; last = point; }} }})()"
        );
        let point = self.value(&corner);
        (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())
    }

    fn mouse(&self, kind: &str, (x, y): Point, pressed: bool) {
        let buttons = u8::from(pressed);
        let event = json!({ "type": kind, "x": x, "y": y, "button": if kind == "mouseMoved" { "none" } else { "left" }, "buttons": buttons, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Clicks on the middle of an element.
    pub fn click(&self, selector: &str) {
        let point = self.middle(selector);
        self.mouse("mouseMoved", point, false);
        self.mouse("mousePressed", point, true);
        self.mouse("mouseReleased", point, false);
    }

    /// Presses the mouse at one point and moves it to another.
    pub fn carry(&self, from: Point, to: Point) {
        self.mouse("mouseMoved", from, false);
        self.mouse("mousePressed", from, true);
        self.go(from, to);
    }

    /// Moves the pressed mouse on.
    pub fn go(&self, from: Point, to: Point) {
        for step in 1..=5 {
            let part = f64::from(step) / 5.0;
            let between = |one: f64, other: f64| one + (other - one) * part;
            self.mouse(
                "mouseMoved",
                (between(from.0, to.0), between(from.1, to.1)),
                true,
            );
        }
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))");
    }

    /// Releases the mouse.
    pub fn drop_at(&self, at: Point) {
        self.mouse("mouseReleased", at, false);
    }

    /// A finger: `touchStart`, `touchMove` or `touchEnd`.
    pub fn finger(&self, kind: &str, at: Option<Point>) {
        let points: Vec<Value> = at
            .iter()
            .map(|(x, y)| json!({ "x": x, "y": y, "id": 1 }))
            .collect();
        self.call(
            "Input.dispatchTouchEvent",
            json!({ "type": kind, "touchPoints": points }),
        );
    }

    /// Presses a key, such as `ArrowUp`, `Enter`, `z`; with Ctrl if it is written `Ctrl+z`.
    pub fn key(&self, key: &str) {
        let (modifiers, key) = match key.strip_prefix("Ctrl+") {
            Some(key) => (2, key),
            None => (0, key),
        };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "Tab" => 9,
            other => other.to_ascii_uppercase().as_bytes()[0].into(),
        };
        let printed = match key {
            "Enter" => Some("\r"),
            key if key.chars().count() == 1 && modifiers == 0 => Some(key),
            _ => None,
        };
        let mut event = json!({ "type": if printed.is_some() { "keyDown" } else { "rawKeyDown" }, "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code });
        if let Some(text) = printed {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event);
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyUp", "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code }),
        );
    }

    /// Clicks on a field, and types in place of what it has.
    pub fn fill(&self, selector: &str, text: &str) {
        self.click(selector);
        self.value(&format!("document.querySelector({selector:?}).select()"));
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Whether there is a network.
    pub fn network(&self, is_there: bool) {
        let conditions = json!({ "offline": !is_there, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", conditions);
    }

    /// Keeps a picture of the window, a PNG, for whoever wants to look.
    pub fn picture(&self, name: &str) -> PathBuf {
        let taken = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        self.keep(&format!("{name}.png"), &taken["data"])
    }

    /// Prints the page on A4, and returns how many pages that takes.
    pub fn print(&self, name: &str) -> usize {
        let size = json!({ "paperWidth": 8.27, "paperHeight": 11.69, "printBackground": true, "preferCSSPageSize": true });
        let printed = self.call("Page.printToPDF", size);
        let file = self.keep(&format!("{name}.pdf"), &printed["data"]);
        let bytes = std::fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.matches("/Type /Page\n").count() + text.matches("/Type /Page ").count()
    }

    fn keep(&self, name: &str, data: &Value) -> PathBuf {
        let file = self.pictures.join(name);
        let bytes = BASE64_STANDARD.decode(data.as_str().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        file
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn take(&mut self, told: &Value) {
        if let Some(waits) = told["id"].as_u64().and_then(|id| self.awaited.remove(&id)) {
            let _ = waits.send(told.clone());
            return;
        }
        let what = &told["params"];
        match told["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(what["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if what["type"] == "error" => {
                self.complaints.push(what["args"].to_string());
            }
            // An answer such as 409 is an error to the browser, but none of the page.
            Some("Log.entryAdded")
                if what["entry"]["level"] == "error" && what["entry"]["source"] != "network" =>
            {
                self.complaints.push(what["entry"]["text"].to_string());
            }
            _ => {}
        }
    }
}

/// Chromium, whose pipe is its input and output.
fn command(profile: &Path) -> Command {
    // Its pipe is what a shell has made of those two: nothing else gives a program numbered ones.
    const PIPED: [&str; 2] = ["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2"];
    let mut command;
    let (program, folder) = match std::env::var_os("CHECK_TOOLS") {
        None => {
            command = Command::new("bash");
            ("chromium", profile.to_owned())
        }
        Some(root) => {
            let sandbox =
                std::env::var_os("SERVERS").expect("SERVERS names a folder with the sandbox");
            let sandbox = Path::new(&sandbox).join("root").canonicalize().unwrap();
            command = emulator::Tools::new(sandbox).command("bwrap");
            for folder in ["usr", "etc"] {
                command
                    .arg("--ro-bind")
                    .arg(Path::new(&root).join(folder))
                    .arg(format!("/{folder}"));
            }
            for link in ["lib", "lib64", "bin"] {
                command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
            }
            command
                .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"])
                .args(["--unshare-user", "--unshare-pid", "--die-with-parent"])
                .args(["--setenv", "HOME", "/tmp", "/usr/bin/bash"]);
            ("/usr/lib/chromium/chromium", "/tmp/profile".into())
        }
    };
    command.args(PIPED).args(["bash", program]);
    command
        .arg(format!("--user-data-dir={}", folder.display()))
        // Its own sandbox does not work inside others.
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .args(["--disable-quic", "--remote-debugging-pipe"]);
    command
}
