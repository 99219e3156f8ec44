// What is carried, by mouse, finger or keys: where it would be, what stands against that, and what becomes of it when it is put down.
"use strict";

let carried = null; // { item, by, place, face, said }: `place` is undefined over nothing, null over the tray

/// Takes up a device; false if that is not possible now.
function pickUp(id, by) {
  const item = itemOf(id);
  if (!item || carried || !mayEdit() || state.pending.has(id)) return false;
  carried = { item, by, place: undefined, face: null, said: "" };
  document.body.dataset.carrying = by;
  for (const node of nodesOf(id)) node.classList.add("lifted");
  return true;
}

/// All that shows a device on the page.
const nodesOf = (id) => document.querySelectorAll(`.device[data-id="${id}"]`);

/// Shows what is carried at `place`, seen from `face`; returns what stands against it.
function carryTo(place, face) {
  if (carried.place !== undefined && same([carried.place, carried.face], [place, face])) return carried.against;
  Object.assign(carried, { place, face, against: [] });
  byId("tray").classList.toggle("target", place === null);
  if (!place) {
    drawTarget(null);
    return carried.against;
  }
  const plan = state.plans.get(place.rack);
  carried.against = plan.items.get(carried.item.device.id)?.device.place && same(plan.items.get(carried.item.device.id).device.place, place)
    ? [] : against(plan, carried.item, place);
  drawTarget(place.rack, face, targetBox(plan, carried.item, place, face), carried.against.length === 0);
  return carried.against;
}

/// Where a device would be drawn at another place.
function targetBox(plan, item, place, face) {
  const moved = { ...item, device: { ...item.device, place } };
  const beside = item.kind.halves === 0 ? new Map([[item.device.id, 0]]) : new Map();
  const box = drawnBox(plan, moved, face, beside);
  // Beside the units there is no lane yet: the strip of temperatures is where it begins.
  return item.kind.halves === 0 ? { ...box, x: box.x - HEAT, width: HEAT } : box;
}

/// Says where it is and what stands against that.
function sayCarried() {
  const { item, place, against: found } = carried;
  const where = place === undefined ? "Nowhere" : capital(placeWords(place, item.kind.halves));
  const words = `${where}. ${place === undefined ? "" : found.length > 0 ? `Does not fit: ${found.join(" ")}` : "Fits."}`;
  if (words !== carried.said) say(words);
  carried.said = words;
}

/// Ends the carrying; nothing has moved.
function letGo() {
  const { item } = carried;
  carried = null;
  delete document.body.dataset.carrying;
  byId("tray").classList.remove("target");
  drawTarget(null);
  for (const node of nodesOf(item.device.id)) node.classList.remove("lifted");
  return item;
}

/// Puts it down where it is.
async function putDown() {
  const { place, against: found } = carried;
  const { device } = letGo();
  if (place === undefined) return say(`${device.name} stays where it was.`);
  if (found?.length > 0) return note(`${device.name} stays where it was:`, { is: "bad", more: found });
  return move(device.id, place);
}

/// The place in a face's picture whose upper left corner is nearest to x and y; `fine` for halves of units.
function placeAt(plan, face, item, { x, y, fine, pointer }) {
  const { rack, items } = plan;
  const { kind, device } = item;
  if (kind.halves === 0) return { at: "units", rack: rack.id, face, bottom: 0, left: 0 };
  const shelf = kind.shelf ? null : shelfAt(plan, face, pointer, device.id);
  const nearest = (value, step, most) => Math.max(0, Math.min(most, Math.round(value / step) * step));
  const column = (x - INNER_LEFT) / COLUMN;
  if (shelf) {
    const room = Math.max(0, items.get(shelf).kind.columns - kind.columns);
    return { at: "shelf", rack: rack.id, shelf, left: nearest(column - items.get(shelf).device.place.left, 1, room) };
  }
  const room = Math.max(0, rack.units * 2 - kind.halves);
  const bottom = nearest(room - (y - EDGE) / (UNIT / 2), fine ? 1 : stepUp(kind.halves), room);
  return { at: "units", rack: rack.id, face, bottom, left: nearest(column, stepAcross(kind.columns), COLUMNS - kind.columns) };
}

/// The shelf below a point of a face's picture, if there is one.
function shelfAt(plan, face, pointer, but) {
  for (const item of plan.items.values()) {
    if (!item.kind.shelf || item.device.id === but || item.device.place?.face !== face) continue;
    const box = drawnBox(plan, item, face, new Map());
    if (box && pointer.x >= box.x && pointer.x < box.x + box.width && pointer.y >= box.y && pointer.y < box.y + box.height) return item.device.id;
  }
  return null;
}
