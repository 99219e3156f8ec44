// The page's life: login, what is shown, search, menus, printing, and keeping up with what others do.
"use strict";

const KEEP_UP = 20_000; // ms between looks at what others have changed

// ---- login

async function start() {
  const { ok, status, body } = await get("api/session");
  if (ok) {
    link.csrf = body.csrf ?? null;
    state.me = body;
    showWho();
    if (!(await loadAll())) return;
    byId("plan").hidden = byId("tools").hidden = byId("search").hidden = false;
    byId("login").hidden = true;
    showAll();
  } else if (status === 401 || status === 403) {
    askForLogin();
  }
}

function askForLogin() {
  state.me = null;
  linkIs("login");
  for (const node of document.querySelectorAll("dialog")) node.close();
  byId("plan").hidden = byId("tools").hidden = byId("search").hidden = true;
  byId("login").hidden = false;
  byId("login-name").focus();
}

function showWho() {
  const { body } = document;
  body.dataset.role = state.me.role;
  body.toggleAttribute("data-named", Boolean(state.me.user));
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await ask("POST", "api/session", { name: byId("login-name").value.trim(), password: byId("login-password").value });
  text(byId("login-answer"), answer.ok ? "" : answer.status === 401 ? "The name or the password is wrong." : refusal(answer));
  if (!answer.ok) return;
  byId("login-password").value = "";
  await start();
});

async function logOut() {
  await ask("DELETE", "api/session");
  state.plans.clear();
  state.tray.clear();
  arrange();
  await start();
}

// ---- what is shown

function showAll() {
  drawChoice();
  arrange();
  draw();
  arrange();
}

async function refresh() {
  if (carried || !state.me || !(await loadRacks())) return;
  await Promise.all([loadTray(), ...state.shown.map((rack) => loadPlan(rack))]);
  // Somebody may have begun to carry something meanwhile: what is below it stays as it is.
  if (!carried) showAll();
}

async function toggleRack(id) {
  if (state.shown.includes(id)) {
    state.shown = state.shown.filter((rack) => rack !== id);
    state.plans.delete(id);
    remember();
    showAll();
  } else {
    await showRack(id, true);
  }
}

/// Shows a rack beside those that are shown, and goes there.
async function showRack(id, go = false) {
  if (!state.racks.has(id)) await loadRacks();
  if (!state.plans.has(id)) await loadPlan(id);
  state.shown = [...state.racks.keys()].filter((rack) => rack === id || state.shown.includes(rack));
  remember();
  showAll();
  if (go) views.get(id)?.node.scrollIntoView({ block: "nearest", inline: "nearest" });
}

async function showEvery() {
  const missing = [...state.racks.keys()].filter((id) => !state.plans.has(id));
  await Promise.all(missing.map((id) => loadPlan(id)));
  state.shown = [...state.racks.keys()].filter((id) => state.plans.has(id));
  remember();
  showAll();
}

function showFaces(faces) {
  state.faces = faces;
  remember();
  showAll();
}

// ---- search

async function find(q) {
  const { ok, items } = await page("api/search", { q });
  const names = { rack: "Rack", device: "Device", kind: "Kind" };
  return ok ? items.map((hit) => ({ words: hit.name, more: [names[hit.kind_of] ?? hit.kind_of, hit.where ?? hit.where_].filter(Boolean).join(" · "), value: hit })) : null;
}

comboBox(byId("q"), byId("hits"), {
  find,
  choose: ({ value: hit }) => {
    byId("q").value = "";
    if (hit.kind_of === "rack") return showRack(hit.id, true);
    if (hit.kind_of === "device") return goTo(hit.id);
    return kindOf(hit.id).then((kind) => kind && mayEdit() && deviceDialog(kind));
  },
});

/// Shows a device wherever it is, and chooses it.
async function goTo(id) {
  const { ok, body } = await get(`api/devices/${id}`);
  if (!ok) return note("This device is gone.", { is: "bad" });
  if (body.place) await showRack(body.place.rack);
  else if (!state.tray.has(id)) await putDevice(body);
  const item = itemOf(id);
  const box = item && boxOf(itemsAt(item.device.place), item);
  if (box && !box.full && !facesShown().includes(box.face)) showFaces("both");
  select(id);
  focusDevice(id);
  for (const node of nodesOf(id)) {
    node.classList.add("found");
    node.addEventListener("animationend", () => node.classList.remove("found"), { once: true });
  }
}

// ---- menus and buttons

const OPEN = {
  rack: () => rackDialog(),
  device: () => deviceDialog(),
  kind: () => kindDialog(),
  kinds: kindsDialog,
  "import-kinds": () => importDialog("kinds"),
  "import-rack": () => importDialog("rack"),
  print: () => printRacks(state.shown),
  logos: logosDialog,
  tokens: tokensDialog,
  audit: auditDialog,
  users: usersDialog,
  password: passwordDialog,
  keys: () => openDialog("Keys", element("dl", { class: "facts" }, KEYS.map(([keys, what]) => element("div", {}, element("dt", {}, keys), element("dd", {}, capital(what)))))),
  login: askForLogin,
  logout: logOut,
};

addEventListener("click", (event) => {
  const menu = event.target.closest?.("details.menu");
  closeMenus(menu);
  const what = event.target.closest?.("[data-open]")?.dataset.open;
  if (menu && event.target.closest("button, a")) menu.open = false;
  if (what) return OPEN[what]();
  const faces = event.target.closest?.("[data-faces]")?.dataset.faces;
  if (faces) return showFaces(faces);
  const device = event.target.closest?.(".device");
  if (!device) return;
  const id = Number(device.dataset.id);
  select(state.selected === id && !device.closest("#tray") ? null : id);
});
addEventListener("keydown", (event) => {
  const menu = document.querySelector("details.menu[open]");
  if (event.key !== "Escape" || !menu) return;
  event.preventDefault();
  menu.open = false;
  menu.querySelector("summary").focus();
}, { capture: true });
byId("undo").addEventListener("click", undo);
byId("redo").addEventListener("click", redo);
byId("all").addEventListener("click", showEvery);
byId("tray-more").addEventListener("click", async () => { await loadTray(true); drawTray(); });

// ---- printing: both sides, one rack a page

async function printRacks(racks) {
  for (const id of racks) await showRack(id);
  for (const [id, { node }] of views) node.toggleAttribute("data-unprinted", !racks.includes(id));
  print();
  for (const { node } of views.values()) node.removeAttribute("data-unprinted");
}

addEventListener("beforeprint", () => { printing = true; draw(); });
addEventListener("afterprint", () => { printing = false; draw(); });

// ---- life

addEventListener("planner-login", askForLogin);
addEventListener("planner-back", () => (byId("plan").hidden ? start() : refresh()));
document.addEventListener("visibilitychange", () => document.hidden || refresh());
addEventListener("online", refresh);
setInterval(() => {
  if (document.hidden || !["offline", "database", "stale", "none"].includes(link.is)) return;
  if (byId("plan").hidden) start();
  else refresh();
}, AGAIN);
setInterval(() => document.hidden || state.pending.size > 0 || refresh(), KEEP_UP);
start();
