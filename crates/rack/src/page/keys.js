// Keys: arrows go from device to device, Enter takes one up, arrows move it, Enter puts it down, Escape lets go.
"use strict";

const KEYS = [
  ["/", "search"],
  ["Ctrl+Z, Ctrl+Y", "undo, redo"],
  ["Arrows", "from device to device, and from rack to rack"],
  ["Space", "show a device, with all that can be changed"],
  ["Enter", "take a device up, and put it down"],
  ["Arrows, while it is carried", "up and down by its height's step, with Alt by half a unit; left and right across, or to the next rack"],
  ["F, S, T, while it is carried", "to the other side; onto a shelf; out of the rack"],
  ["Escape", "let go; close what is open"],
];

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input, textarea, select");
  const command = event.ctrlKey || event.metaKey;
  if (command && !typing && !carried) {
    const key = event.key.toLowerCase();
    const act = key === "y" || (key === "z" && event.shiftKey) ? redo : key === "z" ? undo : null;
    if (!act) return;
    event.preventDefault();
    return act();
  }
  if (event.key === "Escape" && event.target.closest?.("#panel")) return select(null);
  if (command || typing) return;
  if (carried?.by === "keys") return carryKey(event);
  const node = event.target.closest?.(".device");
  if (node) return deviceKey(event, node);
  if (event.key === "/") {
    event.preventDefault();
    byId("q").focus();
  } else if (event.key === "Escape" && state.selected != null) {
    select(null);
  }
});

// What is carried by keys and forgotten would be moved by keys that are meant for something else.
addEventListener("focusin", (event) => {
  if (carried?.by === "keys" && !event.target.closest(`.device[data-id="${carried.item.device.id}"]`)) dropKeys();
});
addEventListener("pointerdown", () => carried?.by === "keys" && dropKeys(), { capture: true });

function dropKeys() {
  say(`${letGo().device.name} stays where it was.`);
}

// ---- from device to device

const STEPS = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

function deviceKey(event, node) {
  const id = Number(node.dataset.id);
  if (event.key === "Enter" && mayEdit()) {
    event.preventDefault();
    return takeByKeys(id, node);
  }
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return select(id, true);
  }
  if (event.key === "Escape") return select(null);
  const list = node.closest("svg") ? [...node.parentNode.children] : [...byId("tray-list").querySelectorAll(".device")];
  if (event.key in STEPS) {
    event.preventDefault();
    const index = list.indexOf(node) + STEPS[event.key];
    return focusNode(list[Math.max(0, Math.min(list.length - 1, index))]);
  }
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    event.preventDefault();
    focusBeside(node, event.key === "ArrowLeft" ? -1 : 1);
  }
}

function focusNode(node) {
  const picture = node.closest("svg");
  const view = picture && views.get(Number(picture.dataset.rack))?.faces[picture.dataset.face];
  if (view) rove(view, node);
  node.focus();
  node.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/// Goes to the device at the same height in the next picture, or in the tray.
function focusBeside(node, step) {
  const pictures = [byId("tray-list"), ...document.querySelectorAll(".face svg")];
  const height = (one) => one.getBoundingClientRect().top;
  for (let at = pictures.indexOf(node.closest("svg, #tray-list")) + step; pictures[at]; at += step) {
    const devices = [...pictures[at].querySelectorAll(".device")];
    if (devices.length === 0) continue;
    const nearest = devices.reduce((best, one) => (Math.abs(height(one) - height(node)) < Math.abs(height(best) - height(node)) ? one : best));
    return focusNode(nearest);
  }
}

/// Gives the focus to a device wherever it is drawn now.
function focusDevice(id, face = null) {
  const nodes = [...nodesOf(id)];
  const node = nodes.find((one) => one.closest("svg")?.dataset.face === face) ?? nodes.find((one) => !one.classList.contains("behind")) ?? nodes[0];
  if (node) focusNode(node);
}

// ---- carrying

function takeByKeys(id, node) {
  if (!pickUp(id, "keys")) return;
  const { item } = carried;
  const face = node.closest("svg")?.dataset.face ?? facesShown()[0];
  const plan = state.plans.get(item.device.place?.rack ?? state.shown[0]);
  if (!plan) {
    letGo();
    return say("There is no rack to put it into.");
  }
  const place = item.device.place ?? firstPlace(plan, item, face) ?? { at: "units", rack: plan.rack.id, face, bottom: 0, left: 0 };
  carryTo(place, seenFrom(plan, item, place, face));
  carried.said = "";
  say(`${item.device.name} is taken up. Arrows move it, Enter puts it down, Escape lets go.`);
}

/// The side from which a place is shown: its own, if it can be seen.
function seenFrom(plan, item, place, face) {
  const own = boxOf(plan.items, item, place)?.face ?? face;
  return facesShown().includes(own) ? own : facesShown()[0];
}

function carryKey(event) {
  event.preventDefault();
  const { item, place } = carried;
  const { id } = item.device;
  if (event.key === "Enter" || event.key === " ") {
    const { face } = carried;
    const moved = putDown();
    focusDevice(id, face);
    return moved.then(() => focusDevice(id, face));
  }
  if (event.key === "Escape") return dropKeys();
  const next = nextPlace(event, item, place);
  if (next === undefined) return;
  if (next) showFaceOf(next);
  const plan = next && state.plans.get(next.rack);
  carryTo(next, next && seenFrom(plan, item, next, carried.face));
  document.querySelector(".over .target")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  sayCarried();
}

/// What is turned to a side that is not shown is not seen, so both sides are.
function showFaceOf(place) {
  if (place.at !== "units" || facesShown().includes(place.face)) return;
  showFaces("both");
  for (const node of nodesOf(carried.item.device.id)) node.classList.add("lifted");
}

/// Where a key brings it; undefined for a key that brings it nowhere.
function nextPlace({ key, altKey }, item, place) {
  const { kind } = item;
  const at = place ?? { at: "units", rack: state.shown[0], face: facesShown()[0], bottom: 0, left: 0 };
  const { rack } = state.plans.get(at.rack);
  const low = (bottom) => Math.max(0, Math.min(rack.units * 2 - kind.halves, bottom));
  const units = at.at === "units" ? at : leaveShelf(at);
  const step = altKey ? 1 : stepUp(kind.halves);
  switch (key) {
    case "ArrowUp": return { ...units, bottom: low(units.bottom + step) };
    case "ArrowDown": return { ...units, bottom: low(units.bottom - step) };
    case "PageUp": return { ...units, bottom: low(units.bottom + 10) };
    case "PageDown": return { ...units, bottom: low(units.bottom - 10) };
    case "ArrowLeft": return across(at, kind, -1);
    case "ArrowRight": return across(at, kind, 1);
    case "f": case "F": return { ...units, face: other(units.face), left: mirrored(units.left, kind.columns) };
    case "s": case "S": return nextShelf(at, item);
    case "t": case "T": case "Delete": return null;
    default: return undefined;
  }
}

function leaveShelf({ rack, shelf, left }) {
  const { bottom, face, left: beyond } = itemOf(shelf).device.place;
  return { at: "units", rack, face, bottom, left: beyond + left };
}

/// Across the rack, and beyond its edge into the next one.
function across(place, kind, direction) {
  const left = place.left + direction * (place.at === "shelf" ? 1 : stepAcross(kind.columns));
  const room = place.at === "shelf" ? itemOf(place.shelf).kind.columns : COLUMNS;
  if (left >= 0 && left + kind.columns <= room) return { ...place, left };
  const next = state.shown[state.shown.indexOf(place.rack) + direction];
  if (next == null) return undefined;
  const units = place.at === "units" ? place : leaveShelf(place);
  const most = Math.max(0, state.plans.get(next).rack.units * 2 - kind.halves);
  return { ...units, rack: next, bottom: Math.min(units.bottom, most), left: direction > 0 ? 0 : COLUMNS - kind.columns };
}

function nextShelf(place, { device, kind }) {
  if (kind.shelf) return undefined;
  const { items } = state.plans.get(place.rack);
  const shelves = [...items.values()].filter((one) => one.kind.shelf && one.device.id !== device.id).map((one) => one.device.id);
  const next = shelves[(shelves.indexOf(place.shelf) + 1) % shelves.length];
  return next == null ? undefined : { at: "shelf", rack: place.rack, shelf: next, left: 0 };
}
