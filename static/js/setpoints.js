// All set-points: the server finds the rows, the frames say when to ask again; the keys walk.
import { words } from "./quantities.js";
import { showCountdowns } from "./countdown.js";
import { Feed } from "./live.js";
import { coverLost, text } from "./show.js";

const ASK_MS = 700;
const place = document.querySelector("[data-rows]"), search = document.querySelector("[data-search-field]");
const feeds = place.dataset.pilots.trim().split(/\s+/).filter(Boolean).map((code) => new Feed(code));
let dirty = false, asking = false;

const links = () => [...place.querySelectorAll("tr a.open")];
const chosen = () => document.activeElement?.closest?.("tr[data-setpoint]");

// What a row tells, its countdown apart.
function told(row) {
  const copy = row.cloneNode(true);
  copy.querySelector("[data-countdown]")?.replaceChildren();
  return copy.outerHTML;
}

// A row that has not changed stays the same element, so focus and place are kept.
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html"), body = place.querySelector("tbody"), rows = fresh.querySelector("tbody");
  if (!body || !rows) { place.replaceChildren(...fresh.body.childNodes); return; }
  const kept = new Map([...body.rows].map((row) => [row.dataset.setpoint, row])), focused = chosen()?.dataset.setpoint;
  const wanted = [...rows.rows].map((row) => {
    const old = kept.get(row.dataset.setpoint);
    return old && old.told === (row.told = told(row)) ? old : row;
  });
  body.replaceChildren(...wanted);
  place.querySelector("nav").replaceWith(fresh.querySelector("nav"));
  place.querySelector("[data-active-count]").replaceWith(fresh.querySelector("[data-active-count]"));
  if (focused && chosen()?.dataset.setpoint !== focused) body.querySelector(`[data-setpoint="${CSS.escape(focused)}"] a.open`)?.focus({ preventScroll: true });
}

async function ask() {
  if (!dirty || asking || document.hidden) return;
  dirty = false;
  asking = true;
  const answer = await fetch(`${place.dataset.rows}${location.search}`, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) location.reload();
  else if (answer?.ok) take(await answer.text());
  else dirty = true;
  asking = false;
  show();
}

function show() {
  const live = feeds.length > 0 && feeds.every((feed) => feed.live);
  if (feeds.length) showCountdowns(place, feeds[0]);
  const active = place.querySelector("[data-active-count]")?.textContent ?? "";
  text(document.querySelector("[data-state-live]"), live ? `${words.live}${active ? `, ${active}` : ""}` : words.connecting);
}

function walk(step) {
  const all = links(), at = all.indexOf(chosen()?.querySelector("a.open")), next = at < 0 ? (step > 0 ? 0 : -1) : at + step;
  if (next < all.length) all.at(Math.max(next, 0))?.focus();
  else place.querySelector("nav a[rel=next]")?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape" && event.target === search) { event.preventDefault(); walk(1); }
    return;
  }
  if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); walk(step); }
});
place.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-setpoint]");
  if (row && !event.target.closest("a") && !String(getSelection())) row.querySelector("a.open").click();
});
document.querySelector("[data-retry]").addEventListener("click", () => feeds.forEach((feed) => feed.retry()));
for (const feed of feeds) {
  // A snapshot may hold what was missed while the page was not live.
  feed.addEventListener("change", ({ detail }) => { if (detail.whole || detail.setpoints.length) dirty = true; });
  for (const name of ["live", "lost"]) feed.addEventListener(name, () => { show(); coverLost(feeds); });
}
for (const row of place.querySelectorAll("tr[data-setpoint]")) row.told = told(row);
setInterval(ask, ASK_MS);
setInterval(() => { show(); coverLost(feeds); }, 1000);
