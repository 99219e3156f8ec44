// A better arrangement of a rack: what would be moved, how it looks before and after, and whether somebody wants it. And how warm it is.
"use strict";

function optimiseDialog(id) {
  const plan = state.plans.get(id);
  const result = element("div", { "aria-live": "polite" });
  const form = formNode([{ name: "seconds", label: "Time to look for it, in seconds", type: "number", min: 0.1, max: 5, step: 0.1, needed: true }], { seconds: 1 }, {
    submit: "Look for a better arrangement",
    act: async ({ seconds }) => {
      result.replaceChildren(element("p", { class: "quiet" }, "Looking…"));
      const answer = await ask("POST", `api/racks/${id}/optimise`, { milliseconds: Math.round(seconds * 1000) });
      result.replaceChildren();
      if (!answer.ok) return answer;
      result.append(...proposalParts(id, answer.body, () => dialog.close()));
      return null;
    },
  });
  const words = element("p", { class: "quiet" }, "Heavy things go down, warm ones apart, and free units together. What is pinned stays. Nothing is moved until you say so.");
  const dialog = openDialog(`Optimise ${plan.rack.name}`, element("div", {}, words, form.node, result), { wide: true });
}

function proposalParts(id, proposal, close) {
  const { moves, before, after, exhausted } = proposal;
  if (moves.length === 0) {
    return [element("p", {}, exhausted ? "No arrangement is better than this one." : "Nothing better was found in this time.")];
  }
  const plan = state.plans.get(id);
  const wanted = new Map(moves.map((move) => [move.device, move.place]));
  const items = new Map([...plan.items].map(([number, item]) => [number, wanted.has(number) ? { ...item, device: { ...item.device, place: wanted.get(number) } } : item]));
  const lines = moves.map(({ device, place }) => {
    const item = plan.items.get(device);
    return element("li", {}, element("b", {}, item?.device.name ?? `Device ${device}`), ` from ${whereIn(item?.device.place, item?.kind)} to ${whereIn(place, item?.kind)}`);
  });
  return [
    element("p", {}, `${count(moves.length, "move")}. ${exhausted ? "No arrangement is better." : "This is the best that was found in this time."}`),
    scoreTable(before, after),
    element("div", { class: "compare" }, still(plan, new Set(wanted.keys()), "Now"), still({ ...plan, items }, new Set(wanted.keys()), "Then")),
    element("ol", { class: "moves" }, lines),
    element("div", { class: "buttons" }, button("Apply", () => apply(id, moves, close), { class: "main" }), button("Leave it as it is", close)),
  ];
}

function whereIn(place, kind) {
  if (!place) return "nowhere";
  return place.at === "shelf" ? `on ${itemOf(place.shelf)?.device.name ?? "a shelf"}` : `${unitWords(place.bottom, kind?.halves ?? 2)}, ${faceWords[place.face]}`;
}

const SCORE = { total: "All together", low: "Weight that is high up", heat: "Warmth that meets others", gaps: "Free units that are not together", moves: "Work of moving" };

/// What is better, part by part; the planner counts in thousandths of points.
function scoreTable(before, after) {
  const rows = Object.entries(SCORE).map(([part, words]) => element("tr", {}, element("th", { scope: "row" }, words),
    element("td", {}, digits(before[part] / 1000, 1)), element("td", {}, digits(after[part] / 1000, 1))));
  return element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Points; less is better"),
    element("th", { scope: "col" }, "Now"), element("th", { scope: "col" }, "Then"))), element("tbody", {}, rows));
}

/// A picture of a rack that is not touched: its front, with some devices marked.
function still(plan, marked, words) {
  const { rack } = plan;
  const beside = lanes(plan);
  const [width, height] = [widthOf(beside.size), heightOf(rack.units)];
  const nodes = inOrder(plan).map((item) => {
    const box = drawnBox(plan, item, "front", beside);
    if (!box) return null;
    const node = deviceNode(item, box, false);
    for (const name of ["role", "tabindex", "aria-pressed", "data-id"]) node.removeAttribute(name);
    if (marked.has(item.device.id)) node.classList.add("marked");
    return node;
  });
  return element("figure", {}, element("figcaption", {}, words), shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${rack.name}: ${words}` },
    shape("rect", { class: "inside", x: INNER_LEFT, y: EDGE, width: INSIDE, height: rack.units * UNIT }), ...nodes));
}

async function apply(id, moves, close) {
  const parts = [];
  for (const { device, place } of moves) {
    const item = itemOf(device);
    if (item) parts.push({ id: device, before: snapshot(item.device), after: { ...snapshot(item.device), place } });
  }
  // The versions are those that the proposal was made of: if somebody has moved one of them since, none is moved.
  const answer = await pending(moves.map(({ device }) => device), () => ask("POST", "api/moves", { moves }));
  close();
  if (!answer.ok) return explain(answer, "The proposal was not applied");
  await settle([id]);
  const { name } = state.racks.get(id);
  remembers(`${name} optimised`, parts);
  note(`${count(moves.length, "device is", "devices are")} moved in ${name}.`, { action: ["Undo", undo] });
}

// ---- heat

function heatDialog(id) {
  const { rack, thermal } = state.plans.get(id);
  if (!thermal) return note("The heat of this rack is not known at the moment.", { is: "bad" });
  const facts = [["Power, all of which becomes heat", watts(thermal.watts)], ["Heat", `${digits(thermal.btu_per_hour)} BTU/h`],
    ["Air that it needs", `${digits(thermal.airflow_m3_per_hour)} m³/h, ${digits(thermal.airflow_cfm)} CFM`],
    ["Air at its front", celsius(rack.inlet_celsius)], ["Air that leaves it", celsius(thermal.exhaust_celsius)]];
  const rows = thermal.levels.filter((level) => level.watts > 0 || level.hot).toReversed().map((level) => element("tr", { "data-is": level.hot ? "bad" : null },
    element("th", { scope: "row" }, `Unit ${level.unit}`), element("td", {}, watts(level.watts)), element("td", {}, celsius(level.celsius)), element("td", {}, level.hot ? "hot" : "")));
  const head = element("thead", {}, element("tr", {}, ["Unit", "Power", "Air", "Hot spots"].map((words) => element("th", { scope: "col" }, words))));
  openDialog(`Heat in ${rack.name}`, element("div", {},
    element("dl", { class: "facts" }, facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    thermal.advice?.length > 0 ? element("ul", { class: "advice" }, thermal.advice.map((line) => element("li", {}, line))) : null,
    rows.length > 0 ? element("table", {}, head, element("tbody", {}, rows)) : element("p", { class: "quiet" }, "Nothing in it takes power.")));
}
