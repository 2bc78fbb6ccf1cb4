// One schedule: the curve against the measurement, and what became of each step, anew every few seconds.
import { words } from "./quantities.js";
import { OPTIONS, themed } from "./plotted.js";

const EVERY_MS = 5000;
const page = document.querySelector("[data-schedule]"), chart = document.querySelector("[data-chart]"), note = document.querySelector("[data-note]");

async function follow() {
  const answer = await fetch(page.dataset.schedule, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer) { note.textContent = words.trends.offline; return; }
  if (answer.redirected) { location.reload(); return; }
  const body = await answer.json().catch(() => null);
  if (!answer.ok || !body) { note.textContent = words.trends.failed; return; }
  // A revision or another end changes more than the steps.
  if (body.version !== page.dataset.version) { if (!page.contains(document.activeElement)) location.reload(); return; }
  const { data, layout } = themed(body.figure);
  await Plotly.react(chart, data, layout, OPTIONS);
  note.textContent = body.figure.count ? "" : words.schedules.unmeasured;
  for (const step of body.steps) {
    const row = page.querySelector(`[data-step="${step.number}"]`);
    row.className = step.css;
    row.querySelector("[data-state]").textContent = step.words;
    row.querySelector("[data-why]").textContent = step.reason;
    if (step.css.includes("now")) row.setAttribute("aria-current", "step"); else row.removeAttribute("aria-current");
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
setInterval(() => { if (!document.hidden) follow(); }, EVERY_MS);
follow().then(() => page.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }));
