// Undo and redo. A step is what was so before and what is so since, of one or several devices; it is taken back only
// where nobody else has changed the same since.
"use strict";

const MOST = 200; // steps
const done = [];
const undone = [];

/// Remembers a step: `{ words, parts }`. A part is `{ id, before, after }`, each of these `{ fields, place }`, or null where
/// there was no such device.
function remembers(words, parts) {
  done.push({ words, parts });
  if (done.length > MOST) done.shift();
  undone.length = 0;
  showHistory();
}

/// What people say of a device, as the planner takes it.
function fieldsOf({ name, kind, watts: power, kilograms: weight, pinned, notes, tags }) {
  return { name, kind, watts: power ?? null, kilograms: weight ?? null, pinned, notes, tags };
}

const snapshot = (device) => ({ fields: fieldsOf(device), place: device.place });

const undo = () => step(done, undone, "before", "after", "Undone");
const redo = () => step(undone, done, "after", "before", "Done again");

let stepping = false;

async function step(from, to, wanted, expected, words) {
  const entry = from.at(-1);
  if (!entry || stepping || !mayEdit()) return;
  stepping = true;
  try {
    const changed = await firstChanged(entry.parts, expected);
    from.pop();
    if (changed) {
      note(`${changed} was changed by somebody else since, so this cannot be taken back: ${entry.words}.`, { is: "bad" });
      return;
    }
    const answer = await bring(entry.parts, wanted);
    if (answer.ok) {
      to.push(entry);
      note(`${words}: ${entry.words}.`);
    } else {
      await explain(answer, `“${entry.words}” cannot be taken back`);
    }
  } finally {
    stepping = false;
    showHistory();
  }
}

/// The name of the first device that is not as expected any more.
async function firstChanged(parts, expected) {
  for (const part of parts) {
    const item = await freshItem(part.id);
    const is = item && snapshot(item.device);
    if (!same(is, part[expected])) return (part[expected] ?? part.before ?? part.after).fields.name;
  }
  return null;
}

/// A device as this page knows it; one that is not shown is asked for.
async function freshItem(id) {
  const known = itemOf(id);
  if (known) return known;
  const { ok, body } = await get(`api/devices/${id}`);
  if (!ok) return null;
  const kind = await kindOf(body.kind);
  return kind && { device: body, kind };
}

/// Brings devices into the state that is wanted; several moves go together, all or none.
async function bring(parts, wanted) {
  const moves = parts.filter((part) => part.before && part.after && !same(part.before.place, part.after.place));
  if (moves.length > 1 && moves.length === parts.length) return moveAll(moves.map((part) => [part.id, part[wanted].place]));
  let answer = { ok: true };
  for (const part of wanted === "before" ? parts.toReversed() : parts) {
    answer = await bringOne(part, wanted);
    if (!answer.ok) break;
  }
  return answer;
}

async function bringOne(part, wanted) {
  const [now, then] = [(await freshItem(part.id))?.device ?? null, part[wanted]];
  if (!then) return removeDevice(now);
  if (!now) {
    const answer = await addDevice(then.fields, then.place);
    // Numbers are never given again, so it has another one now, in all steps.
    if (answer.ok) renumber(part.id, answer.body.id);
    return answer;
  }
  if (!same(fieldsOf(now), then.fields)) {
    const answer = await sendFields(now, then.fields);
    if (!answer.ok || same(now.place, then.place)) return answer;
  }
  return sendPlace(part.id, then.place);
}

function renumber(before, after) {
  for (const { parts } of [...done, ...undone]) {
    for (const part of parts) {
      if (part.id === before) part.id = after;
      for (const one of [part.before, part.after]) if (one?.place?.shelf === before) one.place = { ...one.place, shelf: after };
    }
  }
}

function showHistory() {
  for (const [id, steps, verb] of [["undo", done, "Undo"], ["redo", undone, "Redo"]]) {
    byId(id).disabled = steps.length === 0;
    byId(id).title = steps.length > 0 ? `${verb}: ${steps.at(-1).words}` : "";
  }
}
