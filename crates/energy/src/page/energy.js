// The page: the price now, what comes, what was used, and above all how old that is. It is never empty: when the
// device does not answer, what it said last stays, with its age.
"use strict";

const HOURS_AHEAD = 6;
const HOURS_BEHIND = 3;
const HOURS_SHOWN = 19; // Amber is asked for 16 hours ahead

// The device's own screen asks by another name, so that the device knows whether anything is on it.
const WALL = new URLSearchParams(location.search).has("wall");
document.documentElement.toggleAttribute("data-wall", WALL);

const byId = (id) => document.getElementById(id);
const charts = {
  prices: new Chart(byId("chart"), ["Time", "c/kWh", "Level", "Kind"]),
  usage: new Chart(byId("usage"), ["Time", "Used, kWh", "Cost", "Fed in, kWh", "Earned"]),
};
let said = null; // the last answer of api/now, and when it came
let answers = false;
let prices = [];
let asked = false; // for prices: until then it is not known that there are none
let usage = { of: "", hours: [] }; // the hours of a day, and which day, as it was known when they were asked for

const text = (id, value) => { if (byId(id).textContent !== value) byId(id).textContent = value; };
const cents = (value) => minus(Math.abs(value) >= 99.5 ? value.toFixed(0) : value.toFixed(Math.abs(value) < 9.95 ? 1 : 0));
const dollars = (value) => `${value < 0 ? "−" : ""}$${(Math.abs(value) / 100).toFixed(2)}`;

async function fetchJson(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// ---- what the device says

async function refreshNow() {
  try {
    const body = await fetchJson(WALL ? "api/now/wall" : "api/now");
    said = { body, at: Date.now() };
    setZone(body.time_zone);
    answers = true;
    refreshUsage();
  } catch {
    answers = false;
  }
  show();
}

async function refreshPrices() {
  const from = hourOf(now()) - HOURS_BEHIND * HOUR;
  try {
    // From an hour earlier, and to an hour later: the house's hours may begin at half past those of this browser.
    const body = await fetchJson(`api/prices?from=${from - HOUR}&to=${from + (HOURS_SHOWN + 1) * HOUR}`);
    prices = body.intervals.filter((price) => price.channel === "general");
  } catch {
    // What there is stays.
  }
  asked = true;
  show();
}

/** Asks for the hours of the day that is shown, when another day is, or more of it is known. */
async function refreshUsage() {
  const day = shownDay();
  const of = day ? `${day.from} ${day.kwh} ${day.fed_in_kwh}` : "";
  if (!day || of === usage.of) return;
  try {
    const body = await fetchJson(`api/usage?from=${day.from}&to=${day.to}`);
    usage = { of, hours: usageByHour(body.intervals, day.from, day.to) };
    showUsage();
  } catch {
    // What there is stays; the next answer of api/now is the next opportunity.
  }
}

// ---- what is shown

// The device's time, which is right where a phone's may not be.
const now = () => (said ? said.body.now + (Date.now() - said.at) / 1000 : Date.now() / 1000);

function show() {
  const time = now();
  text("clock", said ? format(time, { weekday: "short", hour: "numeric", minute: "2-digit" }) : "–");
  showState(time);
  if (!said) return;
  showPrice(time);
  showAhead(time);
  showCheapest(time);
  showPrices(time);
  showUsage();
  showFacts();
}

function showState(time) {
  const state = byId("state");
  const tell = (is, words) => { state.dataset.is = is; text("state", words.charAt(0).toUpperCase() + words.slice(1)); };
  if (!said) return tell(answers ? "none" : "bad", answers ? "Loading…" : "The display's service does not answer");
  const health = said.body.health;
  const age = health.cache_age == null ? null : health.cache_age + Math.round((Date.now() - said.at) / 1000);
  const from = age == null ? "" : `prices are from ${moment(time - age, time)}`;
  const told = (...parts) => parts.filter(Boolean).join("; ");
  if (!answers) return tell("bad", told(`No answer since ${moment(said.body.now, time)}`, from));
  if (age == null) return tell("bad", health.last_error ?? "No prices yet");
  if (health.status === "stale") return tell(age > 6 * HOUR ? "bad" : "warn", told(health.last_error, from));
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
    text("until", last ? `last ${cents(shown(last))} c at ${timeOf(last.from)}` : "");
    return;
  }
  const value = cents(shown(holds));
  place.dataset.level = levelOf(holds);
  text("level", LEVELS[levelOf(holds)] ?? "Price");
  text("cents", value);
  byId("cents").toggleAttribute("data-long", value.replace(".", "").length > 2);
  const until = holds.kind === "forecast" ? "Expected until" : holds.estimate ? "Estimate until" : "Until";
  text("until", `${until} ${timeOf(holds.to)}`);
}

function showAhead(time) {
  const tiles = Array.from({ length: HOURS_AHEAD }, (_, index) => {
    const hour = hourFrom(prices, hourOf(time) + (index + 1) * HOUR);
    const tile = document.createElement("article");
    const add = (name, words) => tile.appendChild(Object.assign(document.createElement(name), { textContent: words }));
    const value = hour.mean == null ? "–" : cents(hour.mean);
    tile.dataset.level = hour.level;
    add("time", shortTime(hour.start));
    add("b", value).toggleAttribute("data-long", value.length > 3);
    add("small", LEVELS[hour.level] ?? "Not known");
    return tile;
  });
  byId("ahead").replaceChildren(...tiles);
}

function showCheapest(time) {
  const best = cheapestOf(prices, time);
  const line = byId("cheapest");
  line.hidden = !best;
  if (!best) return;
  const about = `${cents(best.mean)} c/kWh`;
  const [before, when, after] = best.all
    ? ["About the same ", `until ${shortTime(best.to)}`, `: ${about}`]
    : best.from <= time
      ? ["Cheapest ", `now, until ${shortTime(best.to)}`, `: about ${about}`]
      : ["Cheapest ", `from ${span(best.from, best.to)}`, `: about ${about}`];
  if (line.textContent === before + when + after) return;
  line.replaceChildren(before, Object.assign(document.createElement("b"), { textContent: when }), after);
}

/** The newest day with usage. Of today only the first minutes may be known, as the market's days end at other times: then the day before. */
function shownDay() {
  const [newest, before] = said.body.days;
  return newest?.today && !newest.complete && before ? before : newest;
}

function dayName(day) {
  if (day.today) return "Today";
  const age = now() - day.to;
  return age < 86400 ? "Yesterday" : format(day.from + HOUR, { weekday: "short", day: "numeric", month: "short" });
}

function showFacts() {
  const { prices: channels, site } = said.body;
  // A meter is read overnight: of today nothing is known, most of the time, and nothing is made up.
  const day = shownDay();
  text("day", day ? `${dayName(day)}${day.estimated ? ", estimated" : day.complete ? "" : day.today ? " so far" : ", in part"}` : "Usage");
  text("used", day ? `${day.kwh.toFixed(1)} kWh` : "–");
  text("cost", day ? dollars(day.cost) : "");
  byId("sun").hidden = !(day && day.fed_in_kwh > 0);
  if (day) {
    text("given", `${day.fed_in_kwh.toFixed(1)} kWh`);
    text("earned", dollars(day.earned));
  }
  byId("feed").hidden = !channels.feedIn;
  if (channels.feedIn) text("feedin", cents(-channels.feedIn.per_kwh));
  const renewables = channels.general?.renewables;
  text("renewables", renewables == null ? "–" : `${Math.round(renewables)} %`);
  text("grid", site ? site.network : "");
}

// ---- the charts

function showPrices(time) {
  if (!asked) return;
  const from = hourOf(time) - HOURS_BEHIND * HOUR;
  const to = from + HOURS_SHOWN * HOUR;
  const bars = prices.filter((price) => price.to > from && price.from < to).map((price) => {
    const level = levelOf(price);
    const kind = price.kind === "forecast" ? "expected" : price.estimate ? "estimate" : "settled";
    const words = [LEVELS[level] ?? "No level", kind];
    return {
      from: price.from, to: price.to, past: price.to <= time,
      parts: [{ value: shown(price), level }],
      cells: [minus(shown(price).toFixed(1)), ...words],
      words: `${span(price.from, price.to)}: ${minus(shown(price).toFixed(1))} c/kWh, ${words.join(", ").toLowerCase()}`,
    };
  });
  const values = bars.map((bar) => bar.parts[0].value);
  const best = cheapestOf(prices, time);
  const summary = bars.length === 0 ? "" : `from ${minus(Math.min(...values).toFixed(1))} to ${minus(Math.max(...values).toFixed(1))} c/kWh. ${byId("cheapest").textContent}`;
  const band = best && !best.all ? best : null;
  charts.prices.show({ from, to, now: time, bars, band, range: rangeOf(values), summary, empty: "No prices are known of these hours" });
}

function showUsage() {
  const day = shownDay();
  const empty = "No usage is known yet: Amber tells it a day late";
  if (!day) return charts.usage.show({ from: 0, to: 24 * HOUR, now: -1, bars: [], range: { low: 0, high: 1 }, summary: empty, empty });
  if (usage.of === "") return;
  const name = dayName(day);
  charts.usage.title.textContent = `Usage ${/^(Today|Yesterday)$/.test(name) ? name.toLowerCase() : name}, kWh`;
  const sun = usage.hours.some((hour) => hour.fedIn > 0);
  byId("usage").querySelector("[data-level=fed]").hidden = !sun;
  const bars = usage.hours.map((hour) => {
    const part = hour.minutes < 60 ? `, ${hour.minutes} minutes known` : "";
    const fed = hour.fedIn > 0 ? `; ${hour.fedIn.toFixed(2)} kWh fed in, ${dollars(hour.earned)}` : "";
    return {
      from: hour.from, to: hour.to, past: false,
      parts: [{ value: hour.used, level: "used" }, ...(hour.fedIn > 0 ? [{ value: -hour.fedIn, level: "fed" }] : [])],
      cells: [hour.used.toFixed(2), dollars(hour.cost), hour.fedIn.toFixed(2), dollars(hour.earned)],
      words: `${span(hour.from, hour.to)}: ${hour.used.toFixed(2)} kWh used, ${dollars(hour.cost)}${fed}${part}`,
    };
  });
  const range = { low: Math.min(0, ...usage.hours.map((hour) => -hour.fedIn)), high: Math.max(0.1, ...usage.hours.map((hour) => hour.used)) };
  const summary = `${day.kwh.toFixed(1)} kWh used, ${dollars(day.cost)}; ${day.fed_in_kwh.toFixed(1)} kWh fed in, ${dollars(day.earned)}`;
  charts.usage.show({ from: day.from, to: day.to, now: now(), bars, range, summary, empty });
}

// ---- life

document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshNow().then(refreshPrices); });
setInterval(refreshNow, 10_000);
setInterval(refreshPrices, 60_000);
setInterval(show, 5000);
refreshNow().then(refreshPrices); // of the device's time, and by the house's hours
