// What can be concluded from prices. A price has `from` and `to`, in seconds since 1970, and cents in `per_kwh`.
"use strict";

const LEVELS = {
  extremelyLow: "Extremely low", veryLow: "Very low", low: "Low", neutral: "Neutral", high: "High", spike: "Spike",
};
const RANK = Object.keys(LEVELS);
/** What a neighbour of the cheapest hour may cost more, in cents per kWh, to belong to it. */
const AS_CHEAP = 1;
/** Of how many hours prices have to be known before one of them is called the cheapest. */
const A_CHOICE = 3;

/** What is expected to be paid: Amber's own forecast where it has one. */
const shown = (price) => (price.kind === "forecast" ? price.predicted ?? price.per_kwh : price.per_kwh);

const levelOf = (price) => (price.spike === "spike" ? "spike" : LEVELS[price.level] ? price.level : "none");

/** The mean price of those parts of `from` to `to` that are known, in cents; null if none is. */
function meanOf(prices, from, to) {
  let [minutes, sum] = [0, 0];
  for (const price of prices) {
    const part = Math.min(price.to, to) - Math.max(price.from, from);
    if (part <= 0) continue;
    minutes += part;
    sum += shown(price) * part;
  }
  return minutes > 0 ? sum / minutes : null;
}

/** An hour of `prices`: its mean, and the level of its dearest part. */
function hourFrom(prices, start) {
  const parts = prices.filter((price) => price.from < start + HOUR && price.to > start);
  const worst = Math.max(-1, ...parts.map((price) => RANK.indexOf(levelOf(price))));
  return { start, mean: meanOf(parts, start, start + HOUR), level: RANK[worst] ?? "none" };
}

/**
 * The cheapest hour that begins at or after `now`, or has begun with its interval, with its neighbours that cost about as
 * much. Prices are sorted by time. Null if so little is known that there is no choice; `all` says that it is all that is known, so that
 * no time is better than another.
 */
function cheapestOf(prices, now) {
  const ahead = prices.filter((price) => price.to > now);
  if (ahead.reduce((sum, price) => sum + price.to - Math.max(price.from, now), 0) < A_CHOICE * HOUR) return null;
  let best = null;
  for (let first = 0; first < ahead.length; first += 1) {
    let last = first;
    while (ahead[last].to < ahead[first].from + HOUR && ahead[last + 1]?.from === ahead[last].to) last += 1;
    if (ahead[last].to < ahead[first].from + HOUR) continue;
    const mean = meanOf(ahead.slice(first, last + 1), ahead[first].from, ahead[last].to);
    if (best === null || mean < best.mean - 1e-9) best = { first, last, mean };
  }
  if (best === null) return null;
  let { first, last } = best;
  const belongs = (price) => shown(price) <= best.mean + AS_CHEAP;
  while (first > 0 && ahead[first - 1].to === ahead[first].from && belongs(ahead[first - 1])) first -= 1;
  while (last + 1 < ahead.length && ahead[last + 1].from === ahead[last].to && belongs(ahead[last + 1])) last += 1;
  const [from, to] = [ahead[first].from, ahead[last].to];
  return { from, to, mean: meanOf(ahead, from, to), all: first === 0 && last === ahead.length - 1 };
}

/**
 * The range that a chart of `values` shows. A spike of 17 dollars would leave nothing of the prices of all other hours, so
 * what is far above the others is cut off there, and has to be labelled.
 */
function rangeOf(values) {
  const sorted = values.map(Math.abs).sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const most = Math.max(80, usual * 3);
  return {
    low: Math.max(-most, Math.min(0, ...values)),
    high: Math.min(most, Math.max(20, ...values)),
  };
}

/** The energy of each hour of a day: kWh used and fed in, cents, and how many of its minutes are known. */
function usageByHour(intervals, from, to) {
  const hours = [];
  for (let start = from; start < to; start += HOUR) {
    const parts = intervals.filter((part) => part.from >= start && part.from < start + HOUR);
    if (parts.length === 0) continue;
    const of = (isFedIn, key) => parts.filter((part) => (part.channel === "feedIn") === isFedIn).reduce((sum, part) => sum + part[key], 0);
    const known = new Map(parts.map((part) => [part.from, part.to - part.from]));
    hours.push({
      from: start, to: start + HOUR,
      used: of(false, "kwh"), cost: of(false, "cost"), fedIn: of(true, "kwh"), earned: -of(true, "cost"),
      minutes: Math.round([...known.values()].reduce((sum, seconds) => sum + seconds, 0) / 60),
    });
  }
  return hours;
}
