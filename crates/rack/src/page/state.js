// What the page knows: who looks, the racks with what is in them, what is in none, and which of them are shown.
"use strict";

const TRAY_PAGE = 100;
const state = {
  me: null, // { user, role }
  racks: new Map(), // by number, as the list of racks has them
  plans: new Map(), // of racks that are shown: { rack, items: Map, conflicts, thermal }
  tray: new Map(), // items that are in no rack
  trayNext: null, // where the rest of them begins
  kinds: new Map(), // by number; as far as they were needed
  logos: new Map(), // by manufacturer, in lower case: the address of the picture
  shown: [], // numbers of racks, in the order of the list
  faces: "front",
  selected: null,
  pending: new Set(), // devices that the planner is being asked about
  changes: 0, // how often this page has changed something, by which an answer from before is known
};

const mayEdit = () => state.me?.role === "edit" || state.me?.role === "admin";
const isAdmin = () => state.me?.role === "admin";
const facesShown = () => (state.faces === "both" ? ["front", "rear"] : [state.faces]);

/// The item of this number, wherever it is.
function itemOf(id) {
  for (const { items } of state.plans.values()) if (items.has(id)) return items.get(id);
  return state.tray.get(id) ?? null;
}

/// The collection that a place belongs to; none if its rack is not shown.
const itemsAt = (place) => (place ? state.plans.get(place.rack)?.items : state.tray);

/// What stands on a shelf.
function onShelf(id) {
  const items = itemsAt(itemOf(id)?.device.place);
  return [...(items?.values() ?? [])].filter(({ device }) => device.place?.at === "shelf" && device.place.shelf === id);
}

/// Puts an item where its device says that it is, with all that stands on it; returns the racks that this concerns.
function putItem(item) {
  const { id, place } = item.device;
  const touched = new Set();
  const along = onShelf(id);
  for (const [rack, { items }] of state.plans) if (items.delete(id)) touched.add(rack);
  state.tray.delete(id);
  itemsAt(place)?.set(id, item);
  if (place) touched.add(place.rack);
  for (const one of along) {
    if (place && one.device.place.rack !== place.rack) {
      one.device = { ...one.device, place: { ...one.device.place, rack: place.rack } };
      putItem(one);
    }
  }
  return touched;
}

/// Takes what the planner says of a device; returns the racks that this concerns.
async function putDevice(device) {
  const kind = await kindOf(device.kind);
  return kind ? putItem({ device, kind }) : new Set();
}

/// Forgets a device; returns the racks that this concerns.
function dropItem(id) {
  const touched = new Set();
  for (const [rack, { items }] of state.plans) if (items.delete(id)) touched.add(rack);
  state.tray.delete(id);
  if (state.selected === id) state.selected = null;
  return touched;
}

async function kindOf(id) {
  if (!state.kinds.has(id)) {
    const { ok, body } = await get(`api/kinds/${id}`);
    if (!ok) return null;
    state.kinds.set(id, body);
  }
  return state.kinds.get(id);
}

// ---- what the planner says

async function loadRacks() {
  const { ok, items } = await all("api/racks");
  if (!ok) return false;
  items.sort((one, other) => one.name.localeCompare(other.name, [], { numeric: true }));
  state.racks = new Map(items.map((rack) => [rack.id, rack]));
  state.shown = items.filter(({ id }) => state.shown.includes(id)).map(({ id }) => id);
  for (const id of state.plans.keys()) if (!state.shown.includes(id)) state.plans.delete(id);
  return true;
}

/// Asks for a rack's plan anew. An answer that is older than a change of this page is asked for again.
async function loadPlan(rack, tries = 3) {
  const before = state.changes;
  const { ok, status, body } = await get(`api/racks/${rack}/plan`);
  if (status === 404) {
    state.plans.delete(rack);
    state.racks.delete(rack);
    state.shown = state.shown.filter((id) => id !== rack);
    return true;
  }
  if (!ok) return false;
  if ((state.changes !== before || state.pending.size > 0) && tries > 0) return state.pending.size > 0 ? true : loadPlan(rack, tries - 1);
  const items = new Map(body.items.map((item) => [item.device.id, item]));
  for (const { kind } of body.items) state.kinds.set(kind.id, kind);
  // What the planner says is here is nowhere else.
  for (const id of items.keys()) {
    state.tray.delete(id);
    for (const [number, plan] of state.plans) if (number !== rack) plan.items.delete(id);
  }
  state.plans.set(rack, { rack: body.rack, items, conflicts: body.conflicts ?? [], thermal: body.thermal ?? null });
  state.racks.set(rack, body.rack);
  return true;
}

async function loadTray(more = false) {
  const before = state.changes;
  const { ok, items, next } = await page("api/devices", { unplaced: true, limit: TRAY_PAGE, after: more ? state.trayNext : null });
  if (!ok || (state.changes !== before && !more)) return ok;
  const made = [];
  for (const device of items) {
    const kind = await kindOf(device.kind);
    if (kind) made.push([device.id, { device, kind }]);
  }
  // Pages that were asked for before stay when the first is asked for again.
  const kept = more ? [...state.tray] : [];
  state.tray = new Map([...kept, ...made]);
  state.trayNext = next;
  return true;
}

async function loadLogos() {
  const { ok, items } = await page("api/logos");
  if (!ok) return;
  const names = items.map((logo) => logo.manufacturer ?? logo);
  state.logos = new Map(names.map((name) => [name.toLowerCase(), `api/logos/${encodeURIComponent(name)}`]));
}

/// All that is shown, anew.
async function loadAll() {
  if (!(await loadRacks())) return false;
  if (state.shown.length === 0) state.shown = remembered();
  await Promise.all([loadTray(), loadLogos(), ...state.shown.map((rack) => loadPlan(rack))]);
  return true;
}

// ---- what this browser remembers: which racks were shown, and from which side

const FIRST = 4; // racks that are shown to somebody who has not chosen

function remembered() {
  const ids = [...state.racks.keys()];
  let before = [];
  try {
    ({ shown: before = [], faces: state.faces = "front" } = JSON.parse(localStorage.getItem("racks") ?? "{}"));
  } catch {
    // Nothing is remembered by browsers that keep nothing, or there is something else under this name.
  }
  const known = ids.filter((id) => before.includes?.(id));
  return known.length > 0 ? known : ids.slice(0, FIRST);
}

function remember() {
  try {
    localStorage.setItem("racks", JSON.stringify({ shown: state.shown, faces: state.faces }));
  } catch {
    // Then it is not remembered.
  }
}
