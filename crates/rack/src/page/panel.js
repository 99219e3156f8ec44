// The panel of the device that is chosen: all that can be seen and changed of it, and where it is.
"use strict";

let panel = { id: null, key: "", form: null, where: null };

/// Chooses a device, or none; `enter` gives the panel the focus.
function select(id, enter = false) {
  const before = state.selected;
  const touched = racksOf(itemOf(before)?.device.place, itemOf(id)?.device.place);
  state.selected = id;
  draw(touched);
  showPanel();
  if (id != null && enter) byId("panel").querySelector("h2").focus();
  if (id == null && before != null && (document.activeElement === document.body || byId("panel").contains(document.activeElement))) focusDevice(before);
}

function showPanel() {
  const node = byId("panel");
  const item = state.selected == null ? null : itemOf(state.selected);
  node.hidden = !item;
  document.body.toggleAttribute("data-panel", Boolean(item));
  if (!item) {
    panel = { id: null, key: "", form: null, where: null };
    return;
  }
  const { device, kind } = item;
  const key = JSON.stringify([device, kind.version, mayEdit(), state.shown, placeWords(device.place, kind.halves)]);
  if (panel.key === key) return;
  // What somebody is typing stays, even if the device has moved meanwhile: saving will tell if it was changed.
  if (panel.id === device.id && (panel.form?.dirty || panel.where?.dirty) && node.contains(document.activeElement)) return;
  const held = panel.id === device.id && node.contains(document.activeElement) ? document.activeElement.name : null;
  panel = { id: device.id, key, form: null, where: null };
  node.replaceChildren(...panelParts(item));
  if (held) node.querySelector(`[name="${held}"]`)?.focus();
}

function panelParts(item) {
  const { device, kind } = item;
  const facts = [`${kind.manufacturer} ${kind.model}`.trim(), heightWords(kind.halves), widthWords(kind.columns), kind.full_depth ? "full depth" : "half depth",
    kind.category, kind.airflow === "passive" ? null : `air ${kind.airflow.replaceAll("-", " ")}`];
  const head = element("header", {}, element("h2", { id: "panel-title", tabindex: -1 }, device.name), button("Close", () => select(null), { class: "plain" }));
  const about = element("p", { class: "quiet" }, facts.filter(Boolean).join(" · "));
  const power = element("p", {}, `${watts(wattsOf(item))} · ${kilograms(kilogramsOf(item))} · ${placeWords(device.place, kind.halves)}`);
  if (!mayEdit()) {
    const more = [device.pinned ? "Pinned: optimisation leaves it where it is." : null, device.notes || null, device.tags.length > 0 ? `Tags: ${device.tags.join(", ")}` : null];
    return [head, about, power, ...more.filter(Boolean).map((line) => element("p", {}, line))];
  }
  panel.form = formNode(deviceFields(kind), { ...device, tags: device.tags.join(", ") }, {
    submit: "Save",
    act: (typed) => saveDevice(device.id, typed),
    more: [button("Copy", () => copyDevice(device.id)), button("Delete", () => deleteDevice(device.id), { class: "bad" })],
  });
  panel.where = whereForm(item);
  return [head, about, power, element("h3", {}, "Place"), panel.where.node, element("h3", {}, "Facts"), panel.form.node];
}

/// The fields of a device, apart from its kind.
function deviceFields(kind) {
  return [
    { name: "name", label: "Name", needed: true, most: 100 },
    { name: "watts", label: "Power, W", type: "number", min: 0, placeholder: kind ? `${digits(kind.watts, 1)}, as its kind` : "as its kind" },
    { name: "kilograms", label: "Weight, kg", type: "number", min: 0, placeholder: kind ? `${digits(kind.kilograms, 2)}, as its kind` : "as its kind" },
    { name: "pinned", label: "Optimisation leaves it where it is", type: "checkbox" },
    { name: "notes", label: "Notes", type: "textarea" },
    { name: "tags", label: "Tags", hint: "With commas between them." },
  ];
}

const tagsOf = (words) => words.split(",").map((tag) => tag.trim()).filter(Boolean);

async function saveDevice(id, typed) {
  const { device } = itemOf(id);
  const before = snapshot(device);
  const fields = { ...typed, kind: device.kind, tags: tagsOf(typed.tags) };
  const answer = await sendFields(device, fields);
  if (!answer.ok) {
    if (answer.status !== 409 && answer.status !== 404) return answer;
    panel.form.dirty = false;
    panel.key = "";
    await explain(answer, `${device.name} was not changed`);
    return null;
  }
  panel.form.dirty = false;
  remembers(`${device.name} changed`, [{ id, before, after: snapshot(answer.body) }]);
  note(`${answer.body.name} is saved.`);
  showPanel();
  return null;
}

// ---- moving without dragging

function whereForm(item) {
  const { device, kind } = item;
  const { place } = device;
  const racks = state.shown.map((id) => state.plans.get(id)).filter(Boolean);
  const shelves = kind.shelf ? [] : racks.flatMap(({ items }) => [...items.values()].filter((one) => one.kind.shelf && kind.halves > 0 && kind.halves <= one.kind.halves - boardOf(one)));
  const choices = [["", "Not placed"], ...[...state.racks.values()].map((rack) => [`rack:${rack.id}`, rack.name]),
    ...shelves.map((one) => [`shelf:${one.device.id}`, `On ${one.device.name}`])];
  const fields = [{ name: "at", label: "In", type: "select", choices }];
  if (kind.halves > 0) {
    fields.push({ name: "unit", label: "Lowest unit", type: "number", min: 1, max: 100, step: kind.halves % 2 ? 0.5 : 1 },
      { name: "face", label: "Side", type: "select", choices: [["front", "Front"], ["rear", "Rear"]] });
  }
  if (kind.columns < COLUMNS) fields.push({ name: "left", label: "Columns from the left", type: "number", min: 0, max: COLUMNS - kind.columns, step: 1 });
  const values = {
    at: !place ? "" : place.at === "shelf" ? `shelf:${place.shelf}` : `rack:${place.rack}`,
    unit: place?.at === "units" ? place.bottom / 2 + 1 : 1, face: place?.face ?? "front", left: place?.left ?? 0,
  };
  const form = formNode(fields, values, { submit: "Move", act: (typed) => moveByForm(device.id, typed) });
  form.node.classList.add("places");
  return form;
}

async function moveByForm(id, { at, unit, face, left }) {
  const [what, number] = at.split(":");
  const place = !what ? null
    : what === "shelf" ? { at: "shelf", rack: itemOf(Number(number)).device.place.rack, shelf: Number(number), left: left ?? 0 }
      : { at: "units", rack: Number(number), face: face ?? "front", bottom: unit == null ? 0 : Math.round((unit - 1) * 2), left: left ?? 0 };
  panel.where.dirty = false;
  if (place) await showRack(place.rack);
  await move(id, place);
  return null;
}
