// How this page makes nodes and puts things into words: quantities, places, times.
"use strict";

const COLUMNS = 12; // across a rack
const byId = (id) => document.getElementById(id);
const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/// Whether two values of JSON are the same; the order of fields means nothing.
function same(one, two) {
  if (one === two || typeof one !== "object" || typeof two !== "object" || !one || !two) return one === two;
  const [names, others] = [Object.keys(one), Object.keys(two)];
  return names.length === others.length && names.every((name) => name in two && same(one[name], two[name]));
}

/// Gives a node its attributes and what is in it; an attribute without a value is left out, `on…` are listeners.
function fill(node, attributes, inside) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value != null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...inside.flat().filter((part) => part != null && part !== false));
  return node;
}

const element = (name, attributes = {}, ...inside) => fill(document.createElement(name), attributes, inside);
const shape = (name, attributes = {}, ...inside) => fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, inside);

/// A button that does not send a form.
const button = (words, act, attributes = {}) => element("button", { type: "button", onclick: act, ...attributes }, words);

// ---- quantities

const digits = (value, most = 0) => new Intl.NumberFormat([], { maximumFractionDigits: most }).format(value);
const watts = (value) => `${digits(value)} W`;
const kilograms = (value) => `${digits(value, 1)} kg`;
const celsius = (value) => `${digits(value, 1)} °C`;
const count = (number, one, many = `${one}s`) => `${digits(number)} ${number === 1 ? one : many}`;
const heightWords = (halves) => (halves === 0 ? "beside the units" : `${digits(halves / 2, 1)} U`);
const widthWords = (columns) => ({ 12: "whole width", 6: "half width", 4: "a third of the width", 3: "a quarter of the width", 2: "a sixth of the width" })[columns] ?? `${columns} of ${COLUMNS} columns`;

/// The units that a device covers, as they are printed on the rack: "unit 3", "units 3 to 4", "unit 3, upper half".
function unitWords(bottom, halves) {
  const [first, last] = [Math.floor(bottom / 2) + 1, Math.floor((bottom + Math.max(1, halves) - 1) / 2) + 1];
  const units = first === last ? `unit ${first}` : `units ${first} to ${last}`;
  return halves === 1 ? `${units}, ${bottom % 2 ? "upper" : "lower"} half` : units;
}

const faceWords = { front: "front", rear: "rear" };

/// Where something is, for people.
function placeWords(place, halves) {
  if (!place) return "not placed";
  const rack = state.racks.get(place.rack)?.name ?? "another rack";
  if (place.at === "shelf") return `${rack}, on ${itemOf(place.shelf)?.device.name ?? "a shelf"}`;
  if (halves === 0) return `${rack}, beside the units`;
  return `${rack}, ${unitWords(place.bottom, halves)}, ${faceWords[place.face]}`;
}

const moment = (ms) => new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" }).format(new Date(ms));
const timeOfDay = (ms) => new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" }).format(new Date(ms));

// ---- what the page says

/// Tells those who hear the page what has just happened; all others see it.
function say(words) {
  // The same words twice are read twice only if the node changes.
  byId("said").textContent = byId("said").textContent === words ? `${words}\u00a0` : words;
}

const LONG_ENOUGH = 9000; // ms that good news stay

/// Shows a note, which bad news leave until somebody closes it; `action` is `[words, what it does]`.
function note(words, { is = "good", more = [], action = null } = {}) {
  const list = more.length > 0 ? element("ul", {}, more.map((line) => element("li", {}, line))) : null;
  const made = element("div", { class: "note", "data-is": is },
    element("div", {}, element("p", {}, words), list),
    action && button(action[0], () => { made.remove(); action[1](); }),
    button("Close", () => made.remove(), { class: "plain", "aria-label": "Close this note" }));
  // Of many notes only the last few tell anything.
  const notes = byId("notes");
  notes.append(made);
  // Beside an open dialog nothing can be used.
  if (!notes.closest("dialog")) [...document.querySelectorAll("dialog[open]")].at(-1)?.append(notes);
  while (notes.children.length > 3) notes.firstElementChild.remove();
  if (is === "good") setTimeout(() => made.remove(), LONG_ENOUGH);
  if (is === "bad") text(byId("alarm"), [words, ...more].join(" "));
  else say([words, ...more].join(" "));
  return made;
}
