// Times in words. Hours and days are those of the house, wherever the one who looks is; whether a clock has 12 or 24
// hours is the habit of the one who looks. Words are English, as the page is.
"use strict";

const HOUR = 3600;
const LANGUAGES = navigator.languages?.length ? [...navigator.languages] : [];
const HALF_DAYS = new Intl.DateTimeFormat(LANGUAGES, { hour: "numeric" }).resolvedOptions().hour12 === true;
const ENGLISH = LANGUAGES.find((language) => /^en\b/.test(language)) ?? "en-AU";
const HABIT = HALF_DAYS ? { hour12: true } : { hourCycle: "h23" };

let zone = "UTC";
const formats = new Map(); // making one takes a hundred times as long as using it

/** Says in which time zone the house is; an unknown one, of a browser older than the zone, is as good as none. */
function setZone(name) {
  if (name === zone) return;
  try {
    new Intl.DateTimeFormat(ENGLISH, { timeZone: name });
    zone = name;
  } catch {
    zone = "UTC";
  }
  formats.clear();
}

function formatter(options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(ENGLISH, { timeZone: zone, ...HABIT, ...options }));
  return formats.get(key);
}

/** A time, in seconds since 1970, in words. */
const format = (seconds, options) => formatter(options).format(new Date(seconds * 1000));

/** The hour, minute and second of the house's clock. */
function clockOf(seconds) {
  const whole = { timeZone: zone, hourCycle: "h23", hour: "numeric", minute: "numeric", second: "numeric" };
  if (!formats.has("clock")) formats.set("clock", new Intl.DateTimeFormat("en-u-nu-latn", whole));
  const parts = formats.get("clock").formatToParts(new Date(seconds * 1000));
  const [hour, minute, second] = ["hour", "minute", "second"].map((type) => Number(parts.find((part) => part.type === type).value));
  return { hour, minute, second };
}

/** When the hour of the house's clock began: in some zones, hours begin at 30 minutes past those of the world. */
function hourOf(seconds) {
  const { minute, second } = clockOf(Math.floor(seconds));
  return Math.floor(seconds) - minute * 60 - second;
}

/** A time of the day, such as "3:30 am" or "03:30". */
const timeOf = (seconds) => format(seconds, { hour: "numeric", minute: "2-digit" });

/** The same as short as it can be: "2 am", "3:30 am", "02:00". */
function shortTime(seconds) {
  return HALF_DAYS && clockOf(seconds).minute === 0 ? format(seconds, { hour: "numeric" }) : timeOf(seconds);
}

/** The time without "am" or "pm" where the other time has the same. */
function shortTimeBeside(seconds, other) {
  if (!HALF_DAYS) return shortTime(seconds);
  const whole = clockOf(seconds).minute === 0;
  const parts = formatter(whole ? { hour: "numeric" } : { hour: "numeric", minute: "2-digit" }).formatToParts(new Date(seconds * 1000));
  const half = (time) => (clockOf(time).hour < 12 ? "am" : "pm");
  if (half(seconds) !== half(other) || Math.abs(other - seconds) >= 12 * HOUR) return shortTime(seconds);
  return parts.filter((part) => part.type !== "dayPeriod").map((part) => part.value).join("").trim();
}

/** A stretch of time, such as "2 to 3:30 am". */
const span = (from, to) => `${shortTimeBeside(from, to)} to ${shortTime(to)}`;

/** How long ago something was. */
function ageWords(seconds) {
  if (seconds < 90) return "just now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

/** A time that has passed, with as much of its date as it takes to tell. */
function moment(seconds, now) {
  const age = now - seconds;
  const date = age < 72_000 ? {} : age < 6 * 86_400 ? { weekday: "short" } : { day: "numeric", month: "short" };
  return format(seconds, { ...date, hour: "numeric", minute: "2-digit" });
}

/** The beginnings of the house's hours from `from` to `to`, with the hour that its clock has then. */
function hoursBetween(from, to) {
  const hours = [];
  for (let start = hourOf(from); start <= to; ) {
    if (start >= from) hours.push({ start, hour: clockOf(start).hour });
    const next = hourOf(start + HOUR); // where clocks are changed by half an hour, hours begin at other minutes then
    start = next > start ? next : start + HOUR;
  }
  return hours;
}
