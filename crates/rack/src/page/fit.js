// Whether a device fits at a place, as far as this page can tell while somebody drags it. The planner decides.
"use strict";

const wattsOf = ({ device, kind }) => device.watts ?? kind.watts;
const kilogramsOf = ({ device, kind }) => device.kilograms ?? kind.kilograms;
const other = (face) => (face === "front" ? "rear" : "front");
const mirrored = (left, columns) => COLUMNS - left - columns;

/// Where an item is when seen from `face`: `{ bottom, halves, left, columns, face, full }`; null if it is not in units.
function boxOf(items, item, place = item.device.place) {
  const { kind } = item;
  if (!place) return null;
  if (place.at === "units") {
    return { bottom: place.bottom, halves: kind.halves, left: place.left, columns: kind.columns, face: place.face, full: kind.full_depth };
  }
  const shelf = items.get(place.shelf);
  if (shelf?.device.place?.at !== "units") return null;
  const { bottom, face, left } = shelf.device.place;
  return { bottom: bottom + boardOf(shelf), halves: kind.halves, left: left + place.left, columns: kind.columns, face, full: shelf.kind.full_depth };
}

/// The halves that the board of a shelf takes of its height; a very low one is nothing but board, on which things stand all the same.
const boardOf = ({ kind }) => (kind.halves > 1 ? 1 : 0);

/// The same box as seen from the other side.
const turned = (box) => ({ ...box, left: mirrored(box.left, box.columns) });

const overlap = (from, length, otherFrom, otherLength) => from < otherFrom + otherLength && otherFrom < from + length;

/// Whether two boxes want the same room: null, "occupied" or "depth".
function clash(one, two) {
  const seen = one.face === two.face ? two : turned(two);
  if (!overlap(one.bottom, one.halves, seen.bottom, seen.halves)) return null;
  if (!overlap(one.left, one.columns, seen.left, seen.columns)) return null;
  if (one.face === two.face) return "occupied";
  return one.full || two.full ? "depth" : null;
}

/// What stands against putting `item` at `place` of a rack's plan, a sentence each; whatever is on a moved shelf goes with it.
function against(plan, item, place) {
  const { rack, items } = plan;
  const { device, kind } = item;
  const others = [...items.values()].filter((one) => one.device.id !== device.id && one.device.place);
  const found = place.at === "shelf" ? againstShelf(items, others, item, place) : againstUnits(rack, items, others, item, place);
  const width = place.at === "shelf" ? items.get(place.shelf)?.kind.columns : COLUMNS;
  if (kind.columns + place.left > width) found.push(`${device.name} would stick out at the side.`);
  // A rack that has too much already may be rearranged, but gets no more.
  if (!items.has(device.id)) found.push(...againstLimits(rack, [...items.values(), item, ...onShelf(device.id)]));
  return found;
}

function againstUnits(rack, items, others, { device, kind }, place) {
  if (kind.halves === 0) return [];
  if (place.bottom < 0 || place.bottom + kind.halves > rack.units * 2) return [`${device.name} would stick out of ${rack.name}.`];
  const box = boxOf(items, { device, kind }, place);
  const found = [];
  for (const one of others) {
    // A device on a shelf is within its shelf's box.
    if (one.device.place.at !== "units" || one.kind.halves === 0) continue;
    const why = clash(box, boxOf(items, one));
    const where = unitWords(one.device.place.bottom, one.kind.halves);
    if (why === "occupied") found.push(`${one.device.name} is there (${where}).`);
    if (why === "depth") found.push(`${one.device.name} on the other side (${where}) needs the depth.`);
  }
  return found;
}

function againstShelf(items, others, { device, kind }, place) {
  const shelf = items.get(place.shelf);
  if (!shelf?.kind.shelf) return ["There is no shelf."];
  if (kind.shelf) return ["A shelf cannot stand on a shelf."];
  const found = [];
  if (kind.halves === 0 || kind.halves > shelf.kind.halves - boardOf(shelf)) found.push(`${device.name} is higher than the room on ${shelf.device.name}.`);
  for (const one of others) {
    const there = one.device.place;
    if (there.at !== "shelf" || there.shelf !== place.shelf) continue;
    if (overlap(place.left, kind.columns, there.left, one.kind.columns)) found.push(`${one.device.name} stands there on ${shelf.device.name}.`);
  }
  return found;
}

function againstLimits(rack, all) {
  const found = [];
  const total = (of) => all.reduce((sum, one) => sum + of(one), 0);
  const [power, weight] = [total(wattsOf), total(kilogramsOf)];
  if (rack.watts != null && power > rack.watts) found.push(`${rack.name} would take ${watts(power)}, and has ${watts(rack.watts)}.`);
  if (rack.kilograms != null && weight > rack.kilograms) found.push(`${rack.name} would carry ${kilograms(weight)}, and bears ${kilograms(rack.kilograms)}.`);
  return found;
}

/// The columns that something of this width snaps to: side by side is what people mean.
const stepAcross = (columns) => (COLUMNS % columns === 0 ? columns : 1);

/// The halves that something of this height snaps to: whole units, unless it is not made of them.
const stepUp = (halves) => (halves % 2 ? 1 : 2);

/// The lowest place in units of a rack where an item fits, looking from `face`; null if there is none.
function firstPlace(plan, item, face) {
  const { kind } = item;
  for (let bottom = 0; bottom + kind.halves <= plan.rack.units * 2; bottom += stepUp(kind.halves)) {
    for (let left = 0; left + kind.columns <= COLUMNS; left += stepAcross(kind.columns)) {
      const place = { at: "units", rack: plan.rack.id, face, bottom, left };
      if (against(plan, item, place).length === 0) return place;
    }
  }
  return null;
}
