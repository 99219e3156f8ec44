// The page: values now, and charts of the past. One chart per quantity, each with its own scale; a touch
// on any of them reads all three at that moment.
"use strict";

const QUANTITIES = [
  { key: "temperature", name: "Temperature", unit: "°C", now: "temperature_c", digits: 1, least: 2 },
  { key: "humidity", name: "Humidity", unit: "%", now: "humidity", digits: 1, least: 5 },
  { key: "pressure", name: "Pressure", unit: "hPa", now: "pressure_hpa", digits: 1, least: 4 },
];
const HEIGHT = { temperature: 220, humidity: 170, pressure: 140 };
const MARGIN = { left: 44, right: 10, top: 8, bottom: 22 };

const byId = (id) => document.getElementById(id);
let hours = 24;
let limits = {};
let series = null;
let taken = null;

// Someone with several rooms wants to know which one this is.
const host = location.hostname;
if (host !== "localhost" && !/^[\d.]+$|:/.test(host)) {
  document.querySelector("h1").textContent = document.title = `Climate · ${host.split(".")[0]}`;
}

const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };

function node(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

async function fetchJson(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  const body = await response.json();
  return { ok: response.ok, body };
}

// ---- now

async function showReading() {
  let answer;
  try {
    answer = await fetchJson("api/reading");
  } catch {
    state("bad", "The monitor does not answer");
    for (const tile of document.querySelectorAll(".tile")) tile.dataset.is = "none";
    return;
  }
  const { ok, body } = answer;
  limits = body.limits ?? limits;
  const alerts = body.alerts ?? [];
  const alarmed = (key) => alerts.find((alert) => alert.subject === key);
  for (const quantity of QUANTITIES) {
    const tile = document.querySelector(`.tile[data-quantity="${quantity.key}"]`);
    const value = ok ? body[quantity.now] : null;
    text(tile.querySelector(".number"), value == null ? "–" : value.toFixed(quantity.digits));
    const range = limits[quantity.key];
    text(tile.querySelector(".limits"), range ? `limits ${range[0]} to ${range[1]} ${quantity.unit}` : "");
    tile.dataset.is = value == null ? "none" : alarmed(quantity.key) ? "bad" : "good";
  }
  const present = ok ? body : body.last_reading;
  taken = present ? Date.parse(present.timestamp) : null;
  if (!ok) {
    state("bad", `No reading: ${body.details}`);
  } else if (alerts.length > 0) {
    state("bad", alerts.map((alert) => `${alert.subject} too ${alert.level}`).join(", "));
  } else if (body.faults?.length > 0) {
    state("warn", body.faults.join("; "));
  } else {
    state("good", "All is well");
  }
  showAge();
}

function state(is, words) {
  const place = byId("state");
  place.dataset.is = is;
  text(place, words.charAt(0).toUpperCase() + words.slice(1));
}

function showAge() {
  if (taken == null) return text(byId("age"), "");
  const seconds = Math.max(0, Math.round((Date.now() - taken) / 1000));
  const ago = seconds < 120 ? `${seconds} s ago`
    : seconds < 7200 ? `${Math.round(seconds / 60)} min ago`
    : new Date(taken).toLocaleString();
  text(byId("age"), `last reading ${ago}`);
}

// ---- history

async function showHistory() {
  const to = Date.now() / 1000;
  const points = Math.max(60, Math.min(600, Math.round(byId("charts").clientWidth / 2)));
  try {
    const { ok, body } = await fetchJson(`api/history?from=${to - hours * 3600}&to=${to}&points=${points}`);
    if (!ok) return;
    series = body;
  } catch {
    return;
  }
  draw();
}

function draw() {
  if (!series) return;
  hideTip();
  const place = byId("charts");
  place.replaceChildren();
  for (const quantity of QUANTITIES) {
    const points = series.points.filter((point) => point[quantity.key]);
    place.append(chart(quantity, points));
  }
  fillTable();
}

function chart(quantity, points) {
  const figure = document.createElement("figure");
  figure.className = `chart ${quantity.key}`;
  const head = document.createElement("figcaption");
  head.className = "chart-head";
  const title = document.createElement("h2");
  title.textContent = `${quantity.name}, ${quantity.unit}`;
  const summary = document.createElement("span");
  summary.className = "quiet";
  head.append(title, summary);
  figure.append(head);
  if (points.length === 0) {
    const empty = document.createElement("p");
    empty.className = "empty";
    empty.textContent = "No readings in this time";
    figure.append(empty);
    return figure;
  }
  const low = Math.min(...points.map((point) => point[quantity.key].min));
  const high = Math.max(...points.map((point) => point[quantity.key].max));
  const mean = points.reduce((sum, point) => sum + point[quantity.key].avg, 0) / points.length;
  const told = (value) => value.toFixed(quantity.digits);
  summary.textContent = `lowest ${told(low)} · mean ${told(mean)} · highest ${told(high)}`;
  figure.append(plot(quantity, points, low, high));
  return figure;
}

function plot(quantity, points, low, high) {
  const width = Math.max(280, byId("charts").clientWidth - 26);
  const height = HEIGHT[quantity.key];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("role", "img");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-label", `${quantity.name}: lowest ${low}, highest ${high} ${quantity.unit}`);
  const range = limits[quantity.key];
  const ticks = valueTicks(low, high, quantity.least);
  const [bottom, top] = [ticks[0], ticks[ticks.length - 1]];
  const x = (t) => MARGIN.left + ((t - series.from) / (series.to - series.from)) * (width - MARGIN.left - MARGIN.right);
  const y = (v) => height - MARGIN.bottom - ((v - bottom) / (top - bottom)) * (height - MARGIN.top - MARGIN.bottom);

  for (const tick of ticks) {
    const line = { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) };
    node("line", { ...line, class: tick === bottom ? "base" : "grid" }, svg);
    node("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg).textContent = tick;
  }
  for (const { t, label } of timeTicks(width)) {
    node("text", { x: x(t), y: height - 6, "text-anchor": "middle" }, svg).textContent = label;
  }
  // A limit far from all values would only flatten the line; near ones are shown.
  for (const limit of range ?? []) {
    if (limit < bottom || limit > top) continue;
    node("line", { class: "limit", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(limit), y2: y(limit) }, svg);
    const above = limit === range[1] || limit === bottom ? -4 : 12;
    node("text", { class: "limit-name", x: width - MARGIN.right, y: y(limit) + above, "text-anchor": "end" }, svg)
      .textContent = `limit ${limit}`;
  }
  for (const run of runs(points)) {
    const at = (point, which) => `${x(point.t).toFixed(1)},${y(point[quantity.key][which]).toFixed(1)}`;
    const upper = run.map((point) => at(point, "max"));
    const lower = run.map((point) => at(point, "min")).reverse();
    node("polygon", { class: "band", points: [...upper, ...lower].join(" ") }, svg);
    if (run.length === 1) {
      const [cx, cy] = at(run[0], "avg").split(",");
      node("circle", { class: "dot", cx, cy, r: 4 }, svg);
    } else {
      node("polyline", { class: "line", points: run.map((point) => at(point, "avg")).join(" ") }, svg);
    }
  }
  const marks = node("g", {}, svg);
  svg.mark = (point) => {
    marks.replaceChildren();
    if (!point) return;
    node("line", { class: "cross", x1: x(point.t), x2: x(point.t), y1: MARGIN.top, y2: height - MARGIN.bottom }, marks);
    if (point[quantity.key]) node("circle", { class: "dot", cx: x(point.t), cy: y(point[quantity.key].avg), r: 5 }, marks);
  };
  listen(svg, (clientX) => {
    const box = svg.getBoundingClientRect();
    const t = series.from + ((clientX - box.left) * (width / box.width) - MARGIN.left)
      / (width - MARGIN.left - MARGIN.right) * (series.to - series.from);
    return points.reduce((best, point, index) => Math.abs(point.t - t) < Math.abs(points[best].t - t) ? index : best, 0);
  }, points, (point) => {
    const box = svg.getBoundingClientRect();
    return box.left + x(point.t) * (box.width / width);
  });
  return svg;
}

// Stretches without gaps: a line never claims what was not measured.
function runs(points) {
  const steps = points.slice(1).map((point, index) => point.t - points[index].t).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const gap = Math.max(series.bucket_seconds, usual) * 2.5;
  const all = [];
  for (const point of points) {
    const run = all[all.length - 1];
    if (run && point.t - run[run.length - 1].t <= gap) run.push(point);
    else all.push([point]);
  }
  return all;
}

// Four to six round numbers around the values, at least `least` apart from end to end.
function valueTicks(low, high, least) {
  const middle = (low + high) / 2;
  const half = Math.max(high - low, least) / 2;
  const rough = (half * 2) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let n = Math.floor((middle - half) / step); ; n += 1) {
    ticks.push(Number((n * step).toFixed(6)));
    if (n * step >= middle + half && ticks.length > 1) return ticks;
  }
}

function timeTicks(width) {
  const span = series.to - series.from;
  const wanted = Math.max(2, Math.floor(width / 90));
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 604800, 1209600, 2592000, 5184000];
  const step = steps.find((size) => span / size <= wanted) ?? 7776000;
  // Round in local time, so that a day's tick is its midnight.
  const offset = new Date().getTimezoneOffset() * 60;
  const ticks = [];
  for (let t = Math.ceil((series.from - offset) / step) * step + offset; t <= series.to; t += step) {
    if (t - series.from < span * 0.03 || series.to - t < span * 0.03) continue;
    const date = new Date(t * 1000);
    const label = step < 86400
      ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
      : date.toLocaleDateString([], { day: "numeric", month: "short" });
    ticks.push({ t, label });
  }
  return ticks;
}

// ---- reading a chart

function listen(svg, nearest, points, place) {
  let chosen = points.length - 1;
  const show = (index) => {
    chosen = Math.max(0, Math.min(points.length - 1, index));
    mark(points[chosen], place(points[chosen]), svg);
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event.clientX)));
  svg.addEventListener("pointerdown", (event) => show(nearest(event.clientX)));
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("blur", hideTip);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -points.length, End: points.length }[event.key];
    if (event.key === "Escape") hideTip();
    if (!step) return;
    event.preventDefault();
    show(chosen + step);
  });
}

function mark(point, clientX, svg) {
  for (const other of document.querySelectorAll(".chart svg")) other.mark(point);
  const tip = byId("tip");
  tip.replaceChildren();
  const when = document.createElement("span");
  when.textContent = new Date(point.t * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  tip.append(when);
  for (const quantity of QUANTITIES) {
    const value = point[quantity.key];
    if (!value) continue;
    const line = document.createElement("div");
    const strong = document.createElement("b");
    strong.textContent = `${value.avg.toFixed(quantity.digits)} ${quantity.unit}`;
    line.append(strong);
    const spread = value.max - value.min;
    if (spread >= 0.1) line.append(` (${value.min.toFixed(quantity.digits)} to ${value.max.toFixed(quantity.digits)})`);
    tip.append(line);
  }
  tip.hidden = false;
  const left = clientX + 14 + tip.offsetWidth > innerWidth - 8 ? clientX - 14 - tip.offsetWidth : clientX + 14;
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${svg.getBoundingClientRect().top + scrollY + 12}px`;
}

function hideTip() {
  byId("tip").hidden = true;
  for (const svg of document.querySelectorAll(".chart svg")) svg.mark(null);
}

// ---- the table: the newest readings first

function fillTable() {
  if (!document.querySelector("details").open) return;
  const rows = series.points.slice(-200).reverse().map((point) => {
    const row = document.createElement("tr");
    const cells = [new Date(point.t * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" })];
    for (const quantity of QUANTITIES) {
      cells.push(point[quantity.key] ? point[quantity.key].avg.toFixed(quantity.digits) : "–");
    }
    row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
    return row;
  });
  byId("rows").replaceChildren(...rows);
}

// ---- life

for (const button of document.querySelectorAll(".spans button")) {
  button.addEventListener("click", () => {
    hours = Number(button.dataset.hours);
    for (const other of document.querySelectorAll(".spans button")) other.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    showHistory();
  });
}
document.querySelector("details").addEventListener("toggle", () => series && fillTable());
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });

async function refresh() {
  if (document.hidden) return;
  await showReading();
  if (byId("tip").hidden) await showHistory();
}
document.addEventListener("visibilitychange", refresh);
setInterval(showAge, 1000);
setInterval(() => document.hidden || showReading(), 5000);
setInterval(refresh, 30_000);
refresh();
