// The page: what the camera sees, what the device does, and what it has recorded. It asks only while someone looks.
"use strict";

const PAGE = 48; // recordings that are asked for at once
const FRAME = 500; // ms: no more than two pictures a second
let status = null; // the last answer of api/status
let answers = true; // whether the last question was answered
let ahead = 0; // ms by which the device's clock is ahead of this one
let sessions = [];
let days = null; // how far back recordings are shown
let listed = ""; // what is on the page, as the device said it

const now = () => Date.now() + ahead;
const allowed = () => Boolean(status?.access.allowed);
const uploadInProgress = () => status?.uploads.uploading ?? null;

// Someone with several gyms wants to know which one this is.
const host = location.hostname;
if (host !== "localhost" && !/^[\d.]+$|:/.test(host)) {
  document.querySelector("h1").textContent = document.title = `Recorder · ${host.split(".")[0]}`;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(15_000), ...options });
  const body = response.status === 204 ? null : await response.json();
  return { ok: response.ok, status: response.status, body };
}

/// What the device said about why it did not do something.
const refusal = ({ body }) => capital(body.details ? `${body.error}: ${body.details}` : body.error);

// ---- what holds now

async function refresh() {
  const before = status;
  try {
    const { ok, body } = await ask("api/status");
    if (!ok) throw new Error(body.error);
    status = body;
    ahead = body.now_ms - Date.now();
    zone = body.time_zone ?? undefined;
    answers = true;
  } catch {
    answers = false;
  }
  show();
  const known = (told) => JSON.stringify([told?.access.allowed, told?.state, told?.session, told?.uploads.queue_size]);
  if (answers && known(before) !== known(status)) refreshSessions();
  picture();
}

function show() {
  showState();
  if (!status) return;
  const access = status.access;
  byId("login").hidden = allowed() || !access.token;
  byId("no-token").hidden = access.token;
  text(byId("no-token"), `No token is set on this device, so nothing can be seen or started from here. Set the secret ${access.token_name} in its lichen.toml.`);
  byId("logout").hidden = !access.cookie;
  text(byId("version"), `Version ${status.version}, running for ${duration(status.uptime_seconds * 1000)}`);
  for (const id of ["live", "control", "recordings"]) byId(id).hidden = !allowed();
  showRecord();
  showCamera();
  showUploads();
  showDisk();
  showErrors();
}

function showState() {
  const [is, words] = !answers ? ["bad", status ? `The recorder has not answered since ${timeOfDay(status.now_ms)}` : "The recorder does not answer"]
    : status ? stateWords(status) : ["none", "Loading…"];
  byId("state").parentNode.dataset.is = is;
  text(byId("state"), words);
  // Apart from the words, which are read out when they change.
  text(byId("length"), answers && status?.state === "recording" ? duration(now() - status.since_ms) : "");
}

function showRecord() {
  const button = byId("record");
  const recording = status.state === "recording";
  button.dataset.does = recording ? "stop" : "start";
  text(button, recording ? "Stop recording" : "Start recording");
  button.disabled = !answers || status.state === "booting";
  const next = status.next_start_ms;
  text(byId("schedule"), next && !recording ? `By the schedule the next recording starts ${moment(next)}` : "");
}

function tile(id, is, number, more) {
  const place = byId(id);
  place.dataset.is = is;
  text(place.querySelector(".number"), number);
  text(place.querySelector(".more"), more);
}

function showCamera() {
  const { name, format, fps, restarts, problem } = status.camera;
  const again = restarts > 0 ? `started again ${count(restarts, "time")}` : null;
  const more = [problem ? capital(problem) : null, name, fps ? `${fps.toFixed(fps % 1 ? 1 : 0)} pictures a second` : null, again];
  tile("camera", problem ? "bad" : format ? "good" : "none", problem ? "Not available" : format ?? "Not in use", more.filter(Boolean).join(" · "));
}

function showUploads() {
  const { to, queue_size: waiting, queue_bytes: bytes, uploading, failed, success_rate: rate, problem } = status.uploads;
  const bar = byId("uploads").querySelector("progress");
  bar.hidden = !uploading;
  if (to === "none") return tile("uploads", "none", "Off", "Recordings stay on this device");
  if (uploading) bar.value = uploading.sent / Math.max(1, uploading.bytes);
  const more = [
    problem ? capital(problem) : null,
    uploading ? `${size(uploading.sent)} of ${size(uploading.bytes)} sent` : null,
    waiting > 0 ? `${size(bytes)} to send` : null,
    failed > 0 ? `${failed} failed and will be tried again` : null,
    rate != null && rate < 1 ? `${Math.round(rate * 100)} % succeeded in the last day` : null,
  ];
  tile("uploads", failed > 0 || problem ? "warn" : "good", waiting > 0 ? `${waiting} waiting` : "All uploaded", more.filter(Boolean).join(" · "));
}

function showDisk() {
  const { free_bytes: free, total_bytes: total } = status.disk;
  const trouble = faultOf(status, "card") ?? faultOf(status, "space");
  const bar = byId("disk").querySelector("progress");
  bar.hidden = false;
  bar.value = total > 0 ? 1 - free / total : 0;
  const [is, words] = joinWords(status.joins);
  const more = [trouble ? capital(trouble) : `of ${size(total)}`, words];
  tile("disk", trouble ? "bad" : is, size(free), more.filter(Boolean).join(" · "));
}

function showErrors() {
  const place = byId("errors");
  place.hidden = status.errors.length === 0;
  text(place.querySelector("summary"), status.errors.length === 1 ? "Last error" : `Last ${status.errors.length} errors`);
  const told = JSON.stringify(status.errors);
  if (place.dataset.told === told) return;
  place.dataset.told = told;
  const items = status.errors.map(({ at_ms: at, what }) => element("li", {}, element("time", {}, moment(at)), what));
  place.querySelector("ol").replaceChildren(...items);
}

// ---- the picture: the next one is asked for when the last has come, while it can be seen

let seen = false; // whether the picture's place is on the screen
let waiting = false; // for a picture, or for the time of the next
let asked = 0;
let looking = 0; // since when pictures are asked for
let came = 0; // when the last one came

function picture() {
  const wanted = allowed() && answers && seen && !document.hidden && !open;
  showPicture();
  if (!wanted) looking = 0;
  if (!wanted || waiting) return;
  waiting = true;
  const began = performance.now();
  looking ||= began;
  const next = Object.assign(new Image(), { id: "picture", alt: "Live picture of the camera" });
  const again = (pause) => setTimeout(() => { waiting = false; picture(); }, pause);
  next.onload = () => {
    came = performance.now();
    byId("picture").replaceWith(next);
    again(Math.max(0, FRAME - (came - began)));
  };
  next.onerror = () => again(1000);
  next.src = `api/live.jpg?${asked += 1}`;
}

function showPicture() {
  const time = performance.now();
  const age = came ? time - came : Infinity;
  const [old, gone] = [age > 5000, age > 60_000];
  byId("picture").hidden = gone;
  byId("live").dataset.is = old ? "old" : "new";
  text(byId("live-age"), gone ? "" : old ? ago(age) : timeOfDay(now()));
  const why = status?.camera.problem;
  text(byId("no-picture"), !gone ? "" : why ? `No picture: ${why}` : time - (looking || time) < 8000 ? "Waiting for a picture…" : "The camera gives no picture");
}

new IntersectionObserver(([entry]) => { seen = entry.isIntersecting; picture(); }).observe(byId("live"));

// ---- recordings

async function refreshSessions(older = false) {
  if (!allowed()) return;
  const query = new URLSearchParams({ limit: PAGE });
  if (days) query.set("from", ((now() - days * 86_400_000) / 1000).toFixed(0));
  // Those that begin before the oldest that is there.
  if (older) query.set("to", (sessions.at(-1).started_at_ms / 1000).toFixed(3));
  let answer;
  try {
    answer = await ask(`api/sessions?${query}`);
  } catch {
    return;
  }
  if (!answer.ok) return;
  const fresh = answer.body.sessions;
  const behind = older ? sessions : [];
  // Recordings that were added by "Older" stay when the newest are asked for again.
  const beyond = older ? [] : sessions.slice(PAGE).filter((session) => session.started_at_ms < (fresh.at(-1)?.started_at_ms ?? 0));
  sessions = [...behind, ...fresh, ...beyond];
  if (beyond.length === 0) byId("older").hidden = !answer.body.more;
  showSessions();
}

function showSessions() {
  const told = JSON.stringify([sessions, uploadInProgress()]);
  if (told === listed) return;
  listed = told;
  byId("sessions").replaceChildren(...sessions.map(card));
  const none = byId("none");
  none.hidden = sessions.length > 0;
  text(none, days ? "No recordings in this time" : "No recordings yet");
  sessions.forEach(updatePlayer);
  follow();
}

function card(session) {
  const thumbnail = session.thumbnail ? element("img", { src: path(session, "thumbnail.jpg"), alt: "", loading: "lazy" }) : "No picture";
  const length = session.state !== "recording" && session.duration_ms > 0 ? element("span", { class: "length" }, duration(session.duration_ms)) : null;
  const words = sessionWords(session, uploadInProgress()).map(([is, words]) => element("span", { "data-is": is }, words));
  const about = element("span", { class: "about" }, element("b", {}, moment(session.started_at_ms)),
    session.bytes > 0 ? element("span", {}, size(session.bytes)) : null, ...words);
  const made = element("button", { type: "button", class: "session", "data-id": session.id },
    element("span", { class: "thumbnail" }, thumbnail, length), about);
  made.disabled = !session.video;
  made.addEventListener("click", () => openPlayer(session));
  const damaged = session.state === "corrupted" || session.upload?.status === "corrupted";
  if (!damaged || session.removed_at_ms) return made;
  const remove = element("button", { type: "button", class: "plain" }, "Delete");
  remove.addEventListener("click", () => removeDamaged(session));
  return element("div", { class: "damaged" }, made, remove);
}

/// Deletes a recording that nothing else deletes, once its owner is sure.
async function removeDamaged(session) {
  if (!confirm(`Delete what is left of the damaged recording of ${moment(session.started_at_ms)}? It cannot be brought back.`)) return;
  const answer = await send(`api/sessions/${session.id}`, undefined, "DELETE");
  if (answer.ok) sessions = sessions.filter((other) => other.id !== session.id);
  else text(byId("answer"), refusal(answer));
  showSessions();
}

/// Opens what the address asks for, once it is known.
async function follow() {
  const asked = /^#(\d+)(?:\/([\d.]+))?$/.exec(location.hash);
  if (!asked || open || !allowed()) return;
  const id = Number(asked[1]);
  let session = sessions.find((session) => session.id === id);
  if (!session) {
    const answer = await ask(`api/sessions/${id}`).catch(() => null);
    session = answer?.ok ? answer.body : null;
  }
  if (session?.video && !open) openPlayer(session, Number(asked[2] ?? 0));
}

// ---- what one can do

async function send(path, body, method = "POST") {
  try {
    return await ask(path, { method, body: JSON.stringify(body ?? {}), headers: { "content-type": "application/json" } });
  } catch {
    return { ok: false, status: 0, body: { error: "the recorder does not answer" } };
  }
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await send("api/login", { token: byId("token").value.trim() });
  text(byId("login-answer"), answer.ok ? "" : refusal(answer));
  if (answer.ok) byId("token").value = "";
  refresh();
});

byId("logout").addEventListener("click", async () => {
  await send("api/logout");
  sessions = [];
  showSessions();
  came = 0;
  refresh();
});

byId("record").addEventListener("click", async () => {
  const button = byId("record");
  button.disabled = true;
  const answer = await send(`api/${button.dataset.does}`);
  text(byId("answer"), answer.ok ? "" : refusal(answer));
  refresh();
});

for (const button of document.querySelectorAll(".spans button")) {
  button.addEventListener("click", () => {
    days = Number(button.dataset.days) || null;
    for (const other of document.querySelectorAll(".spans button")) other.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    sessions = [];
    refreshSessions();
  });
}
byId("older").addEventListener("click", () => refreshSessions(true));

// ---- life

addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(() => { if (status && !document.hidden) { showState(); showPicture(); } }, 1000);
setInterval(() => document.hidden || refresh(), 2000);
setInterval(() => document.hidden || refreshSessions(), 15_000);
refresh();
