// What is made and changed in dialogs: racks, devices and kinds of devices, one by one or from files.
"use strict";

// ---- racks

const RACK_FIELDS = [
  { name: "name", label: "Name", needed: true, most: 100 },
  { name: "location", label: "Where it is", most: 200 },
  { name: "units", label: "Height in units", type: "number", min: 1, max: 100, step: 1, needed: true },
  { name: "watts", label: "Power that it has, W", type: "number", min: 0, placeholder: "not limited" },
  { name: "kilograms", label: "Weight that it bears, kg", type: "number", min: 0, placeholder: "not limited" },
  { name: "inlet_celsius", label: "Air at its front, °C", type: "number", needed: true },
  { name: "notes", label: "Notes", type: "textarea" },
];

function rackDialog(rack = null) {
  formDialog(rack ? `Edit ${rack.name}` : "New rack", RACK_FIELDS, rack ?? { units: 42, inlet_celsius: 22 }, {
    submit: rack ? "Save" : "Make",
    act: async (fields) => {
      const answer = await (rack ? ask("PUT", `api/racks/${rack.id}`, { version: rack.version, ...fields }) : ask("POST", "api/racks", fields));
      if (!answer.ok) {
        if (answer.status !== 409 || answer.body.now == null) return answer;
        await explain(answer, `${rack.name} was not changed`);
        return null;
      }
      await loadRacks();
      await showRack(answer.body.id, true);
      note(rack ? `${answer.body.name} is saved.` : `${answer.body.name} is made.`);
      return null;
    },
  });
}

async function deleteRack(id) {
  const { name, version } = state.racks.get(id);
  const { items } = state.plans.get(id);
  if (items.size > 0) return note(`${name} is not empty: ${count(items.size, "device")} in it. Take them out first, or delete them.`, { is: "bad" });
  if (!(await askDialog("Delete a rack", `Delete ${name}? This cannot be undone.`, "Delete"))) return;
  const answer = await ask("DELETE", `api/racks/${id}?version=${version}`);
  if (!answer.ok) return explain(answer, `${name} was not deleted`);
  note(`${name} is deleted.`);
  await refresh();
}

// ---- kinds

const AIRFLOWS = ["passive", "front-to-rear", "rear-to-front", "left-to-right", "right-to-left", "side-to-rear", "rear-to-side", "bottom-to-top", "top-to-bottom", "mixed"];

const KIND_FIELDS = [
  { name: "manufacturer", label: "Manufacturer", needed: true, most: 100 },
  { name: "model", label: "Model", needed: true, most: 100 },
  { name: "category", label: "What it is for", most: 50, list: ["server", "switch", "router", "storage", "power", "patch panel", "shelf", "cooling", "blank"] },
  { name: "height", label: "Height in units", type: "number", min: 0, max: 100, step: 0.5, needed: true, hint: "Halves, too. 0 for what hangs beside the units." },
  { name: "columns", label: "Width", type: "select", choices: [12, 6, 4, 3, 2].map((columns) => [String(columns), capital(widthWords(columns))]) },
  { name: "full_depth", label: "Needs the whole depth", type: "checkbox" },
  { name: "shelf", label: "Other devices stand on it", type: "checkbox" },
  { name: "watts", label: "Power at most, W", type: "number", min: 0 },
  { name: "kilograms", label: "Weight, kg", type: "number", min: 0 },
  { name: "airflow", label: "Air goes", type: "select", choices: AIRFLOWS.map((way) => [way, way === "passive" ? "nowhere: no fan" : way.replaceAll("-", " ")]) },
];

function kindDialog(kind = null, then = () => {}) {
  // A width that none of the choices has stays as it is.
  const odd = kind && !KIND_FIELDS[4].choices.some(([columns]) => columns === String(kind.columns));
  const fields = odd ? KIND_FIELDS.with(4, { ...KIND_FIELDS[4], choices: [...KIND_FIELDS[4].choices, [String(kind.columns), capital(widthWords(kind.columns))]] }) : KIND_FIELDS;
  const values = kind ? { ...kind, height: kind.halves / 2, columns: String(kind.columns) } : { height: 1, columns: "12", full_depth: true, airflow: "front-to-rear" };
  formDialog(kind ? `Edit ${kind.model}` : "New kind of device", fields, values, {
    submit: kind ? "Save" : "Make",
    act: async ({ height, columns, watts: power, kilograms: weight, ...rest }) => {
      const typed = { ...rest, halves: Math.round(height * 2), columns: Number(columns), watts: power ?? 0, kilograms: weight ?? 0 };
      const answer = await (kind ? ask("PUT", `api/kinds/${kind.id}`, { version: kind.version, ...typed }) : ask("POST", "api/kinds", typed));
      if (!answer.ok) return answer;
      state.kinds.set(answer.body.id, answer.body);
      note(`${answer.body.manufacturer} ${answer.body.model} is saved.`);
      if (kind) await refresh();
      then(answer.body);
      return null;
    },
  });
}

const kindWords = (kind) => `${kind.manufacturer} ${kind.model}`.trim();
const kindFacts = (kind) => [kind.category, heightWords(kind.halves), kind.columns < COLUMNS ? widthWords(kind.columns) : null, watts(kind.watts)].filter(Boolean).join(" · ");

async function findKinds(q) {
  const { ok, items } = await page("api/kinds", { q, limit: 30 });
  if (!ok) return null;
  for (const kind of items) state.kinds.set(kind.id, kind);
  return items.map((kind) => ({ words: kindWords(kind), more: kindFacts(kind), value: kind.id }));
}

/// All kinds, to look through, edit and delete.
function kindsDialog() {
  const list = element("ul", { class: "rows" });
  const more = button("Show more", () => load(true), { class: "plain", hidden: true });
  const words = element("input", { type: "search", placeholder: "Search", "aria-label": "Search kinds" });
  let next = null;
  async function load(further) {
    const answer = await page("api/kinds", { q: words.value.trim(), limit: 50, after: further ? next : null });
    if (!further) list.replaceChildren();
    next = answer.next;
    list.append(...answer.items.map(row));
    more.hidden = next == null;
    if (list.children.length === 0) list.append(element("li", { class: "quiet" }, answer.ok ? "Nothing was found" : "The planner did not answer"));
  }
  const row = (kind) => element("li", {}, element("div", {}, element("b", {}, kindWords(kind)), element("small", { class: "quiet" }, kindFacts(kind))),
    mayEdit() && !kind.built_in ? button("Edit…", () => kindDialog(kind, () => load(false)), { "aria-label": `Edit ${kindWords(kind)}` }) : null,
    mayEdit() && !kind.built_in ? button("Delete", () => remove(kind), { class: "bad", "aria-label": `Delete ${kindWords(kind)}` }) : null);
  async function remove(kind) {
    const answer = await ask("DELETE", `api/kinds/${kind.id}?version=${kind.version}`);
    if (!answer.ok) return explain(answer, `${kindWords(kind)} was not deleted`);
    await load(false);
  }
  words.addEventListener("input", () => load(false));
  openDialog("Kinds of devices", element("div", {}, words, list, more), { wide: true });
  load(false);
}

// ---- devices

function deviceDialog(kind = null) {
  const places = [["", "Not placed yet"], ...state.shown.map((id) => [String(id), `${state.racks.get(id).name}, lowest free place`])];
  const chosen = kind && { words: kindWords(kind), value: kind.id };
  let form = null;
  const suggest = (id) => {
    const { model, watts: power, kilograms: weight } = state.kinds.get(id);
    const { control } = form.field("name");
    if (!control.value) control.value = model.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
    form.field("watts").control.placeholder = `${digits(power, 1)}, as its kind`;
    form.field("kilograms").control.placeholder = `${digits(weight, 2)}, as its kind`;
  };
  form = formDialog("New device", [
    { name: "kind", label: "Kind", type: "choice", find: findKinds, chosen: suggest, needed: true, placeholder: "Type to search" },
    ...deviceFields(null),
    { name: "count", label: "How many", type: "number", min: 1, max: 50, step: 1, needed: true },
    { name: "where", label: "Place", type: "select", choices: places },
  ], { kind: chosen, count: 1 }, {
    submit: "Make",
    act: async ({ count: wanted, where, tags, kind: kindId, ...typed }) => {
      if (kindId == null) return { status: 422, body: { error: "invalid", field: "kind", details: "choose one of the list" } };
      const made = [];
      let fields = { ...typed, kind: kindId, tags: tagsOf(tags) };
      for (let number = 0; number < wanted; number += 1) {
        const answer = await addDevice(fields, where ? freePlace(Number(where), fields) : null);
        if (!answer.ok && made.length === 0) return answer;
        if (!answer.ok) {
          await explain(answer, `Only ${count(made.length, "device")} of ${wanted} were made`);
          break;
        }
        made.push(answer.body);
        fields = { ...fields, name: nextName(fields.name) };
      }
      remembers(made.length > 1 ? `${made.length} devices made` : `${made[0].name} made`, made.map((device) => ({ id: device.id, before: null, after: snapshot(device) })));
      note(made.length > 1 ? `${made.length} devices are made.` : `${made[0].name} is made${made[0].place ? "" : ". It is not placed yet"}.`);
      select(made[0].id);
      return null;
    },
  });
  const other = button("New kind…", () => kindDialog(null, (made) => {
    form.node.closest("dialog").close();
    deviceDialog(made);
  }), { class: "plain" });
  form.field("kind").node.append(other);
}

/// The lowest free place of a rack; none if it is full, so that the device is at least there.
function freePlace(rack, fields) {
  const item = { device: { id: -1, ...fields }, kind: state.kinds.get(fields.kind) };
  return firstPlace(state.plans.get(rack), item, facesShown()[0]);
}

// ---- files

function importDialog(what) {
  const [title, path, words] = {
    kinds: ["Kinds from a file", "api/kinds/import", "A YAML file with one or more kinds, as the Device-Type Library has them."],
    rack: ["Rack from a file", "api/racks/import", "A YAML file that was saved from a rack."],
  }[what];
  formDialog(title, [{ name: "file", label: "File", type: "file", accept: ".yaml,.yml", needed: true }], {}, {
    submit: "Read",
    before: element("p", { class: "quiet" }, words),
    act: async ({ file }) => {
      const answer = await ask("POST", path, new Blob([file], { type: "application/yaml" }));
      if (!answer.ok) return answer;
      if (what === "kinds") tellImport(answer.body);
      else await showImported(answer.body);
      return null;
    },
  });
}

function tellImport({ created = 0, changed = 0, same: known = 0, warnings = [] }) {
  const more = warnings.slice(0, 8).map((warning) => (typeof warning === "string" ? warning : `${warning.line ? `Line ${warning.line}: ` : ""}${warning.what}`));
  note(`${count(created, "kind is new", "kinds are new")}, ${count(changed, "is changed", "are changed")}, ${count(known, "was known", "were known")}.`, { more });
}

async function showImported(body) {
  const rack = body.rack ?? body;
  await loadRacks();
  await loadTray();
  await showRack(rack.id, true);
  note(`${rack.name} is there.`, { more: (body.warnings ?? []).slice(0, 8).map((warning) => warning.what ?? String(warning)) });
}
