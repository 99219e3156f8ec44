// Changes: shown at once, sent to the planner, and taken back with its reasons where it refuses.
"use strict";

/// Runs a question about these devices, during which they are marked and answers from before do not count.
async function pending(ids, question) {
  for (const id of ids) state.pending.add(id);
  state.changes += 1;
  showLink();
  const answer = await question();
  for (const id of ids) state.pending.delete(id);
  state.changes += 1;
  showLink();
  return answer;
}

/// Says why something was refused, in the words of the planner; what somebody else has changed is loaded anew.
async function explain(answer, what) {
  const conflicts = sentences(answer.body);
  if (conflicts.length > 0) {
    note(`${what}:`, { is: "bad", more: conflicts });
  } else if (answer.status === 409 && answer.body?.now != null) {
    note(`${what}, because somebody else has changed it meanwhile. You see now what it has become.`, { is: "bad" });
    await refresh();
  } else if (answer.status === 404) {
    note(`${what}, because somebody else has deleted it meanwhile.`, { is: "bad" });
    await refresh();
  } else {
    note(`${what}. ${refusal(answer)}`, { is: "bad" });
  }
}

/// Draws racks anew and asks what has become of their heat and limits.
async function settle(racks) {
  const known = [...racks].filter((rack) => state.plans.has(rack));
  draw(known);
  await Promise.all(known.map((rack) => loadPlan(rack)));
  draw(known);
}

const racksOf = (...places) => new Set(places.filter(Boolean).map(({ rack }) => rack));

// ---- moves

/// Moves a device because somebody wants it there; the planner may refuse.
async function move(id, place) {
  const { device, kind } = itemOf(id);
  const before = snapshot(device);
  if (same(device.place, place)) return say(`${device.name} stays where it is.`);
  const answer = await sendPlace(id, place);
  if (!answer.ok) return explain(answer, `${device.name} stays where it was`);
  const words = `${device.name} to ${placeWords(place, kind.halves)}`;
  remembers(words, [{ id, before, after: { ...before, place } }]);
  say(`Moved: ${words}.`);
}

/// Asks for a move, which is shown meanwhile.
async function sendPlace(id, place) {
  const item = await freshItem(id);
  if (!item) return { ok: false, status: 404, body: { error: "no such device" } };
  const { device } = item;
  const touched = racksOf(device.place, place);
  putItem({ ...item, device: { ...device, place } });
  const question = pending([id], () => ask("PUT", `api/devices/${id}/place`, { version: device.version, place }));
  draw(touched);
  const answer = await question;
  if (answer.ok) await putDevice(answer.body);
  else if (itemOf(id)) putItem(item);
  if (answer.ok) settle(touched);
  else draw(touched);
  return answer;
}

/// Moves several devices, all or none: `[[id, place], …]`.
async function moveAll(pairs) {
  const moves = [];
  for (const [id, place] of pairs) {
    const item = await freshItem(id);
    if (!item) return { ok: false, status: 404, body: { error: "no such device" } };
    moves.push({ device: id, version: item.device.version, place });
  }
  const touched = racksOf(...moves.flatMap(({ device, place }) => [itemOf(device)?.device.place, place]));
  const answer = await pending(moves.map(({ device }) => device), () => ask("POST", "api/moves", { moves }));
  if (answer.ok) await settle(touched);
  return answer;
}

// ---- devices

async function addDevice(fields, place) {
  const answer = await pending([], () => ask("POST", "api/devices", { ...fields, place: place ?? null }));
  if (answer.ok) {
    const touched = await putDevice(answer.body);
    await settle(touched);
  }
  return answer;
}

async function removeDevice(device) {
  if (!device) return { ok: true };
  const answer = await pending([device.id], () => ask("DELETE", `api/devices/${device.id}?version=${device.version}`));
  if (answer.ok) {
    const touched = dropItem(device.id);
    showPanel();
    await settle(touched);
  }
  return answer;
}

async function sendFields(device, fields) {
  const answer = await pending([device.id], () => ask("PUT", `api/devices/${device.id}`, { version: device.version, ...fields }));
  if (answer.ok) await settle(await putDevice(answer.body));
  return answer;
}

/// Deletes a device; what stands on a shelf has to leave it first.
async function deleteDevice(id) {
  const { device } = itemOf(id);
  const before = snapshot(device);
  const answer = await removeDevice(device);
  if (!answer.ok) return explain(answer, `${device.name} was not deleted`);
  remembers(`${device.name} deleted`, [{ id, before, after: null }]);
  note(`${device.name} is deleted.`, { action: ["Undo", undo] });
}

/// Makes another device of the same kind, which is not placed yet.
async function copyDevice(id) {
  const { device } = itemOf(id);
  const fields = { ...fieldsOf(device), name: freeName(device.name) };
  const answer = await addDevice(fields, null);
  if (!answer.ok) return explain(answer, `${device.name} was not copied`);
  const made = answer.body;
  remembers(`${made.name} made`, [{ id: made.id, before: null, after: snapshot(made) }]);
  note(`${made.name} is made. It is not placed yet.`);
  select(made.id);
}

/// The next name that no device has, of those that are known here.
function freeName(name) {
  const all = [...state.tray.values(), ...[...state.plans.values()].flatMap(({ items }) => [...items.values()])];
  const taken = new Set(all.map(({ device }) => device.name));
  let next = nextName(name);
  while (taken.has(next)) next = nextName(next);
  return next;
}

/// web-9 → web-10; what has no number gets one.
function nextName(name) {
  const numbered = /^(.*?)(\d+)$/.exec(name);
  return numbered ? numbered[1] + String(Number(numbered[2]) + 1).padStart(numbered[2].length, "0") : `${name} 2`;
}
