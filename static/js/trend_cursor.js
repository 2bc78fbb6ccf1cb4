// The cursor of the trends: one moment through all lanes, its values as a table beside, two marks to measure between.
import { MISSING, duration, fill, words } from "./quantities.js";
import { clockAt, pageZone, zoneLabel } from "./time_zones.js";

const SVG = "http://www.w3.org/2000/svg";
const DASHES = { solid: "", dash: "6 3", dot: "2 3", dashdot: "6 2 2 2", longdash: "10 3" };
const find = (name) => document.querySelector(`[data-${name}]`);

export class Cursor {
  constructor({ stage, chart }) {
    Object.assign(this, { stage, chart, at: null, a: null, b: null, figure: null });
    const inZone = { timeZone: pageZone, hourCycle: "h23" };
    const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
    this.date = new Intl.DateTimeFormat(lang, { ...inZone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
    this.short = new Intl.DateTimeFormat(lang, { ...inZone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
    stage.addEventListener("pointermove", (event) => this.point(event));
    stage.addEventListener("pointerleave", () => { if (document.activeElement !== stage) this.move(null); });
    stage.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.place()).observe(stage);
  }

  clock(ms) { return this.short.format(ms); }

  // A new figure: its times as numbers, once.
  show(figure) {
    this.figure = figure;
    this.curves = (figure?.data ?? []).filter((trace) => trace.meta.kind === "curve");
    for (const trace of figure?.data ?? []) trace.ms = Float64Array.from(trace.x, (text) => Date.parse(`${text}Z`) - figure.offset_ms);
    this.others = (figure?.data ?? []).filter((trace) => trace.meta.kind !== "curve");
    this.foreseen = this.others.filter((trace) => trace.meta.kind === "forecast");
    this.place();
    this.tell();
  }

  // Where the lanes lie on the page: Plotly's own layer for dragging is as wide as they are.
  area() {
    const layer = this.chart.querySelector(".nsewdrag");
    if (!layer) return null;
    const inside = layer.getBoundingClientRect(), outside = this.stage.getBoundingClientRect();
    return { left: inside.left - outside.left, width: inside.width };
  }

  point(event) {
    const area = this.area();
    if (!area || !this.figure) return;
    const share = (event.clientX - this.stage.getBoundingClientRect().left - area.left) / area.width;
    if (share >= 0 && share <= 1) this.move(this.figure.from + share * (this.figure.to - this.figure.from));
  }

  key(event) {
    if (!this.figure) return;
    const { from, to } = this.figure, step = (to - from) / (event.shiftKey ? 20 : 200), at = this.at ?? (event.key === "ArrowLeft" ? to : from);
    if (event.key === "ArrowLeft") this.move(Math.max(from, at - step));
    else if (event.key === "ArrowRight") this.move(Math.min(to, at + step));
    else if (event.key === "Home") this.move(from);
    else if (event.key === "End") this.move(to);
    else if (event.key === "Escape") { this.a = this.b = null; this.move(null); }
    else if (/^[ab]$/i.test(event.key) && !event.ctrlKey && !event.metaKey && this.at !== null) { this[event.key.toLowerCase()] = this.at; this.place(); this.tell(); }
    else return;
    event.preventDefault();
  }

  move(at) {
    this.at = at;
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.place(); this.tell(); });
  }

  place() {
    const area = this.area();
    for (const [line, at] of [[find("cursor"), this.at], [this.stage.querySelector('[data-measure="a"]'), this.a], [this.stage.querySelector('[data-measure="b"]'), this.b]]) {
      const share = at === null || !this.figure ? -1 : (at - this.figure.from) / (this.figure.to - this.figure.from);
      line.hidden = !area || share < 0 || share > 1;
      if (!line.hidden) line.style.left = `${area.left + share * area.width}px`;
    }
  }

  // The index of what holds at a moment: the last that began before.
  held(trace, at) {
    let low = 0, high = trace.ms.length;
    while (low < high) { const middle = (low + high) >> 1; if (trace.ms[middle] <= at) low = middle + 1; else high = middle; }
    return low - 1;
  }

  value(trace, at) {
    const index = this.held(trace, at);
    // Behind its last value a curve says nothing, unless that is the newest.
    return index < 0 || (index === trace.ms.length - 1 && at > trace.ms[index] + 60000) ? null : trace.y[index];
  }

  written(value, unit) { return value === null || value === undefined ? MISSING : `${Number(value).toFixed(Math.abs(value) < 10 ? 3 : Math.abs(value) < 1000 ? 2 : 1).replace("-", "−")} ${unit}`.trim(); }

  tell() {
    // A window that goes on ahead of now has nothing newer than now.
    const at = this.at ?? (this.figure ? Math.min(this.figure.to, this.figure.now) : null);
    find("at").textContent = at === null ? words.trends.cursor : this.at === null ? words.trends.newest : fill(words.trends.at, `${clockAt(at, pageZone, { second: "2-digit" })} ${zoneLabel(at)}`);
    const both = this.a !== null && this.b !== null;
    find("measured").textContent = both ? `Δt ${duration(Math.abs(this.b - this.a))}` : at === null ? "" : this.date.format(at);
    find("readings").replaceChildren(...(at === null ? [] : [...this.curves, ...this.foreseen].map((trace) => this.row(trace, at, both))));
  }

  row(trace, at, both) {
    // Of a forecast what it says of now stands beside the newest value, not its own last step.
    const last = this.at === null && trace.meta.kind !== "forecast";
    const index = last ? lastKnown(trace) : this.held(trace, at), value = last ? trace.y[index] : this.value(trace, at), { unit, low, high, tone } = trace.meta;
    const row = document.createElement("tr"), swatch = row.insertCell(), name = row.insertCell(), number = row.insertCell();
    swatch.append(line(tone, trace.line.dash));
    name.textContent = trace.name;
    const strong = document.createElement("b");
    strong.textContent = this.written(value, unit);
    number.append(strong);
    if (low && value !== null && value !== undefined && low[index] !== high[index]) name.append(small(`${this.written(low[index], "")} … ${this.written(high[index], unit)}`));
    const unwell = this.figure.quality.find((each) => each.curve === trace.name && each.from <= at && at < each.to);
    if (unwell && !last) name.append(small(unwell.words));
    for (const other of this.others) {
      if (other.meta.kind === "compare" && other.meta.of === trace.name) number.append(small(`${words.trends.before} ${this.written(this.value(other, at), unit)}`));
    }
    if (both) {
      const [before, after] = [this.value(trace, this.a), this.value(trace, this.b)];
      number.append(small(`Δ ${before === null || after === null ? MISSING : this.written(after - before, unit)}`));
    }
    return row;
  }
}

function lastKnown(trace) {
  for (let index = trace.y.length - 1; index >= 0; index--) if (trace.y[index] !== null) return index;
  return -1;
}

function small(text) {
  const element = document.createElement("small");
  element.textContent = text;
  return element;
}

function line(tone, dash) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 6");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M0 3H24");
  path.setAttribute("class", tone);
  path.setAttribute("stroke-width", "2");
  if (DASHES[dash]) path.setAttribute("stroke-dasharray", DASHES[dash]);
  svg.append(path);
  return svg;
}
