// Racks as pictures. Each device is one group of shapes that is made anew only when something of it looks different, so that
// thirty full racks stay quick.
"use strict";

const UNIT = 22; // px: the height of a unit
const COLUMN = 20; // px: the width of a column
const NUMBERS = 26; // px: where the numbers of units stand
const RAIL = 7; // px
const HEAT = 9; // px: the strip of temperatures
const BESIDE = 16; // px: the width of what is mounted beside the units
const EDGE = 7; // px: above and below
const INSIDE = COLUMNS * COLUMN;
const INNER_LEFT = NUMBERS + RAIL;

/// Categories that have a colour of their own, by the words that kinds use.
const CATEGORIES = [
  [/server|compute|blade|mini/, "server"],
  [/switch|router|network|firewall|access|modem/, "network"],
  [/storage|nas|disk|array|tape/, "storage"],
  [/power|ups|pdu|battery|socket/, "power"],
  [/patch|cabl|panel|fibre|fiber/, "cabling"],
  [/shelf|drawer|tray/, "shelf"],
  [/cool|fan|air/, "cooling"],
  [/blank|filler/, "blank"],
];
const categoryOf = ({ category, shelf }) => CATEGORIES.find(([words]) => words.test(category.toLowerCase()))?.[1] ?? (shelf ? "shelf" : "other");

const views = new Map(); // by rack: { node, faces: { front: { svg, devices: Map, … } } }

/// Draws these racks, or all that are shown.
function draw(racks = state.shown) {
  for (const rack of racks) {
    const plan = state.plans.get(rack);
    if (plan && state.shown.includes(rack)) drawRack(plan);
  }
  drawTray();
  if (state.selected != null) showPanel();
}

/// Brings the racks on the page into their order; those that are not shown any more leave it.
function arrange() {
  for (const [rack, view] of views) {
    if (state.shown.includes(rack)) continue;
    view.node.remove();
    views.delete(rack);
  }
  let before = null;
  for (const rack of state.shown) {
    const node = views.get(rack)?.node;
    if (!node) continue;
    const next = before ? before.nextElementSibling : byId("racks").firstElementChild;
    if (next !== node) byId("racks").insertBefore(node, next);
    before = node;
  }
  const none = byId("no-racks");
  none.hidden = state.shown.length > 0;
  text(none, state.racks.size > 0 ? "No rack is shown. Choose one above."
    : mayEdit() ? "There are no racks yet. Make the first one with New, Rack…" : "There are no racks yet.");
}

/// Sides that are drawn: those that somebody wants to see, or both for printing.
let printing = false;
const drawnFaces = () => (printing ? ["front", "rear"] : facesShown());

function drawRack(plan) {
  const { rack } = plan;
  let view = views.get(rack.id);
  if (!view) {
    view = { node: rackNode(rack), faces: {}, beside: -1, units: 0 };
    views.set(rack.id, view);
    arrange();
  }
  const beside = lanes(plan);
  // What the frame consists of seldom changes; then all of it is made anew.
  if (view.units !== rack.units || view.beside !== beside.size) {
    for (const face of Object.values(view.faces)) face.figure.remove();
    Object.assign(view, { faces: {}, units: rack.units, beside: beside.size });
  }
  for (const face of ["front", "rear"]) {
    const wanted = drawnFaces().includes(face);
    if (!wanted && view.faces[face]) {
      view.faces[face].figure.remove();
      delete view.faces[face];
    }
    if (!wanted) continue;
    view.faces[face] ??= faceOf(view, rack, face, beside.size);
    drawFace(view.faces[face], plan, face, beside);
  }
  const [front, rear] = [view.faces.front?.figure, view.faces.rear?.figure];
  if (front && rear && front.nextElementSibling !== rear) front.after(rear);
  drawHead(view, plan);
}

/// Which lane beside the units each device without height has.
function lanes({ items }) {
  const without = [...items.values()].filter(({ device, kind }) => device.place?.at === "units" && kind.halves === 0);
  without.sort((one, two) => one.device.id - two.device.id);
  return new Map(without.map(({ device }, lane) => [device.id, lane]));
}

// ---- the frame

const widthOf = (besides) => INNER_LEFT + INSIDE + RAIL + HEAT + 4 + besides * BESIDE;
const heightOf = (units) => units * UNIT + 2 * EDGE;
const yOf = (units, bottom, halves) => EDGE + ((units * 2 - bottom - halves) * UNIT) / 2;

function faceOf(view, rack, face, besides) {
  const [width, height] = [widthOf(besides), heightOf(rack.units)];
  const lines = Array.from({ length: rack.units + 1 }, (_, unit) => `M${INNER_LEFT} ${EDGE + unit * UNIT}h${INSIDE}`).join("");
  const numbers = Array.from({ length: rack.units }, (_, unit) =>
    shape("text", { class: "number", x: NUMBERS - 5, y: yOf(rack.units, unit * 2, 2) + UNIT / 2 + 4, "text-anchor": "end" }, String(unit + 1)));
  const [heat, devices, over] = [shape("g", { class: "heat" }), shape("g", { class: "devices" }), shape("g", { class: "over" })];
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "data-face": face, "data-rack": rack.id },
    shape("g", { class: "frame", "aria-hidden": "true" },
      shape("rect", { class: "inside", x: INNER_LEFT, y: EDGE, width: INSIDE, height: rack.units * UNIT }),
      shape("path", { class: "lines", d: lines }),
      shape("rect", { class: "rail", x: NUMBERS, y: EDGE - 3, width: RAIL, height: rack.units * UNIT + 6, rx: 2 }),
      shape("rect", { class: "rail", x: INNER_LEFT + INSIDE, y: EDGE - 3, width: RAIL, height: rack.units * UNIT + 6, rx: 2 }),
      ...numbers),
    heat, devices, over);
  const figure = element("figure", { class: "face" }, element("figcaption", {}, capital(faceWords[face])), svg);
  view.node.querySelector(".faces").append(figure);
  return { figure, svg, heat, layer: devices, over, devices: new Map(), levels: new Map() };
}

function drawFace(view, plan, face, beside) {
  view.svg.setAttribute("aria-label", `${plan.rack.name}, ${faceWords[face]}, ${count(plan.rack.units, "unit")}`);
  drawHeat(view, plan);
  const faulty = new Set(plan.conflicts.map(({ device }) => device));
  const seen = new Set();
  let last = null;
  for (const item of inOrder(plan)) {
    const box = drawnBox(plan, item, face, beside);
    if (!box) continue;
    const id = item.device.id;
    seen.add(id);
    const known = view.devices.get(id);
    const key = keyOf(item, box, faulty.has(id));
    let node = known?.node;
    if (known?.key !== key) {
      const made = deviceNode(item, box, faulty.has(id));
      if (node) {
        const focused = document.activeElement === node;
        node.replaceWith(made);
        if (focused) made.focus({ preventScroll: true });
      }
      node = made;
      view.devices.set(id, { node, key });
    }
    // A node that is where it belongs is not touched: moving it would take the focus from it.
    const next = last ? last.nextSibling : view.layer.firstChild;
    if (next !== node) view.layer.insertBefore(node, next);
    last = node;
  }
  for (const [id, { node }] of view.devices) {
    if (seen.has(id)) continue;
    node.remove();
    view.devices.delete(id);
  }
  rove(view);
}

/// One device of a picture is reached by Tab, the others by arrows.
function rove(view, to = null) {
  const nodes = [...view.layer.children];
  const current = to ?? nodes.find((node) => node.tabIndex === 0) ?? nodes[0];
  for (const node of nodes) if ((node.tabIndex === 0) !== (node === current)) node.setAttribute("tabindex", node === current ? 0 : -1);
}

/// Devices from the top to the bottom; what stands on a shelf comes after it, so that it is drawn above.
function inOrder({ items }) {
  const at = ({ device: { place } }) => (place.at === "units" ? place : { ...items.get(place.shelf)?.device.place, left: place.left });
  const order = (item) => {
    const { bottom = 0, face = "front" } = at(item);
    return [-bottom, item.device.place.at === "shelf" ? 1 : 0, face === "front" ? 0 : 1, item.device.place.left];
  };
  const placed = [...items.values()].filter(({ device }) => device.place).map((item) => [order(item), item]);
  placed.sort(([one], [two]) => one.map((value, index) => value - two[index]).find((difference) => difference !== 0) ?? 0);
  return placed.map(([, item]) => item);
}

/// Where a device is drawn when a rack is seen from `face`: `{ x, y, width, height, behind }`; null if it is not seen.
function drawnBox({ rack, items }, item, face, beside) {
  const { id } = item.device;
  if (beside.has(id)) {
    return { x: INNER_LEFT + INSIDE + RAIL + HEAT + 4 + beside.get(id) * BESIDE, y: EDGE, width: BESIDE - 3, height: rack.units * UNIT, upright: true };
  }
  const box = boxOf(items, item);
  if (!box || (box.face !== face && !box.full)) return null;
  const seen = box.face === face ? box : turned(box);
  return {
    x: INNER_LEFT + seen.left * COLUMN, y: yOf(rack.units, seen.bottom, seen.halves) + 0.5,
    width: seen.columns * COLUMN, height: (seen.halves * UNIT) / 2 - 1, behind: box.face !== face,
  };
}

function keyOf({ device, kind }, box, faulty) {
  return [box.x, box.y, box.width, box.height, box.behind, device.name, device.pinned, device.watts ?? kind.watts, kind.id, kind.version,
    state.pending.has(device.id), state.selected === device.id, faulty, state.logos.get(kind.manufacturer.toLowerCase()), mayEdit()].join("|");
}

// ---- a device

const CHARACTER = 6.4; // px: the width of one, nearly

/// As much of a name as there is room for.
const cut = (words, room) => (words.length * CHARACTER <= room ? words : `${words.slice(0, Math.max(1, Math.floor(room / CHARACTER) - 1))}…`);

function deviceNode(item, box, faulty) {
  const { device, kind } = item;
  const node = shape("g", {
    class: ["device", box.behind && "behind", kind.shelf && "shelf", faulty && "faulty", state.pending.has(device.id) && "waits"].filter(Boolean).join(" "),
    transform: `translate(${box.x} ${box.y})`, "data-id": device.id, "data-category": categoryOf(kind),
    role: "button", tabindex: -1, "aria-pressed": String(state.selected === device.id),
  }, shape("title", {}, deviceWords(item, box.behind, faulty)));
  if (box.upright) return uprightNode(node, device, box);
  if (kind.shelf) return shelfNode(node, device, box);
  node.append(shape("rect", { class: "body", width: box.width, height: box.height, rx: 2 }),
    shape("rect", { class: "mark", width: 4, height: box.height, rx: 1 }));
  const power = box.width >= 100 && wattsOf(item) > 0 ? watts(wattsOf(item)) : "";
  const small = box.height < 14;
  const middle = box.height / 2 + (small ? 3 : 4);
  let left = 9;
  const logo = box.width >= 120 && !small ? state.logos.get(kind.manufacturer.toLowerCase()) : null;
  if (logo) {
    node.append(shape("image", { class: "logo", href: logo, x: left, y: box.height / 2 - 7, width: 40, height: 14, preserveAspectRatio: "xMinYMid meet" }));
    left += 45;
  }
  const room = box.width - left - 5 - (power ? power.length * CHARACTER + 8 : 0) - (device.pinned ? 12 : 0);
  node.append(shape("text", { class: small ? "name small" : "name", x: left, y: middle }, cut(device.name, room)));
  if (power) node.append(shape("text", { class: "watts", x: box.width - 6, y: middle, "text-anchor": "end" }, power));
  if (device.pinned) node.append(shape("circle", { class: "pin", cx: box.width - (power ? power.length * CHARACTER + 14 : 9), cy: box.height / 2, r: 3 }));
  return node;
}

/// A shelf is its board, and the room above it.
function shelfNode(node, device, box) {
  const board = Math.min(box.height, UNIT / 2 - 1);
  node.append(shape("rect", { class: "body", width: box.width, height: box.height, rx: 2 }),
    shape("rect", { class: "plate", y: box.height - board, width: box.width, height: board, rx: 1 }),
    shape("text", { class: "name small", x: 6, y: box.height - board / 2 + 3 }, cut(device.name, box.width - 12)));
  return node;
}

function uprightNode(node, device, box) {
  node.append(shape("rect", { class: "body", width: box.width, height: box.height, rx: 2 }),
    shape("text", { class: "name small", transform: `translate(9.5 ${box.height - 8}) rotate(-90)` }, cut(device.name, box.height - 16)));
  return node;
}

function deviceWords(item, behind, faulty) {
  const { device, kind } = item;
  const words = [device.name, `${kind.manufacturer} ${kind.model}`.trim(), placeWords(device.place, kind.halves), watts(wattsOf(item)), kilograms(kilogramsOf(item))];
  if (behind) words.push("seen from behind");
  if (device.pinned) words.push("pinned");
  if (faulty) words.push("does not fit");
  return words.join(", ");
}

// ---- heat

/// Steps of warmth above the air that goes in, in degrees; each has a colour.
const WARMTH = [2, 5, 9, 14, 20];

function drawHeat(view, { rack, thermal }) {
  const hottest = new Map((thermal?.levels ?? []).map((level) => [level.unit, level]));
  for (let unit = 1; unit <= rack.units; unit += 1) {
    const level = hottest.get(unit);
    const warmth = level ? WARMTH.filter((step) => level.celsius - rack.inlet_celsius >= step).length : 0;
    const words = level ? `Unit ${unit}: ${celsius(level.celsius)}, ${watts(level.watts)}${level.hot ? ", hot" : ""}` : "";
    const key = `${warmth} ${level?.hot} ${words}`;
    const known = view.levels.get(unit);
    if (known?.key === key) continue;
    known?.node.remove();
    const y = yOf(rack.units, (unit - 1) * 2, 2);
    const x = INNER_LEFT + INSIDE + RAIL + 1;
    const node = shape("g", { class: "level", "data-warmth": warmth, "aria-hidden": "true" }, words && shape("title", {}, words),
      shape("rect", { x, y, width: HEAT, height: UNIT }),
      level?.hot ? shape("path", { class: "hot", d: `M${x + HEAT / 2} ${y + 6}l4 9h-8z` }) : null);
    view.heat.append(node);
    view.levels.set(unit, { node, key });
  }
}

// ---- where something that is carried would be

/// Shows the place that something carried would have, and whether it fits there; null for none.
function drawTarget(rack, face, box, fits) {
  for (const { faces } of views.values()) for (const { over } of Object.values(faces)) over.replaceChildren();
  const view = views.get(rack)?.faces[face];
  if (!view || !box) return;
  const cross = fits ? null : shape("path", { class: "cross", d: `M${box.x + box.width - 16} ${box.y + box.height / 2 - 5}l10 10m0-10l-10 10` });
  view.over.append(shape("rect", { class: "target", "data-fits": String(fits), x: box.x, y: box.y, width: box.width, height: box.height, rx: 2 }), ...(cross ? [cross] : []));
}
