// Questions to the planner, and what holds of the connection: whether it answers, and whether what it says is of now.
"use strict";

const PATIENCE = 30_000; // ms
const AGAIN = 3000; // ms between tries while the planner does not answer
const link = { is: "none", since: 0, csrf: null };

/// The words for what holds of the connection, and whether changes have a chance.
const LINK = {
  none: ["none", () => "Loading…"],
  good: ["good", () => "Saved"],
  offline: ["bad", () => `The planner does not answer${since()}. ${left("until it answers")}`],
  database: ["bad", () => `The planner has no database${since()}. ${left("until the database is back")}`],
  stale: ["warn", () => "The database is away. What you see was kept from before and may be out of date; changes are refused."],
  login: ["none", () => "Not logged in"],
};
const left = (until) => (state.plans.size > 0 ? `You see what it said last, and cannot change it ${until}.` : `There is nothing to see ${until}.`);
const since = () => (link.since ? ` since ${timeOfDay(link.since)}` : "");

function linkIs(is) {
  if (link.is === is) return;
  const back = ["offline", "database", "stale"].includes(link.is) && is === "good";
  link.is = is;
  link.since = Date.now();
  showLink();
  if (back) dispatchEvent(new Event("planner-back"));
}

function showLink() {
  const [is, words] = LINK[link.is];
  const busy = link.is === "good" && state.pending.size > 0;
  byId("link").dataset.is = is;
  text(byId("link"), busy ? "Saving…" : words());
}

/// Asks the planner. What it refuses is an answer, too: `{ ok, status, body }`; status 0 is no answer at all.
async function ask(method, path, body) {
  const headers = {};
  if (method !== "GET" && link.csrf) headers["X-CSRF-Token"] = link.csrf;
  if (body !== undefined && !(body instanceof Blob)) headers["Content-Type"] = "application/json";
  let response;
  let said = null;
  try {
    response = await fetch(path, {
      method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE),
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    });
    const kind = response.headers.get("Content-Type") ?? "";
    if (response.status !== 204) said = kind.includes("json") ? await response.json() : { error: await response.text() };
  } catch {
    linkIs("offline");
    return { ok: false, status: 0, body: { error: "the planner does not answer" } };
  }
  const { ok, status } = response;
  if (status === 401 && path !== "api/session") dispatchEvent(new Event("planner-login"));
  heard(path, response, said);
  return { ok, status, body: said, after: Number(response.headers.get("Retry-After")) || null };
}

/// What an answer tells of the planner: not every good one tells that its database is there.
function heard(path, { ok, status, headers }, said) {
  const kept = headers.get("X-Cache");
  if (kept === "stale") linkIs("stale");
  else if (status === 503 && said?.error?.startsWith("the database")) linkIs(link.is === "stale" ? "stale" : "database");
  else if (status >= 502 && status <= 504 && said?.error !== "the planner is busy") linkIs("offline");
  else if (ok && ((kept !== "hit" && path !== "api/session") || link.is === "offline")) linkIs("good");
}

const get = (path) => ask("GET", path);

/// One page of a list: `{ items, next }`, empty if there is no answer.
async function page(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value != null && value !== "");
  const { ok, body } = await get(`${path}?${new URLSearchParams(given)}`);
  if (!ok) return { ok, items: [], next: null };
  return { ok, items: Array.isArray(body) ? body : body.items, next: body.next ?? null };
}

/// All of a list, up to `most`.
async function all(path, parameters = {}, most = 1000) {
  const items = [];
  let after = null;
  do {
    const next = await page(path, { limit: 200, ...parameters, after });
    if (!next.ok) return { ok: false, items };
    items.push(...next.items);
    after = next.next;
  } while (after != null && items.length < most);
  return { ok: true, items, more: after != null };
}

/// Why the planner did not do what it was asked, in one sentence.
function refusal({ status, body, after }) {
  if (status === 0) return "The planner does not answer, so nothing was changed.";
  if (status === 401) return "You are not logged in any more.";
  if (status === 403) return body?.details ? capital(`${body.error}: ${body.details}.`) : "You may look, but not change this.";
  if (status === 429) return `Too many requests at once. Try again ${after ? `in ${count(after, "second")}` : "in a moment"}.`;
  if (!body?.error) return `The planner answered ${status}.`;
  return capital(`${body.error}${body.details ? `: ${body.details}` : ""}.`).replace(/\.\.$/, ".");
}

/// The sentences of a refusal for lack of room, power or whatever it was.
const sentences = (body) => (body?.conflicts ?? []).map((conflict) => conflict.text ?? conflict.what);
