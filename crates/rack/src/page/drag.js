// Carrying by mouse, pen or finger. A mouse carries once it has moved a little; a finger after it has rested, so that the page can be
// scrolled by it all the same.
"use strict";

const LITTLE = 5; // px that are no movement
const REST = 350; // ms that a finger rests before it carries
const BORDER = 70; // px at the edges of the window where it scrolls
const FAST = 14; // px of scrolling in a frame

let pressed = null; // { id, node, pointer, x, y, timer }: what may become a drag
let dragged = null; // { ghost, x, y, grip, behind, fine }: what a drag looks like
let frame = 0;

addEventListener("pointerdown", (event) => {
  const node = event.target.closest?.(".device");
  if (!node || !event.isPrimary || event.button !== 0 || carried || !mayEdit()) return;
  pressed = { id: Number(node.dataset.id), node, pointer: event.pointerId, x: event.clientX, y: event.clientY, timer: 0 };
  if (event.pointerType === "touch") pressed.timer = setTimeout(() => begin(event.clientX, event.clientY), REST);
});

addEventListener("pointermove", (event) => {
  if (dragged && event.pointerId === dragged.pointer) return drag(event.clientX, event.clientY, event.altKey);
  if (!pressed || event.pointerId !== pressed.pointer) return;
  if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < LITTLE) return;
  // A finger that moves at once scrolls.
  if (event.pointerType === "touch") forget();
  else begin(event.clientX, event.clientY);
});

addEventListener("pointerup", (event) => {
  const mine = dragged?.pointer === event.pointerId;
  forget();
  if (!mine) return;
  drag(event.clientX, event.clientY, event.altKey);
  aim();
  endDrag();
  // The click that follows belongs to the drag.
  addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", swallow, { capture: true }));
  putDown();
});

addEventListener("pointercancel", (event) => {
  forget();
  if (dragged?.pointer === event.pointerId) cancelDrag();
});
addEventListener("blur", () => { forget(); if (dragged) cancelDrag(); });
addEventListener("dragstart", (event) => event.target.closest?.(".device") && event.preventDefault());
addEventListener("contextmenu", (event) => (dragged || pressed?.timer) && event.preventDefault());
// What a finger carries must not scroll the page; this can only be said to the browser here.
addEventListener("touchmove", (event) => dragged && event.cancelable && event.preventDefault(), { passive: false });
addEventListener("keydown", (event) => {
  if (!dragged || event.key !== "Escape") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  cancelDrag();
}, { capture: true });

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}

function forget() {
  clearTimeout(pressed?.timer);
  pressed = null;
}

function begin(x, y) {
  const { id, node, pointer, x: fromX, y: fromY } = pressed;
  const touch = pressed.timer !== 0;
  forget();
  if (!pickUp(id, "pointer")) return;
  getSelection()?.removeAllRanges();
  const { item } = carried;
  const picture = node.closest("svg");
  const box = node.getBoundingClientRect();
  const scale = picture ? scaleOf(picture) : 1;
  const size = ghostSize(item);
  // A device is carried by the point where it was taken; one from the tray by its middle.
  const grip = picture ? { x: (fromX - box.left) / scale, y: (fromY - box.top) / scale } : { x: size.width / 2, y: size.height / 2 };
  const ghost = element("div", { id: "ghost", "aria-hidden": "true" }, ghostPicture(item, size), element("p", {}));
  document.body.append(ghost);
  dragged = { ghost, pointer, grip, x, y, fine: false, behind: node.classList.contains("behind") };
  if (touch) navigator.vibrate?.(20);
  say(`${item.device.name} is taken up.`);
  frame = requestAnimationFrame(look);
}

const scaleOf = (picture) => picture.getBoundingClientRect().width / picture.viewBox.baseVal.width;

function ghostSize({ kind }) {
  return kind.halves === 0 ? { width: BESIDE - 3, height: UNIT * 4 } : { width: kind.columns * COLUMN, height: (kind.halves * UNIT) / 2 - 1 };
}

function ghostPicture(item, size) {
  const picture = deviceNode(item, { x: 0, y: 0, ...size, upright: item.kind.halves === 0 }, false);
  return shape("svg", { viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, height: size.height }, picture);
}

function drag(x, y, fine) {
  Object.assign(dragged, { x, y, fine });
}

/// Once a frame: scrolls at the edges, moves the picture, and looks what is below.
function look() {
  if (!dragged) return;
  scrollAtEdges();
  aim();
  frame = requestAnimationFrame(look);
}

function aim() {
  const { ghost, x, y, grip, fine, behind } = dragged;
  const below = document.elementFromPoint(x, y);
  const picture = below?.closest(".face svg");
  const scale = picture ? scaleOf(picture) : 1;
  ghost.style.transform = `translate(${x - grip.x * scale}px, ${y - grip.y * scale}px) scale(${scale})`;
  if (picture) {
    const rect = picture.getBoundingClientRect();
    const pointer = { x: (x - rect.left) / scale, y: (y - rect.top) / scale };
    const plan = state.plans.get(Number(picture.dataset.rack));
    const face = picture.dataset.face;
    const corner = { x: pointer.x - grip.x, y: pointer.y - grip.y, fine, pointer };
    carryTo(behind ? fromBehind(plan, face, corner) : placeAt(plan, face, carried.item, corner), face);
  } else {
    carryTo(below?.closest("#tray") || isWithin(byId("tray"), x, y) ? null : undefined, null);
  }
  const found = carried.against ?? [];
  ghost.dataset.fits = String(found.length === 0);
  text(ghost.lastElementChild, found.slice(0, 2).join(" "));
  if (carried.place !== undefined) sayCarried();
}

/// Whether a point is within an element's box. Chromium sometimes does not find one that sticks to the window, although it is drawn.
function isWithin(node, x, y) {
  const { left, right, top, bottom } = node.getBoundingClientRect();
  return x >= left && x < right && y >= top && y < bottom;
}

/// What is taken by its back stays on its side, wherever it goes.
function fromBehind(plan, face, corner) {
  const place = placeAt(plan, face, carried.item, corner);
  return place.at === "units" ? { ...place, face: other(face), left: mirrored(place.left, carried.item.kind.columns) } : place;
}

function scrollAtEdges() {
  const { x, y } = dragged;
  const speed = (at, most) => (at < BORDER ? at - BORDER : at > most - BORDER ? at - most + BORDER : 0) / BORDER * FAST;
  const [dx, dy] = [speed(x, innerWidth), speed(y, innerHeight)];
  if (dx || dy) scrollBy(dx, dy);
}

function endDrag() {
  cancelAnimationFrame(frame);
  dragged.ghost.remove();
  dragged = null;
}

function cancelDrag() {
  endDrag();
  say(`${letGo().device.name} stays where it was.`);
}
