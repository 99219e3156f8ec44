// What stands above each rack's picture: its name, how full, how warm and how heavy it is, and what can be done with it.
"use strict";

function rackNode(rack) {
  const act = (what) => () => RACK_ACTS[what](rack.id);
  const links = [["SVG", "svg"], ["PNG", "png"], ["PDF", "pdf"], ["YAML", "yaml"], ["CSV", "csv"]].map(([words, kind]) =>
    element("a", { href: `api/racks/${rack.id}/export.${kind}?face=both`, download: true }, words));
  return element("section", { class: "rack", "data-rack": rack.id, "aria-labelledby": `rack-${rack.id}` },
    element("header", {},
      element("div", {}, element("h2", { id: `rack-${rack.id}` }), element("p", { class: "where quiet" })),
      element("details", { class: "menu" },
        element("summary", { "aria-label": "What can be done with this rack" }, "Rack"),
        element("div", {},
          button("Edit…", act("edit"), { class: "edit" }), button("Optimise…", act("optimise"), { class: "edit" }),
          button("Heat…", act("heat")), button("Print…", act("print")),
          element("p", { class: "quiet" }, "Save as"), element("div", { class: "exports" }, links),
          button("Delete", act("delete"), { class: "edit bad" })))),
    element("dl", { class: "sums" }, ["Units", "Power", "Weight", "Heat"].map((name) =>
      element("div", { "data-sum": name.toLowerCase() }, element("dt", {}, name), element("dd", {}, element("span"),
        name === "Heat" ? null : element("progress", { max: 1, value: 0, "aria-label": `${name} used`, hidden: true }))))),
    element("p", { class: "trouble", hidden: true }),
    element("div", { class: "faces" }));
}

const RACK_ACTS = {
  edit: (id) => rackDialog(state.racks.get(id)),
  optimise: (id) => optimiseDialog(id),
  heat: (id) => heatDialog(id),
  print: (id) => printRacks([id]),
  delete: (id) => deleteRack(id),
};

/// Halves of units in which there is something, on either side.
function usedHalves({ rack, items }) {
  const used = new Set();
  for (const { device, kind } of items.values()) {
    if (device.place?.at !== "units") continue;
    for (let half = 0; half < kind.halves; half += 1) used.add(device.place.bottom + half);
  }
  return Math.min(used.size, rack.units * 2);
}

function drawHead({ node }, plan) {
  const { rack, items, thermal } = plan;
  const all = [...items.values()];
  const total = (of) => all.reduce((sum, item) => sum + of(item), 0);
  text(node.querySelector("h2"), rack.name);
  text(node.querySelector(".where"), rack.location);
  const used = usedHalves(plan) / 2;
  sum(node, "units", `${digits(used, 1)} of ${rack.units} used`, used, rack.units, false);
  limited(node, "power", total(wattsOf), rack.watts, watts);
  limited(node, "weight", total(kilogramsOf), rack.kilograms, kilograms);
  const warm = thermal ? [`${digits(thermal.btu_per_hour)} BTU/h`, `${digits(thermal.airflow_m3_per_hour)} m³/h of air`,
    `out at ${celsius(thermal.exhaust_celsius)}`].join(" · ") : "–";
  sum(node, "heat", warm);
  drawTrouble(node, plan);
}

function limited(node, name, value, limit, words) {
  if (limit == null) return sum(node, name, words(value));
  sum(node, name, `${words(value).split(" ")[0]} of ${words(limit)}`, value, limit, value > limit);
}

function sum(node, name, words, value = null, most = 0, over = false) {
  const place = node.querySelector(`[data-sum="${name}"]`);
  text(place.querySelector("span"), words);
  const bar = place.querySelector("progress");
  if (!bar) return;
  bar.hidden = value == null;
  bar.value = most > 0 ? Math.min(1, (value ?? 0) / most) : 0;
  place.dataset.is = over ? "bad" : value / most > 0.9 ? "warn" : "good";
}

/// What does not fit, and where it is hot, in words.
function drawTrouble(node, { items, conflicts, thermal }) {
  const lines = conflicts.map(({ device, text: words }) => {
    const name = items.get(device)?.device.name;
    return name && !words.includes(name) ? `${name}: ${words}` : words;
  });
  const hot = (thermal?.levels ?? []).filter((level) => level.hot).map(({ unit }) => unit);
  if (hot.length > 0) lines.push(`Hot at ${ranges(hot)}.`);
  const place = node.querySelector(".trouble");
  text(place, [...new Set(lines)].slice(0, 4).join(" "));
  place.hidden = lines.length === 0;
}

/// 3, 4, 5, 9 → "units 3 to 5 and 9".
function ranges(units) {
  const runs = [];
  for (const unit of units.toSorted((one, two) => one - two)) {
    const last = runs.at(-1);
    if (last && unit === last[1] + 1) last[1] = unit;
    else runs.push([unit, unit]);
  }
  const words = runs.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`));
  const list = words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0];
  return `${units.length === 1 ? "unit" : "units"} ${list}`;
}

// ---- the tray and the choice of racks

const trayNodes = new Map();

function drawTray() {
  const list = byId("tray-list");
  let last = null;
  for (const item of state.tray.values()) {
    const { id, name } = item.device;
    const key = [name, item.kind.id, item.kind.version, wattsOf(item), state.pending.has(id), state.selected === id].join("|");
    let known = trayNodes.get(id);
    if (known?.key !== key) {
      const node = trayNode(item);
      const focused = known && known.node.contains(document.activeElement);
      known?.node.replaceWith(node);
      if (focused) node.firstElementChild.focus();
      known = { node, key };
      trayNodes.set(id, known);
    }
    const next = last ? last.nextElementSibling : list.firstElementChild;
    if (next !== known.node) list.insertBefore(known.node, next);
    last = known.node;
  }
  for (const [id, { node }] of trayNodes) {
    if (state.tray.has(id)) continue;
    node.remove();
    trayNodes.delete(id);
  }
  text(byId("tray-count"), state.tray.size > 0 ? `${state.tray.size}${state.trayNext != null ? " and more" : ""}` : "");
  const none = byId("tray-none");
  none.hidden = state.tray.size > 0;
  text(none, mayEdit() ? "Every device is in a rack. Drag one here to take it out." : "Every device is in a rack.");
  byId("tray-more").hidden = state.trayNext == null;
}

function trayNode(item) {
  const { device, kind } = item;
  const facts = [heightWords(kind.halves), kind.columns < COLUMNS ? widthWords(kind.columns) : null, watts(wattsOf(item))].filter(Boolean).join(" · ");
  return element("li", {}, element("button", {
    type: "button", class: state.pending.has(device.id) ? "device waits" : "device", "data-id": device.id, "data-category": categoryOf(kind),
    "aria-pressed": String(state.selected === device.id), title: deviceWords(item, false, false),
  }, element("b", {}, device.name), " ", element("span", { class: "quiet" }, facts)));
}

function drawChoice() {
  const chips = [...state.racks.values()].map((rack) => element("button", {
    type: "button", "data-rack": rack.id, "aria-pressed": String(state.shown.includes(rack.id)), onclick: () => toggleRack(rack.id),
  }, rack.name));
  const focused = byId("chips").contains(document.activeElement) ? document.activeElement.dataset.rack : null;
  byId("chips").replaceChildren(...chips);
  if (focused) byId("chips").querySelector(`[data-rack="${focused}"]`)?.focus();
  byId("all").hidden = state.racks.size === state.shown.length;
  for (const choice of byId("faces").children) choice.setAttribute("aria-pressed", String(choice.dataset.faces === state.faces));
}
