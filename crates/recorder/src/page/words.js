// How this page puts things: lengths, sizes, times, and what goes on, in words.
"use strict";

const byId = (id) => document.getElementById(id);
const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/// An element with its attributes and what is in it; an attribute without a value is left out.
function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) made.setAttribute(key, value);
  made.append(...inside.filter((part) => part != null));
  return made;
}

// Hours and days are those of the device, wherever the one who looks is.
let zone;
const format = (ms, options) => new Intl.DateTimeFormat([], { timeZone: zone, ...options }).format(new Date(ms));
const moment = (ms) => format(ms, { weekday: "short", day: "numeric", month: "short", year: sameYear(ms) ? undefined : "numeric", hour: "2-digit", minute: "2-digit" });
const timeOfDay = (ms) => format(ms, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const sameYear = (ms) => new Date(ms).getFullYear() === new Date().getFullYear();

/// 0:07, 12:34, 1:02:03.
function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} days ago`;
}

function size(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  if (bytes < 1e9) return `${Math.round(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(bytes < 1e11 ? 1 : 0)} GB`;
}

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/// What the device does, and how that is: [kind, words].
function stateWords(status) {
  const trouble = status.faults.map(([, why]) => why).join("; ");
  switch (status.state) {
    case "booting": return ["none", "Starting up"];
    case "recording": return trouble ? ["bad", `Recording, with trouble: ${trouble}`] : ["recording", "Recording"];
    case "error": return ["bad", `${status.should_record ? "Should be recording, and cannot" : "Cannot record"}: ${trouble}`];
    case "processing": return ["good", `Ready, and finishing ${count(status.processing, "recording")}`];
    default: return status.should_record ? ["bad", "Should be recording, and is not"] : ["good", "Ready"];
  }
}

/// Why something does not work, if it is that.
const faultOf = (status, kind) => status.faults.find(([fault]) => fault === kind)?.[1] ?? null;

/// What there is to say about recordings that have no video yet: [kind, words].
function joinWords({ waiting, problem, corrupted }) {
  if (waiting > 0 && problem) return ["warn", `${count(waiting, "recording")} waiting to be joined: ${problem}`];
  return corrupted > 0 ? ["warn", `${count(corrupted, "damaged recording")}, which only you can delete`] : ["good", ""];
}

/// What became of a session's upload: [kind, words].
function uploadWords(session, uploading) {
  const upload = session.upload;
  if (!upload) return ["none", ""];
  switch (upload.status) {
    case "pending": return ["none", "Waiting to be uploaded"];
    case "uploading": {
      const sent = uploading?.session === session.id ? uploading.sent / Math.max(1, uploading.bytes) : null;
      return ["none", sent == null ? "Is being uploaded" : `Is being uploaded: ${Math.floor(sent * 100)} %`];
    }
    case "completed": return ["good", "Uploaded"];
    case "failed": return ["warn", `Not uploaded yet, will be tried again: ${upload.why}`];
    case "corrupted": return ["bad", `Cannot be uploaded: ${upload.why}`];
    default: return ["none", upload.status];
  }
}

/// What there is to say about a session beside its time: a list of [kind, words].
function sessionWords(session, uploading) {
  const words = [];
  if (session.state === "recording") words.push(["bad", "Is being recorded"]);
  if (session.state === "processing") words.push(["none", "Is being joined and checked"]);
  if (session.state === "corrupted") words.push(["bad", `Damaged: ${session.why ?? "no reason is known"}`]);
  if (session.gaps.length > 0) {
    const lost = session.gaps.reduce((sum, gap) => sum + gap.length_ms, 0);
    words.push(["warn", `${count(session.gaps.length, "interruption")}, ${lengthWords(lost)} missing`]);
  }
  const upload = uploadWords(session, uploading);
  if (upload[1]) words.push(upload);
  if (session.removed_at_ms) words.push(["none", `Removed from this device to make room, ${moment(session.removed_at_ms)}`]);
  return words;
}

/// 0.4 s, 12 s, 3:05 min.
function lengthWords(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${duration(ms)} ${ms < 3_600_000 ? "min" : "h"}`;
}
