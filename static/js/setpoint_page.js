// One set-point: what the server tells of it anew at every change, the chart while it goes on, the countdown each second.
import { duration, fill, words } from "./quantities.js";
import { Feed } from "./live.js";
import { OPTIONS, themed } from "./plotted.js";
import { coverLost, text } from "./show.js";
import { showCountdowns } from "./countdown.js";

const DRAW_MS = 2000;
const place = document.querySelector("[data-told]"), { id, pilot, device, point } = place.dataset;
place.querySelector("[data-chart-slot]").replaceWith(document.querySelector("[data-chart-place]").content.cloneNode(true));
const chart = document.querySelector("[data-chart]"), note = document.querySelector("[data-note]");
const feed = new Feed(pilot);
let asking = false, dirty = false, drawing = false, drawnAt = 0, since = 0;

const state = () => place.querySelector("[data-part=head]").dataset.state;
const active = () => place.querySelector("[data-part=head] [data-countdown]") !== null;

// Part by part, so that the chart stays; folds that were open stay so, and the keyboard keeps its place.
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const folds = [...place.querySelectorAll("details[data-fold][open]")].map((fold) => fold.dataset.fold);
  for (const part of place.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part=${part.dataset.part}]`), mine = part.contains(document.activeElement);
    if (!next) continue;
    part.replaceWith(next);
    if (mine) (next.querySelector("button, a") ?? next).focus({ preventScroll: true });
  }
  for (const fold of folds) place.querySelector(`details[data-fold="${fold}"]`)?.setAttribute("open", "");
}

async function ask() {
  if (!dirty || asking) return;
  dirty = false;
  asking = true;
  const before = state(), answer = await fetch(place.dataset.told, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) location.reload();
  else if (answer?.ok) take(await answer.text());
  else dirty = true;
  asking = false;
  if (state() !== before) { since = performance.now(); draw(); }
  show();
}

async function draw() {
  if (drawing || document.hidden) return;
  drawing = true;
  drawnAt = performance.now();
  const answer = await fetch(chart.dataset.chart, { headers: { Accept: "application/json" } }).catch(() => null);
  const body = answer?.ok ? await answer.json().catch(() => null) : null;
  if (body) {
    const { data, layout } = themed(body);
    await Plotly.react(chart, data, layout, OPTIONS);
  }
  text(note, body ? (body.count ? "" : words.setpoint.unmeasured) : words.trends.offline);
  drawing = false;
}

function show() {
  showCountdowns(place, feed);
  for (const button of place.querySelectorAll("[data-needs-live]")) button.disabled = !feed.live;
  const waiting = since && ["validated", "dispatched", "unknown"].includes(state());
  text(document.querySelector("[data-state-live]"), !feed.live ? words.connecting : waiting ? `${words.live}, ${fill(words.setpoint.since, duration(performance.now() - since))}` : words.live);
}

const mine = (record) => record.id === id || (record.device === device && record.point === point);
feed.addEventListener("change", ({ detail }) => {
  if (detail.whole || detail.guards || detail.setpoints.some(mine)) { dirty = true; ask(); }
});
for (const name of ["live", "lost"]) feed.addEventListener(name, () => { show(); coverLost([feed]); });
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
setInterval(() => {
  ask();
  show();
  coverLost([feed]);
  // A minute after the end the curve has nothing new to say.
  if (active() || performance.now() - since < 60000) { if (performance.now() - drawnAt > DRAW_MS) draw(); }
}, 1000);
draw();
