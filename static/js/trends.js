// Trends: the address holds the whole state; the server answers with the figure for the visible window, Plotly draws it.
import { fill, words } from "./quantities.js";
import { OPTIONS, themed } from "./plotted.js";
import { Cursor } from "./trend_cursor.js";
import { pageZone, wallOf } from "./time_zones.js";
import { offerViews } from "./trend_views.js";

const FOLLOW_MS = 5000;
const find = (name) => document.querySelector(`[data-${name}]`);
const form = find("window"), chart = find("chart"), stage = find("stage"), note = find("note"), link = find("csv");
const picker = find("picker"), search = find("search"), followButton = find("follow"), backButton = find("back");
const boxes = [...picker.querySelectorAll("input")], most = Number(picker.dataset.most);
const presets = [...form.querySelectorAll("[data-hours]")], shows = [...find("shows").querySelectorAll("input")];
// `span` is what the address says of time: {hours}, {seconds} or {from, to}.
let span = { hours: "1" }, following = true, drawn = null, waiting = null, pressed = false;
const past = [];
const choices = { compare: "", axes: "", ahead: "", known: "", price: "" };
const cursor = new Cursor({ stage, chart });

const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
const isLive = () => following && ("hours" in span || "seconds" in span);

function query() {
  const parameters = new URLSearchParams();
  for (const point of chosen()) parameters.append("points", point);
  for (const [name, value] of Object.entries(span)) parameters.set(name, value);
  for (const [name, value] of Object.entries(choices)) if (value) parameters.set(name, value);
  const hidden = shows.filter((box) => !box.checked).map((box) => box.value);
  if (hidden.length) parameters.set("hide", hidden.join(","));
  if (!following) parameters.set("follow", "0");
  return parameters;
}

function read(parameters) {
  following = parameters.get("follow") !== "0";
  if (parameters.get("from") && parameters.get("to")) span = { from: parameters.get("from"), to: parameters.get("to"), ...(parameters.get("zone") && { zone: parameters.get("zone") }) };
  else if (parameters.get("seconds")) span = { seconds: parameters.get("seconds") };
  else span = { hours: parameters.get("hours") ?? "1" };
  for (const name of Object.keys(choices)) choices[name] = parameters.get(name) ?? "";
  const hidden = (parameters.get("hide") ?? "").split(",");
  for (const box of shows) box.checked = !hidden.includes(box.value);
  const points = parameters.getAll("points").flatMap((each) => each.split(","));
  if (points.length) for (const box of boxes) box.checked = points.includes(box.value);
}

function tell() {
  for (const button of presets) button.setAttribute("aria-pressed", String("seconds" in span ? false : button.dataset.hours === (span.hours ?? "")));
  for (const each of form.querySelectorAll("[data-custom]")) each.hidden = "hours" in span || "seconds" in span;
  for (const group of document.querySelectorAll("[data-choice]")) {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.value === choices[group.dataset.choice]));
  }
  followButton.setAttribute("aria-pressed", String(isLive()));
  backButton.disabled = !past.length;
  find("chosen").textContent = `${chosen().length} / ${most}`;
  offerExport();
}

// The same choice in the form of exports: a window back from now becomes one of times.
function offerExport() {
  if ("zone" in span) return; // typed, and not read yet
  const end = Date.now(), back = 1000 * Number(span.seconds ?? 3600 * (span.hours || 1)), place = find("exports");
  const choice = { points: chosen().join(","), start: span.from ?? iso(end - back), end: span.to ?? iso(end) };
  place.href = `${place.dataset.exports}&${new URLSearchParams(choice)}`;
}

// What the person left is kept for Back, unless the step is the follower's own.
function go(next, { keep = true } = {}) {
  if (keep) past.push(query().toString());
  if (past.length > 50) past.shift();
  next();
  show();
}

async function show({ quietly = false } = {}) {
  tell();
  waiting?.abort();
  waiting = null;
  stage.removeAttribute("aria-busy");
  const points = chosen();
  link.toggleAttribute("href", false);
  link.setAttribute("aria-disabled", String(!points.length));
  if (!points.length) { if (drawn) Plotly.purge(chart); drawn = null; cursor.show(null); find("png").disabled = true; note.textContent = words.trends.none; return; }
  link.href = `${form.dataset.export}?${query()}`;
  history.replaceState(null, "", `?${query()}`);
  const mine = new AbortController();
  waiting = mine;
  if (!drawn) note.textContent = words.trends.loading;
  stage.classList.toggle("is-waiting", !quietly);
  stage.setAttribute("aria-busy", "true");
  const answer = await ask(`${form.dataset.figure}?${query()}`, mine.signal);
  if (mine.signal.aborted) return;
  waiting = null;
  stage.classList.remove("is-waiting");
  stage.removeAttribute("aria-busy");
  if (answer.reason) { note.textContent = answer.reason; return; }
  pin(answer.body);
  await draw(answer.body);
}

// Typed times become moments as soon as the server has read them: an address means the same on every clock.
function pin({ from, to }) {
  if (!("from" in span)) return;
  span = { from: iso(from), to: iso(to) };
  fillCustom(from, to);
  history.replaceState(null, "", `?${query()}`);
  link.href = `${form.dataset.export}?${query()}`;
  offerExport();
}

async function ask(url, signal) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, signal }).catch(() => null);
  if (!answer) return { reason: words.trends.offline };
  if (answer.redirected) { location.reload(); return { reason: words.trends.loading }; }
  const body = await answer.json().catch(() => null);
  return answer.ok && body ? { body } : { reason: body?.reason ?? words.trends.failed };
}

async function draw(body) {
  const bands = body.data.filter((trace) => trace.meta.low).map(bandOf);
  const figure = themed({ data: [...bands, ...body.strips, ...body.data], layout: body.layout });
  for (const trace of figure.data) {
    if (trace.meta.kind === "band") { trace.fillcolor = trace.line.color; trace.line.width = 0; }
    if (trace.fillpattern) { trace.fillpattern.fgcolor = trace.line.color; trace.fillpattern.bgcolor = "transparent"; }
  }
  if (innerWidth < 640) Object.assign(figure.layout.xaxis, { nticks: 4, tickangle: 0 });
  drawn = body;
  await Plotly.react(chart, figure.data, figure.layout, { ...OPTIONS, displayModeBar: false, showTips: false });
  listen();
  cursor.show(body);
  find("png").disabled = false;
  note.textContent = body.count ? "" : words.trends.empty;
  find("resolution").textContent = ` · ${body.step_s ? fill(words.trends.means, words.trends.steps[body.step_s]) : words.trends.samples}`;
  happened(body);
}

// The band of a curve: along its highs and back along its lows, stretch by stretch, so that a gap stays one.
function bandOf(trace) {
  const { low, high } = trace.meta, x = [], y = [];
  let first = 0;
  for (let at = 0; at <= low.length; at++) {
    if (at < low.length && low[at] !== null && high[at] !== null) continue;
    if (at - first > 1) {
      for (let n = first; n < at; n++) { x.push(trace.x[n]); y.push(high[n]); }
      for (let n = at - 1; n >= first; n--) { x.push(trace.x[n]); y.push(low[n]); }
      x.push(null); y.push(null);
    }
    first = at + 1;
  }
  return { type: "scatter", mode: "lines", x, y, yaxis: trace.yaxis, fill: "toself", opacity: 0.25, hoverinfo: "none", showlegend: false, line: {}, meta: { tone: trace.meta.tone, kind: "band" } };
}

function happened({ marks, quality }) {
  const rows = [...marks, ...quality.map((each) => ({ time: each.from, words: `${each.curve}: ${each.words}`, until: each.to }))];
  rows.sort((a, b) => b.time - a.time);
  find("happened-count").textContent = rows.length || "";
  find("marks").replaceChildren(...rows.slice(0, 100).map((row) => {
    const line = document.createElement("li"), time = document.createElement("time");
    time.dateTime = new Date(row.time).toISOString();
    time.textContent = cursor.clock(row.time) + (row.until ? ` – ${cursor.clock(row.until)}` : "");
    const said = document.createElement(row.href ? "a" : "span");
    said.textContent = row.words;
    if (row.href) { said.href = row.href; said.className = "link"; }
    line.append(time, said);
    return line;
  }));
  if (!rows.length) { const none = document.createElement("li"); none.className = "dim"; none.textContent = words.trends.quiet; find("marks").append(none); }
}

const iso = (ms) => new Date(Math.round(ms)).toISOString();
function zoomTo(from, to) {
  if (!(to - from >= 1000)) { show(); return; }
  go(() => { span = { from: iso(from), to: iso(to) }; fillCustom(from, to); });
}

// The page's wall clock in the two fields, to the second; what somebody is writing stays.
function fillCustom(from, to) {
  for (const [name, ms] of [["from", from], ["to", to]]) if (document.activeElement !== form.elements[name]) form.elements[name].value = wallOf(ms);
}

function listen() {
  if (chart.dataset.listening) return;
  chart.dataset.listening = "yes";
  chart.on("plotly_relayout", (change) => {
    const ends = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (ends[0] === undefined || ends[1] === undefined) return;
    const [from, to] = ends.map((end) => Date.parse(`${String(end).replace(" ", "T")}Z`) - drawn.offset_ms);
    if (Math.abs(from - drawn.from) > 1 || Math.abs(to - drawn.to) > 1) zoomTo(from, to);
  });
  chart.on("plotly_doubleclick", () => { back(); return false; });
}

function zoomBy(factor) {
  if (!drawn) return;
  const middle = cursor.at ?? (drawn.from + drawn.to) / 2, half = (drawn.to - drawn.from) * factor / 2;
  zoomTo(middle - half, middle + half);
}

function back() {
  if (!past.length) return;
  read(new URLSearchParams(past.pop()));
  show();
}

picker.addEventListener("change", (event) => {
  if (chosen().length > most) { event.target.checked = false; note.textContent = fill(words.trends.tooMany, most); return; }
  show();
});
search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  for (const group of picker.querySelectorAll("details")) {
    const whole = group.querySelector("summary").textContent.toLowerCase().includes(wanted);
    let hits = 0;
    for (const label of group.querySelectorAll("label")) {
      const fits = whole || `${label.textContent} ${label.querySelector("input").value}`.toLowerCase().includes(wanted);
      label.hidden = !fits;
      hits += fits;
    }
    group.hidden = !hits;
    if (wanted) group.open = hits > 0 && !whole;
  }
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-hours]");
  if (!button) return;
  if (button.dataset.hours) { go(() => { span = { hours: button.dataset.hours }; following = true; }); return; }
  if (drawn) fillCustom(drawn.from, drawn.to);
  span = drawn ? { from: iso(drawn.from), to: iso(drawn.to) } : {};
  tell();
  form.elements.from.focus();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const data = new FormData(form);
  go(() => { span = { from: data.get("from"), to: data.get("to"), zone: pageZone }; });
});
// Following keeps the width of what is seen: a window that was zoomed goes on from now.
followButton.addEventListener("click", () => {
  if (isLive()) { following = false; show(); return; }
  go(() => { following = true; if ("from" in span && drawn) span = { seconds: String(Math.max(1, Math.round((Math.min(drawn.to, drawn.now) - drawn.from) / 1000))) }; });
});
for (const box of shows) box.addEventListener("change", () => show());
for (const group of document.querySelectorAll("[data-choice]")) {
  group.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) go(() => { choices[group.dataset.choice] = button.value; });
  });
}
stage.addEventListener("keydown", (event) => {
  if (event.key === "+") zoomBy(0.5); else if (event.key === "-" || event.key === "−") zoomBy(2); else if (event.key === "Backspace") back(); else return;
  event.preventDefault();
});
// A figure that came while somebody drags would end the drag.
stage.addEventListener("pointerdown", () => { pressed = true; });
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { pressed = false; });
backButton.addEventListener("click", back);
find("clear").addEventListener("click", () => { for (const box of boxes) box.checked = false; show(); });
find("png").addEventListener("click", () => {
  const { width, height } = chart.getBoundingClientRect();
  Plotly.downloadImage(chart, { format: "png", width, height, scale: 2, filename: `${form.dataset.code}-trends-${iso(drawn.from).slice(0, 19).replaceAll(":", "")}` });
});
offerViews(() => query().toString());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());
setInterval(() => { if (isLive() && !waiting && !pressed && !document.hidden && chosen().length) show({ quietly: true }); }, FOLLOW_MS);
read(new URLSearchParams(location.search));
show();
