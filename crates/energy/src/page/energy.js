// The page: the price now, what comes, what was used, and above all how old that is. It is never empty: when the
// device does not answer, what it said last stays, with its age.
"use strict";

const LEVELS = {
  extremelyLow: "Extremely low", veryLow: "Very low", low: "Low", neutral: "Neutral", high: "High", spike: "Spike",
};
const HOURS_AHEAD = 6;
const HOURS_BEHIND = 4;
const HOURS_SHOWN = 18;
const SVG = "http://www.w3.org/2000/svg";

// The device's own screen asks by another name, so that the device knows whether anything is on it.
const WALL = new URLSearchParams(location.search).has("wall");
document.documentElement.toggleAttribute("data-wall", WALL);

const byId = (id) => document.getElementById(id);
let said = null; // the last answer of api/now, and when it came
let answers = false;
let prices = [];
let asked = false; // for prices: until then it is not known that there are none

const text = (id, value) => { if (byId(id).textContent !== value) byId(id).textContent = value; };
const cents = (value) => (Math.abs(value) >= 99.5 ? value.toFixed(0) : value.toFixed(Math.abs(value) < 9.95 ? 1 : 0));
const dollars = (value) => `${value < 0 ? "−" : ""}$${(Math.abs(value) / 100).toFixed(2)}`;
const clean = (value) => value.replace("-", "−");

// Hours and days are those of the house, wherever the one who looks is.
function format(seconds, options) {
  const zone = said?.body.time_zone ?? "UTC";
  return new Intl.DateTimeFormat([], { timeZone: zone, ...options }).format(new Date(seconds * 1000));
}
const timeOf = (seconds) => format(seconds, { hour: "numeric", minute: "2-digit" });

function ageWords(seconds) {
  if (seconds < 90) return "just now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

// A time that has passed, with as much of its date as it takes to tell.
function moment(seconds) {
  const age = now() - seconds;
  const date = age < 72_000 ? {} : age < 6 * 86_400 ? { weekday: "short" } : { day: "numeric", month: "short" };
  return format(seconds, { ...date, hour: "numeric", minute: "2-digit" });
}

async function fetchJson(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// ---- what holds now

async function refreshNow() {
  try {
    const body = await fetchJson(WALL ? "api/now/wall" : "api/now");
    said = { body, at: Date.now() };
    answers = true;
  } catch {
    answers = false;
  }
  show();
}

async function refreshPrices() {
  const now = Math.floor(Date.now() / 1000);
  const from = now - (now % 3600) - HOURS_BEHIND * 3600;
  try {
    const body = await fetchJson(`api/prices?from=${from}&to=${from + HOURS_SHOWN * 3600}`);
    prices = body.intervals.filter((price) => price.channel === "general");
  } catch {
    // What there is stays.
  }
  asked = true;
  show();
}

// The device's time, which is right where a phone's may not be.
const now = () => (said ? said.body.now + (Date.now() - said.at) / 1000 : Date.now() / 1000);
const shown = (price) => (price.kind === "forecast" ? price.predicted ?? price.per_kwh : price.per_kwh);

function show() {
  const time = now();
  text("clock", said ? format(time, { weekday: "short", hour: "numeric", minute: "2-digit" }) : "–");
  showState(time);
  if (!said) return;
  showPrice(time);
  showAhead(time);
  showFacts();
  draw(time);
}

function showState(time) {
  const state = byId("state");
  const tell = (is, words) => { state.dataset.is = is; text("state", words.charAt(0).toUpperCase() + words.slice(1)); };
  if (!said) return tell(answers ? "none" : "bad", answers ? "Loading…" : "The display's service does not answer");
  const health = said.body.health;
  const age = health.cache_age == null ? null : health.cache_age + Math.round((Date.now() - said.at) / 1000);
  const from = age == null ? "" : `prices are from ${moment(now() - age)}`;
  const told = (...parts) => parts.filter(Boolean).join("; ");
  if (!answers) return tell("bad", told(`No answer since ${moment(said.body.now)}`, from));
  if (age == null) return tell("bad", health.last_error ?? "No prices yet");
  if (health.status === "stale") return tell(age > 6 * 3600 ? "bad" : "warn", told(health.last_error, from));
  tell("good", `Updated ${ageWords(age)}`);
}

function showPrice(time) {
  const general = said.body.prices.general;
  const holds = general && general.from <= time && time < general.to ? general : prices.find((p) => p.from <= time && time < p.to);
  const place = byId("price");
  if (!holds) {
    place.dataset.level = "none";
    text("level", "No price");
    text("cents", "–");
    const last = prices.filter((price) => price.to <= time).pop();
    text("until", last ? `last ${clean(cents(shown(last)))} c at ${timeOf(last.from)}` : "");
    return;
  }
  const value = clean(cents(shown(holds)));
  place.dataset.level = holds.spike === "spike" ? "spike" : holds.level ?? "none";
  text("level", holds.spike === "spike" ? LEVELS.spike : LEVELS[holds.level] ?? "Price");
  text("cents", value);
  byId("cents").toggleAttribute("data-long", value.replace(".", "").length > 2);
  const until = holds.kind === "forecast" ? "Expected until" : holds.estimate ? "Estimate until" : "Until";
  text("until", `${until} ${timeOf(holds.to)}`);
}

// ---- the next hours: each the mean of what is known of it, and the level of its dearest part

const RANK = Object.keys(LEVELS);

function hours(from, count) {
  return Array.from({ length: count }, (_, index) => {
    const start = from + index * 3600;
    const parts = prices.filter((price) => price.from < start + 3600 && price.to > start);
    if (parts.length === 0) return { start, mean: null, level: "none" };
    const minutes = parts.reduce((sum, price) => sum + (price.to - price.from), 0);
    const mean = parts.reduce((sum, price) => sum + shown(price) * (price.to - price.from), 0) / minutes;
    const level = parts.reduce((worst, price) => Math.max(worst, RANK.indexOf(price.level)), -1);
    return { start, mean, level: RANK[level] ?? "none" };
  });
}

function showAhead(time) {
  const next = Math.ceil((time + 1) / 3600) * 3600;
  const tiles = hours(next, HOURS_AHEAD).map((hour) => {
    const tile = document.createElement("article");
    tile.dataset.level = hour.level;
    const when = document.createElement("time");
    when.textContent = format(hour.start, { hour: "numeric" });
    const value = document.createElement("b");
    value.textContent = hour.mean == null ? "–" : clean(cents(hour.mean));
    tile.append(when, value);
    return tile;
  });
  byId("ahead").replaceChildren(...tiles);
}

// ---- usage

function showFacts() {
  const { days, prices: channels, site } = said.body;
  // A meter is read overnight: of today nothing is known, most of the time, and nothing is made up.
  const day = days[0];
  text("day", day ? `${dayName(day)}${day.estimated ? ", estimated" : day.complete ? "" : " so far"}` : "Usage");
  text("used", day ? `${day.kwh.toFixed(1)} kWh` : "–");
  text("cost", day ? dollars(day.cost) : "");
  byId("sun").hidden = !(day && day.fed_in_kwh > 0);
  if (day) {
    text("given", `${day.fed_in_kwh.toFixed(1)} kWh`);
    text("earned", dollars(day.earned));
  }
  byId("feed").hidden = !channels.feedIn;
  if (channels.feedIn) text("feedin", clean(cents(-channels.feedIn.per_kwh)));
  const renewables = channels.general?.renewables;
  text("renewables", renewables == null ? "–" : `${Math.round(renewables)} %`);
  text("grid", site ? site.network : "");
}

function dayName(day) {
  if (day.today) return "Today";
  const age = now() - day.to;
  return age < 86400 ? "Yesterday" : format(day.from + 3600, { weekday: "short", day: "numeric", month: "short" });
}

// ---- the chart: a bar for each interval, in the colour of its level

function node(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function draw(time) {
  const place = byId("chart");
  place.querySelector("svg, .empty")?.remove();
  if (prices.length === 0) {
    if (!asked) return;
    const empty = document.createElement("p");
    empty.className = "empty";
    empty.textContent = "No prices are known of these hours";
    place.append(empty);
    return;
  }
  const caption = place.querySelector("figcaption");
  const [width, height] = [caption.clientWidth, Math.max(120, place.clientHeight - caption.offsetHeight - 16)];
  const svg = node("svg", { role: "img", viewBox: `0 0 ${width} ${height}`, width, height }, place);
  const margin = { left: 34, right: 4, top: 6, bottom: 20 };
  const from = Math.floor(time / 3600) * 3600 - HOURS_BEHIND * 3600;
  const to = from + HOURS_SHOWN * 3600;
  const values = prices.map(shown);
  const ticks = valueTicks(Math.min(0, ...values), Math.max(20, ...values), height);
  const [bottom, top] = [ticks[0], ticks[ticks.length - 1]];
  const x = (t) => margin.left + ((Math.min(Math.max(t, from), to) - from) / (to - from)) * (width - margin.left - margin.right);
  const y = (v) => height - margin.bottom - ((v - bottom) / (top - bottom)) * (height - margin.top - margin.bottom);
  for (const tick of ticks) {
    node("line", { class: tick === 0 ? "zero" : "grid", x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick) }, svg);
    node("text", { x: margin.left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg).textContent = tick;
  }
  for (const price of prices) {
    const value = shown(price);
    const [left, right] = [x(price.from), x(price.to)];
    if (right - left < 0.5) continue;
    const gap = Math.min(1, (right - left) / 5);
    const bar = {
      class: price.to <= time ? "bar past" : "bar",
      x: left, width: Math.max(0.5, right - left - gap), y: y(Math.max(value, 0)), height: Math.max(1.5, Math.abs(y(value) - y(0))),
    };
    node("rect", bar, svg).dataset.level = price.level ?? "none";
  }
  node("line", { class: "now", x1: x(time), x2: x(time), y1: 0, y2: height - margin.bottom }, svg);
  const step = width < 420 ? 4 : 2;
  for (let t = from; t <= to; t += 3600) {
    const hour = Number(format(t, { hour: "numeric", hourCycle: "h23" }).replace(/\D/g, ""));
    if (hour % step !== 0 || x(t) > width - 24 || t === from) continue;
    node("text", { x: x(t), y: height - 5, "text-anchor": "middle" }, svg).textContent = format(t, { hour: "numeric" });
  }
}

function valueTicks(low, high, height) {
  const wanted = Math.max(2, Math.floor(height / 45));
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let n = Math.floor(low / step); ; n += 1) {
    ticks.push(n * step);
    if (n * step >= high) return ticks;
  }
}

// ---- life

new ResizeObserver(() => requestAnimationFrame(() => said && draw(now()))).observe(byId("chart"));
document.addEventListener("visibilitychange", () => { if (!document.hidden) { refreshNow(); refreshPrices(); } });
setInterval(refreshNow, 10_000);
setInterval(refreshPrices, 60_000);
setInterval(show, 5000);
refreshNow();
refreshPrices();
