// Bars over time. What is not known is a hatched gap, never a bar; each bar and gap can be pointed at, tapped, or
// reached with the arrow keys, and says what it is; a table has the same for whoever prefers words.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
/** How long what was tapped stays selected, in milliseconds: nobody may come back to the wall. */
const STAYS = 20_000;

const pen = document.createElement("canvas").getContext("2d");
const minus = (value) => String(value).replace("-", "−");

function node(name, attributes, parent, words) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  parent.append(made);
  return made;
}

/** Round values from `low` to `high`, among which 0 is one: about as many as wanted, but three at least. */
function valueTicks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const ticksOf = (step) => {
    const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
    return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toFixed(3)));
  };
  const steps = [0.5, 1, 2, 5, 10].map((factor) => factor * power);
  let index = steps.findIndex((step) => step >= rough * 0.999);
  while (index > 0 && ticksOf(steps[index]).length < 3) index -= 1;
  return ticksOf(steps[index]);
}

/** `bars`, sorted by time, and the gaps between them from `from` to `to`. */
function withGaps(bars, from, to) {
  const items = [];
  let known = from;
  for (const bar of bars) {
    if (bar.to <= from || bar.from >= to) continue;
    if (bar.from > known) items.push({ from: known, to: bar.from, gap: true });
    items.push(bar);
    known = Math.max(known, bar.to);
  }
  if (known < to) items.push({ from: known, to, gap: true });
  return items;
}

/**
 * A chart in a figure of the page.
 *
 * What it shows is `{ from, to, now, range, bars, band, summary, empty }`. A bar has `from`, `to`, `past`, `words` and the
 * `cells` of its row in the table, and `parts`, each with a `value` and a `level`, which is its colour.
 */
class Chart {
  constructor(figure, columns) {
    const part = (selector) => figure.querySelector(selector);
    [this.figure, this.columns] = [figure, columns];
    [this.title, this.reading, this.button] = [part("figcaption b"), part(".reading"), part("button")];
    [this.plot, this.table, this.unknown] = [part(".plot"), part(".table"), part(".unknown")];
    this.items = [];
    this.at = null; // the time that is selected
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.select(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.select(null));
    this.button.addEventListener("click", () => this.turn());
  }

  show(data) {
    this.data = data;
    this.items = data.bars.length ? withGaps(data.bars, data.from, data.to) : [];
    this.draw();
  }

  // ---- what is selected

  /** The bar or gap that is selected, if any. */
  get selected() {
    return this.at === null ? -1 : this.items.findIndex((item) => item.from <= this.at && this.at < item.to);
  }

  select(at) {
    clearTimeout(this.forgets);
    if (at !== null) this.forgets = setTimeout(() => this.select(null), STAYS);
    const before = this.at;
    this.at = at;
    if (before !== at) this.draw();
  }

  point(event) {
    if (!this.scale) return;
    const at = this.scale.time(event.clientX - this.plot.getBoundingClientRect().left);
    const item = this.items.find((each) => each.from <= at && at < each.to);
    this.select(item ? Math.max(item.from, this.data.from) : null);
  }

  key(event) {
    const last = this.items.length - 1;
    const current = this.selected >= 0 ? this.selected : this.items.findIndex((item) => item.from <= this.data.now && this.data.now < item.to);
    const wanted = {
      ArrowLeft: current - 1, ArrowDown: current - 1, ArrowRight: current + 1, ArrowUp: current + 1,
      PageUp: current + 6, PageDown: current - 6, Home: 0, End: last,
    }[event.key];
    if (event.key === "Escape") return this.select(null);
    if (wanted === undefined || last < 0) return;
    event.preventDefault();
    this.select(Math.max(this.items[Math.min(Math.max(wanted, 0), last)].from, this.data.from));
  }

  words(item) {
    return item.gap ? `${span(item.from, item.to)}: not known` : item.words;
  }

  /** Shows the table instead of the picture, or the picture again. */
  turn() {
    const table = this.table.hidden;
    this.table.hidden = !table;
    this.plot.hidden = table;
    this.button.setAttribute("aria-pressed", table);
    this.draw();
  }

  // ---- drawing

  draw() {
    if (!this.data) return;
    if (!this.table.hidden) return this.fill();
    const { from, to, empty, summary } = this.data;
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight];
    this.plot.replaceChildren();
    this.scale = null;
    this.unknown.hidden = !this.items.some((item) => item.gap);
    this.tell(summary);
    if (this.items.length === 0) {
      const words = document.createElement("p");
      words.textContent = empty;
      this.plot.append(words);
      return;
    }
    if (width < 40 || height < 40) return;
    const em = parseFloat(getComputedStyle(this.plot).fontSize);
    const { low, high } = this.data.range;
    const [bottom, top] = [low * 1.05, high * 1.05]; // the highest bar ends below what is beside the chart
    const ticks = valueTicks(low, high, Math.max(3, Math.floor(height / (em * 2.4)) - 1));
    const widest = Math.max(...ticks.map((tick) => this.widthOf(minus(tick))));
    const box = { left: widest + 0.5 * em, right: width - 0.25 * em, top: 1.3 * em, bottom: height - 1.5 * em };
    const x = (time) => box.left + ((Math.min(Math.max(time, from), to) - from) / (to - from)) * (box.right - box.left);
    const y = (value) => box.bottom - ((Math.min(Math.max(value, bottom), top) - bottom) / (top - bottom)) * (box.bottom - box.top);
    const time = (left) => from + ((left - box.left) / (box.right - box.left)) * (to - from);
    this.scale = { x, y, em, box, width, time };
    const svg = node("svg", { "aria-hidden": "true", viewBox: `0 0 ${width} ${height}`, width, height }, this.plot);
    this.drawGround(svg, ticks);
    for (const item of this.items) item.gap ? this.drawGap(svg, item) : this.drawBar(svg, item);
    if (this.items[this.selected]) this.drawColumn(svg, this.items[this.selected], { class: "selected" });
    this.drawTimes(svg);
    this.drawCut(svg);
  }

  /** How wide words are in the font of the chart, in pixels. */
  widthOf(words, weight = 400) {
    const { fontSize, fontFamily } = getComputedStyle(this.plot);
    pen.font = `${weight} ${fontSize} ${fontFamily}`;
    return pen.measureText(words).width;
  }

  /** What is selected, in words, for the eye and for a screen reader. */
  tell(summary) {
    const item = this.items[this.selected];
    this.reading.hidden = !item;
    this.title.hidden = Boolean(item);
    this.reading.textContent = item ? this.words(item) : "";
    const slider = {
      "aria-valuemax": Math.max(0, this.items.length - 1),
      "aria-valuenow": Math.max(0, this.selected),
      "aria-valuetext": item ? this.words(item) : summary,
    };
    for (const [name, value] of Object.entries(slider)) this.plot.setAttribute(name, value);
  }

  drawGround(svg, ticks) {
    const { x, y, em, box } = this.scale;
    const id = `unknown-${this.figure.id}`;
    const pattern = { id, width: em / 2, height: em / 2, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
    node("line", { class: "hatch", x1: 0, x2: 0, y1: 0, y2: em / 2 }, node("pattern", pattern, node("defs", {}, svg)));
    if (this.data.band) this.drawColumn(svg, this.data.band, { class: "band" });
    for (const tick of ticks) {
      node("line", { class: tick === 0 ? "zero" : "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }, svg);
      node("text", { x: box.left - em * 0.35, y: y(tick) + em * 0.35, "text-anchor": "end" }, svg, minus(tick));
    }
  }

  /** A stretch of time, from the top to the bottom. */
  drawColumn(svg, { from, to }, attributes) {
    const { x, box } = this.scale;
    node("rect", { ...attributes, x: x(from), width: x(to) - x(from), y: box.top, height: box.bottom - box.top }, svg);
  }

  drawGap(svg, gap) {
    const { x, em, box } = this.scale;
    const [left, right] = [x(gap.from), x(gap.to)];
    this.drawColumn(svg, gap, { class: "gap", fill: `url(#unknown-${this.figure.id})` });
    if (right - left < em * 6) return;
    node("text", { class: "over", x: (left + right) / 2, y: (box.top + box.bottom) / 2, "text-anchor": "middle" }, svg, "not known");
  }

  drawBar(svg, bar) {
    const { x, y } = this.scale;
    const [left, right] = [x(bar.from), x(bar.to)];
    const space = Math.min(2, (right - left) / 5);
    for (const { value, level } of bar.parts) {
      const place = {
        class: bar.past ? "bar past" : "bar",
        x: left, width: Math.max(0.5, right - left - space), y: y(Math.max(value, 0)), height: Math.max(1.5, Math.abs(y(value) - y(0))),
      };
      node("rect", place, svg).dataset.level = level;
    }
  }

  /** Where bars are cut off, the highest of those beside each other says its value. */
  drawCut(svg) {
    const { x, em, box } = this.scale;
    const { low, high } = this.data.range;
    let run = null;
    const end = () => {
      if (!run) return;
      const words = `${run.value < 0 ? "▼" : "▲"} ${minus(Math.round(run.value))}`;
      const half = this.widthOf(words, 650) / 2;
      const middle = Math.min(Math.max((x(run.from) + x(run.to)) / 2, box.left + half), box.right - half);
      node("text", { class: "over", x: middle, y: run.value < 0 ? box.bottom - em * 0.4 : box.top + em, "text-anchor": "middle" }, svg, words);
      run = null;
    };
    for (const item of this.items) {
      const value = item.gap ? 0 : item.parts[0].value;
      if (value <= high && value >= low) {
        end();
        continue;
      }
      if (run && run.value > 0 !== value > 0) end();
      const most = run && Math.abs(run.value) > Math.abs(value) ? run.value : value;
      run = { from: run?.from ?? item.from, to: item.to, value: most };
    }
    end();
  }

  drawTimes(svg) {
    const { x, em, box, width } = this.scale;
    const { from, to, now } = this.data;
    const taken = [];
    // Writes a label unless it would lie on another one.
    const label = (at, line, name, words) => {
      const half = this.widthOf(words, name === "hour" ? 400 : 650) / 2;
      const middle = Math.min(Math.max(at, box.left + half), width - half);
      const free = taken.every((other) => other.line !== line || other.to < middle - half - em * 0.4 || other.from > middle + half + em * 0.4);
      if (!free) return;
      taken.push({ line, from: middle - half, to: middle + half });
      node("text", { class: name, x: middle, y: line, "text-anchor": "middle" }, svg, words);
    };
    const [above, below] = [box.top - em * 0.4, box.bottom + em * 1.15];
    const hours = hoursBetween(from, to);
    const mark = (name, at) => node("line", { class: name, x1: at, x2: at, y1: box.top - em * 0.2, y2: box.bottom }, svg);
    if (now >= from && now < to) {
      mark("now", x(now));
      label(x(now), above, "strong", "now");
    }
    for (const { start } of hours.filter(({ start, hour }) => hour === 0 && start > from && start < to)) {
      mark("midnight", x(start));
      label(x(start), below, "strong", "midnight");
      const day = format(start, { weekday: "long" });
      label(x(start) + this.widthOf(day, 650) / 2, above, "day", day);
    }
    const perHour = (box.right - box.left) / ((to - from) / HOUR);
    const widest = Math.max(...hours.map(({ start }) => this.widthOf(shortTime(start))));
    const room = Math.max(widest, (widest + this.widthOf("midnight", 650)) / 2) + em * 0.6;
    const step = [1, 2, 3, 4, 6].find((count) => count * perHour >= room) ?? 12;
    // The outermost ones last: where they stand inwards of their hours, they would take the place of their neighbours.
    const edge = ({ start }) => start <= from || start >= to;
    for (const { start, hour } of [...hours].sort((a, b) => edge(a) - edge(b))) {
      if (hour % step !== 0) continue;
      node("line", { class: "grid", x1: x(start), x2: x(start), y1: box.bottom, y2: box.bottom + em * 0.25 }, svg);
      label(x(start), below, "hour", shortTime(start));
    }
  }

  /** Fills the table, unless it has the same words already: it may have been scrolled. */
  fill() {
    const rows = this.items.map((item) => [span(item.from, item.to), ...(item.gap ? ["not known"] : item.cells)]);
    const same = JSON.stringify(rows);
    this.tell(this.data.summary);
    if (same === this.filled) return;
    this.filled = same;
    const table = document.createElement("table");
    const line = (cells, name) => {
      const row = table.insertRow();
      for (const words of cells) {
        const cell = document.createElement(name);
        cell.textContent = words;
        if (name === "th") cell.scope = "col";
        row.append(cell);
      }
    };
    line(this.columns, "th");
    if (rows.length === 0) line([this.data.empty], "td");
    for (const row of rows) line(row, "td");
    this.table.replaceChildren(table);
  }
}
