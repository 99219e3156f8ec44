// The player: a recording with its interruptions on a time line, and the part of it that one wants to keep. The address
// says what is open and where (#12/95.5), so that a moment can be sent to somebody.
"use strict";

const video = byId("video");
const line = byId("line");
let open = null; // the session that is open
let chosen = { from: null, to: null }; // the part to download, in seconds

const length = () => (Number.isFinite(video.duration) ? video.duration : open.duration_ms / 1000);
const path = (session, file) => `api/sessions/${session.id}/${file}`;

/// The time of day at a position: what an interruption swallowed is not in the file.
function timeAt(seconds) {
  const swallowed = open.gaps.filter((gap) => gap.position_ms <= seconds * 1000).reduce((sum, gap) => sum + gap.length_ms, 0);
  return open.started_at_ms + seconds * 1000 + swallowed;
}

function openPlayer(session, at = 0) {
  open = session;
  chosen = { from: null, to: null };
  text(byId("player-title"), moment(session.started_at_ms));
  byId("video-problem").hidden = true;
  const start = () => seek(at);
  if (at > 0) video.addEventListener("loadedmetadata", start, { once: true });
  video.poster = session.thumbnail ? path(session, "thumbnail.jpg") : "";
  video.src = path(session, "video.mp4");
  const all = byId("download-all");
  all.href = path(session, "video.mp4");
  all.download = fileName(session.started_at_ms);
  text(all, `Download all of it (${size(session.bytes)})`);
  showGaps();
  showUpload();
  if (!byId("player").open) byId("player").showModal();
  drawLine();
}

/// Called when a session that may be open is known better.
function updatePlayer(session) {
  if (open?.id !== session.id) return;
  open = session;
  showUpload();
}

function showUpload() {
  const [kind, words] = uploadWords(open, uploadInProgress());
  byId("player-upload").dataset.is = kind;
  text(byId("player-upload"), words);
}

function closePlayer() {
  video.pause();
  video.removeAttribute("src");
  video.load();
  open = null;
  history.replaceState(null, "", location.pathname);
}

function seek(seconds) {
  video.currentTime = Math.min(Math.max(0, seconds), length());
}

function showGaps() {
  const place = byId("gaps");
  place.hidden = open.gaps.length === 0;
  text(place.querySelector("h3"), count(open.gaps.length, "interruption"));
  place.querySelector("ol").replaceChildren(...open.gaps.map((gap) => {
    const jump = element("button", { type: "button", class: "plain" }, duration(gap.position_ms));
    // A little before it, to see what was before it.
    jump.addEventListener("click", () => seek(gap.position_ms / 1000 - 3));
    return element("li", {}, jump, element("span", {}, `${lengthWords(gap.length_ms)} missing: ${gap.why}`));
  }));
}

// ---- the time line

function shape(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function drawLine() {
  if (!open) return;
  const [width, height, end] = [line.clientWidth, line.clientHeight, Math.max(0.001, length())];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const edge = 8;
  const x = (seconds) => edge + (Math.min(Math.max(0, seconds), end) / end) * (width - 2 * edge);
  const middle = height / 2;
  shape("rect", { class: "track", x: edge, width: width - 2 * edge, y: middle - 3, height: 6, rx: 3 }, svg);
  shape("rect", { class: "played", x: edge, width: x(video.currentTime) - edge, y: middle - 3, height: 6, rx: 3 }, svg);
  if (chosen.from != null || chosen.to != null) {
    const [from, to] = [chosen.from ?? 0, chosen.to ?? end];
    shape("rect", { class: "chosen", x: x(from), width: Math.max(2, x(to) - x(from)), y: 4, height: height - 8, rx: 3 }, svg);
  }
  for (const gap of open.gaps) {
    const mark = shape("rect", { class: "gap", x: x(gap.position_ms / 1000) - 1.5, width: 3, y: middle - 10, height: 20, rx: 1.5 }, svg);
    shape("title", {}, mark).textContent = `${lengthWords(gap.length_ms)} missing: ${gap.why}`;
  }
  shape("circle", { class: "head", cx: x(video.currentTime), cy: middle, r: 7 }, svg);
  line.replaceChildren(svg);
  line.setAttribute("aria-valuemax", end.toFixed(0));
  line.setAttribute("aria-valuenow", video.currentTime.toFixed(2));
  line.setAttribute("aria-valuetext", `${duration(video.currentTime * 1000)} of ${duration(end * 1000)}`);
  line.setAttribute("aria-busy", video.seeking);
  text(byId("position"), `${duration(video.currentTime * 1000)} of ${duration(end * 1000)} · ${timeOfDay(timeAt(video.currentTime))}`);
  showCut();
}

function pointed(event) {
  const box = line.getBoundingClientRect();
  seek(((event.clientX - box.left - 8) / (box.width - 16)) * length());
}
line.addEventListener("pointerdown", (event) => { line.setPointerCapture(event.pointerId); pointed(event); });
line.addEventListener("pointermove", (event) => { if (event.buttons > 0) pointed(event); });
line.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -5, ArrowRight: 5, PageDown: -60, PageUp: 60, Home: -Infinity, End: Infinity }[event.key];
  if (!step) return;
  event.preventDefault();
  seek(video.currentTime + step);
});

// ---- a part to keep

function showCut() {
  const [from, to] = [chosen.from ?? 0, chosen.to ?? length()];
  const link = byId("download-cut");
  const any = chosen.from != null || chosen.to != null;
  link.hidden = !any || to <= from;
  if (link.hidden) return;
  const query = `from=${from.toFixed(2)}&to=${to.toFixed(2)}`;
  if (link.dataset.query === `${open.id} ${query}`) return;
  link.dataset.query = `${open.id} ${query}`;
  link.href = `${path(open, "clip.mp4")}?${query}`;
  link.download = fileName(timeAt(from));
  text(link, `Download ${duration(from * 1000)} to ${duration(to * 1000)}`);
}

const fileName = (ms) => `${new Date(ms).toISOString().slice(0, 19).replaceAll(":", "-")}Z.mp4`;

byId("cut-from").addEventListener("click", () => {
  chosen.from = video.currentTime;
  if (chosen.to != null && chosen.to <= chosen.from) chosen.to = null;
  drawLine();
});
byId("cut-to").addEventListener("click", () => {
  chosen.to = video.currentTime;
  if (chosen.from != null && chosen.from >= chosen.to) chosen.from = null;
  drawLine();
});

// ---- life

const PROBLEMS = {
  [MediaError.MEDIA_ERR_NETWORK]: "The recorder stopped answering while the recording was loading.",
  [MediaError.MEDIA_ERR_DECODE]: "The recording is damaged at this place, or this browser cannot decode it. It can still be downloaded.",
  [MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED]: "This browser cannot play this recording. It can still be downloaded.",
};
video.addEventListener("error", () => {
  if (!open) return;
  text(byId("video-problem"), PROBLEMS[video.error?.code] ?? "The recording cannot be played.");
  byId("video-problem").hidden = false;
});
for (const event of ["timeupdate", "seeking", "seeked", "loadedmetadata", "durationchange"]) video.addEventListener(event, drawLine);
video.addEventListener("seeked", () => open && history.replaceState(null, "", `#${open.id}/${video.currentTime.toFixed(1)}`));
new ResizeObserver(drawLine).observe(line);
byId("player").addEventListener("close", closePlayer);
byId("player-close").addEventListener("click", () => byId("player").close());
