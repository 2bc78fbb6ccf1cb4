// History: figure JSON from the server, drawn by Plotly in the tokens of the page.
import { words } from "./quantities.js";
import { OPTIONS, themed } from "./plotted.js";

const MOST = 12, FOLLOW_MS = 10000;
const form = document.querySelector("[data-window]"), chart = document.querySelector("[data-chart]"), note = document.querySelector("[data-note]");
const picker = document.querySelector("[data-picker]"), search = document.querySelector("[data-search]"), link = document.querySelector("[data-csv]");
const boxes = [...picker.querySelectorAll("input")];
let hours = "1", asked = 0, drawn = false;

const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);

function query() {
  const data = new FormData(form), parameters = new URLSearchParams();
  for (const point of chosen()) parameters.append("points", point);
  if (hours) parameters.set("hours", hours);
  else { parameters.set("from", data.get("from")); parameters.set("to", data.get("to")); }
  return parameters;
}

// The same choice in the form of exports: a window back from now becomes one of times.
function prefill(points) {
  const end = new Date(), start = new Date(end - Number(hours) * 3600000);
  const [from, to] = hours ? [start.toISOString(), end.toISOString()] : [form.elements.from.value, form.elements.to.value];
  const place = form.querySelector("a[data-export]");
  place.href = `${place.dataset.export}&${new URLSearchParams({ points: points.join(","), start: from, end: to })}`;
}

async function show() {
  const points = chosen(), mine = ++asked;
  prefill(points);
  document.querySelector("[data-chosen]").textContent = `${points.length} / ${MOST}`;
  link.toggleAttribute("href", false);
  link.setAttribute("aria-disabled", String(!points.length));
  if (!points.length) { if (drawn) Plotly.purge(chart); drawn = false; note.textContent = words.trends.none; return; }
  link.href = `${form.dataset.export}?${query()}`;
  if (!drawn) note.textContent = words.trends.loading;
  history.replaceState(null, "", `?${query()}`);
  const answer = await fetch(`${form.dataset.figure}?${query()}`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (mine !== asked) return;
  if (!answer) { note.textContent = words.trends.offline; return; }
  const body = await answer.json().catch(() => ({ reason: words.trends.failed }));
  if (mine !== asked) return;
  if (!answer.ok) { note.textContent = body.reason ?? words.trends.failed; return; }
  const { data, layout } = themed(body);
  await Plotly.react(chart, data, layout, OPTIONS);
  drawn = true;
  note.textContent = body.count ? "" : words.trends.empty;
}

picker.addEventListener("change", (event) => {
  if (chosen().length > MOST) { event.target.checked = false; note.textContent = words.trends.tooMany; return; }
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
  hours = button.dataset.hours;
  form.querySelectorAll("[data-hours]").forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
  form.querySelectorAll("[data-custom]").forEach((each) => { each.hidden = Boolean(hours); });
  if (hours) show();
});
form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
document.querySelector("[data-clear]").addEventListener("click", () => { boxes.forEach((box) => { box.checked = false; }); show(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
setInterval(() => { if (hours && form.elements.follow.checked && !document.hidden && chosen().length) show(); }, FOLLOW_MS);
const asking = new URLSearchParams(location.search), given = asking.get("hours");
if (asking.get("from") && asking.get("to")) {
  form.querySelector('[data-hours=""]').click();
  for (const name of ["from", "to"]) form.elements[name].value = asking.get(name);
  show();
} else if (given && form.querySelector(`[data-hours="${CSS.escape(given)}"]`)) form.querySelector(`[data-hours="${CSS.escape(given)}"]`).click();
else show();
