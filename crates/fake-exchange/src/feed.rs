//! A WebSocket server that speaks as exchanges do, with the faults of a real network, and counts what it sent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The exchange whose messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Coinbase Exchange's `match`.
    Coinbase,
    /// Binance's `trade` in a combined stream.
    Binance,
    /// Kraken's `trade`, version 2.
    Kraken,
    /// An object of our own: `{"kind", "pair", "n", "at", "quote": {"price", "size"}}`.
    Json,
}

/// What goes wrong. Each number says after how many messages; 0 means never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mischief {
    /// A number is left out.
    pub gap: u64,
    /// A message is sent twice.
    pub duplicate: u64,
    /// Garbage is sent.
    pub garbage: u64,
    /// The connection is cut in the middle of a message.
    pub disconnect: u64,
    /// The connection stays open, and nothing more is sent on it.
    pub silence: u64,
    /// After connecting, this many of the last messages are sent again.
    pub replay: u64,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Session {
    /// The exchange whose messages are sent.
    pub format: Format,
    /// The symbols, which are sent in turn.
    pub symbols: Vec<String>,
    /// Messages per second, of all symbols together; 0 means as fast as the client reads them.
    pub rate: f64,
    /// How many messages there are; 0 means no end.
    pub limit: u64,
    /// What goes wrong.
    pub mischief: Mischief,
    /// Every subscription is refused in this exchange's words, and then come nothing but heartbeats (Kraken's).
    pub refuses: bool,
    /// The numbers begin anew with each connection.
    pub counts_anew: bool,
}

impl Session {
    /// A well-behaved one.
    pub fn of(format: Format, symbols: &[&str]) -> Self {
        Session {
            format,
            symbols: symbols.iter().map(ToString::to_string).collect(),
            rate: 1000.0,
            limit: 0,
            mischief: Mischief::default(),
            refuses: false,
            counts_anew: false,
        }
    }
}

/// What was sent so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages, each number once.
    pub messages: u64,
    /// The next number of each symbol.
    pub next: BTreeMap<String, i64>,
    /// Numbers left out.
    pub skipped: u64,
    /// Messages sent again.
    pub duplicates: u64,
    /// Garbage sent in place of messages.
    pub garbage: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections cut.
    pub cuts: u64,
    /// Connections that fell silent.
    pub silences: u64,
    /// The last subscription that a client asked for.
    pub wish: Option<String>,
}

/// The running server.
pub struct Feed {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    session: Session,
    sent: Sent,
    paused: bool,
}

/// The price in the message with this number.
pub fn price(number: i64) -> f64 {
    (10_000 + number % 1000) as f64 / 100.0
}

/// The size in the message with this number.
pub fn size(number: i64) -> f64 {
    (number % 97 + 1) as f64 / 1000.0
}

/// The first number.
const FIRST: i64 = 1_000_001;
/// As Kraken refuses a symbol that it does not know.
const REFUSAL: &str = r#"{"error":"Currency pair not supported BTC-USD","method":"subscribe","req_id":0,"success":false,"symbol":"BTC-USD","time_in":"2026-11-25T03:00:00.000000Z","time_out":"2026-11-25T03:00:00.000001Z"}"#;
const HEARTBEAT: &str = r#"{"channel":"heartbeat"}"#;
/// Messages are written in bundles, this often.
const BUNDLE: Duration = Duration::from_millis(10);

impl Feed {
    /// Starts one on a free port.
    pub fn start(session: Session) -> anyhow::Result<Self> {
        Feed::on(0, session)
    }

    /// Starts one on `port`, of all addresses of this machine.
    pub fn on(port: u16, session: Session) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        let address = (Ipv4Addr::LOCALHOST, listener.local_addr()?.port()).into();
        let next = session.symbols.iter().map(|s| (s.clone(), FIRST)).collect();
        let sent = Sent {
            next,
            ..Sent::default()
        };
        let state = Arc::new(Mutex::new(State {
            session,
            sent,
            paused: false,
        }));
        let (stop, stopped) = watch::channel(false);
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, shared, stopped));
        });
        Ok(Feed {
            address,
            state,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it is, on this machine.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a source on this machine.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        self.state().sent.clone()
    }

    /// Sends nothing any more; connections stay.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    /// Changes what is sent.
    pub fn change(&self, change: impl FnOnce(&mut Session)) {
        change(&mut self.state().session);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: TcpListener,
    state: Arc<Mutex<State>>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (state, mut stopped) = (state.clone(), stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                // A peer may close its connection at any time: that is not an error.
                _ = serve(stream, state) => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

/// What comes after the handshake is written by hand: a server's frames are a header and the text.
fn frame(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match text.len() {
        length @ ..126 => out.push(length as u8),
        length => {
            out.push(126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let format = state.lock().expect("no panic while held").session.format;
    if matches!(format, Format::Coinbase | Format::Kraken)
        && let Some(Ok(wish)) = socket.next().await
    {
        state.lock().expect("no panic while held").sent.wish = Some(wish.to_string());
    }
    let (mut reader, mut writer) = socket.into_inner().into_split();
    let listen = async move {
        let mut ignored = [0; 4096];
        while let Ok(1..) = reader.read(&mut ignored).await {}
    };
    tokio::select! {
        () = listen => Ok(()),
        outcome = speak(&mut writer, &state) => outcome,
    }
}

enum Next {
    Bundle,
    Cut,
    Silence,
}

async fn speak(
    writer: &mut tokio::net::tcp::OwnedWriteHalf,
    state: &Mutex<State>,
) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(64 << 10);
    {
        let state = &mut *state.lock().expect("no panic while held");
        state.sent.connections += 1;
        if state.session.counts_anew {
            state.sent.next.values_mut().for_each(|next| *next = FIRST);
        }
        if state.session.refuses {
            frame(&mut bytes, REFUSAL);
        }
        replay(state, &mut bytes);
    }
    let mut ticks = tokio::time::interval(BUNDLE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut owed = 0.0;
    loop {
        let next = {
            let state = &mut *state.lock().expect("no panic while held");
            owed += match state.session.rate {
                // All of them are made before the first is sent, so that the receiver never waits for one to be made.
                0.0 if state.session.limit > 0 => state.session.limit as f64,
                0.0 => 256.0,
                rate => rate * BUNDLE.as_secs_f64(),
            };
            let count = if state.paused || state.session.refuses {
                0
            } else {
                owed as u64
            };
            if state.session.refuses {
                frame(&mut bytes, HEARTBEAT);
            }
            owed -= owed.floor();
            bundle(state, count, &mut bytes)
        };
        writer.write_all(&bytes).await?;
        bytes.clear();
        match next {
            Next::Bundle => {}
            Next::Cut => return Ok(()),
            Next::Silence => std::future::pending().await,
        }
        let rate = state.lock().expect("no panic while held").session.rate;
        if rate > 0.0 {
            ticks.tick().await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

fn replay(state: &mut State, bytes: &mut Vec<u8>) {
    let State { session, sent, .. } = state;
    for (symbol, next) in &sent.next {
        let from = (next - session.mischief.replay as i64).max(FIRST);
        for number in from..*next {
            frame(bytes, &text(session.format, symbol, number));
            sent.duplicates += 1;
        }
    }
}

fn bundle(state: &mut State, count: u64, bytes: &mut Vec<u8>) -> Next {
    let State { session, sent, .. } = state;
    let mischief = session.mischief;
    let due = |every: u64, messages: u64| every > 0 && messages.is_multiple_of(every);
    for _ in 0..count {
        if session.limit > 0 && sent.messages >= session.limit {
            break;
        }
        let symbol = &session.symbols[sent.messages as usize % session.symbols.len()];
        let next = sent.next.get_mut(symbol).expect("every symbol has one");
        sent.messages += 1;
        if due(mischief.gap, sent.messages) {
            *next += 1;
            sent.skipped += 1;
        }
        let text = text(session.format, symbol, *next);
        *next += 1;
        frame(bytes, &text);
        if due(mischief.duplicate, sent.messages) {
            sent.duplicates += 1;
            frame(bytes, &text);
        }
        if due(mischief.garbage, sent.messages) {
            let nonsense = [
                "}{",
                "",
                "\u{1F4A5}",
                "[]1",
                "{\"type\":\"match\"}",
                &text[..text.len() / 2],
            ];
            frame(bytes, nonsense[sent.garbage as usize % nonsense.len()]);
            sent.garbage += 1;
        }
        if due(mischief.silence, sent.messages) {
            sent.silences += 1;
            return Next::Silence;
        }
        if due(mischief.disconnect, sent.messages) {
            sent.cuts += 1;
            // Half of a message; it does not count as sent.
            bytes.extend([0x81, 100, b'{']);
            return Next::Cut;
        }
    }
    Next::Bundle
}

fn text(format: Format, symbol: &str, number: i64) -> String {
    let (price, size) = (price(number), size(number));
    let side = if number % 2 == 0 { "buy" } else { "sell" };
    match format {
        Format::Coinbase => format!(
            r#"{{"type":"match","trade_id":{number},"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","side":"{side}","size":"{size:.3}","price":"{price:.2}","product_id":"{symbol}","sequence":{},"time":"2026-11-25T03:00:00.{:06}Z"}}"#,
            number * 7,
            number % 1_000_000,
        ),
        Format::Binance => format!(
            r#"{{"stream":"{}@trade","data":{{"e":"trade","E":1764039600123,"s":"{symbol}","t":{number},"p":"{price:.2}","q":"{size:.3}","T":1764039600120,"m":{},"M":true}}}}"#,
            symbol.to_ascii_lowercase(),
            number % 2 == 1,
        ),
        Format::Kraken => format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"{side}","price":{price:.2},"qty":{size:.3},"ord_type":"limit","trade_id":{number},"timestamp":"2026-11-25T03:00:00.{:06}Z"}}]}}"#,
            number % 1_000_000,
        ),
        Format::Json => format!(
            r#"{{"kind":"deals","pair":"{symbol}","n":{number},"at":1764039600.5,"quote":{{"price":{price:.2},"size":"{size:.3}"}}}}"#,
        ),
    }
}
