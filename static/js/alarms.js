// The alarm page: the server finds the rows, the strip's socket says when to ask again; keys walk, choose and acknowledge.
import { fill, words } from "./quantities.js";
import { play, post, wake } from "./alarm_strip.js";

const place = document.querySelector("[data-alarm-rows]"), detail = document.querySelector("[data-alarm-detail]"), bar = document.querySelector("[data-chosen]");
const search = document.querySelector("[data-search-field]"), live = document.querySelector("[data-alarms-live]"), work = place.parentElement;
const strip = document.querySelector("[data-alarmstrip]");
let asking = false, again = false;

const rows = () => [...place.querySelectorAll("tr[data-alarm]")];
const links = () => rows().map((row) => row.querySelector("a.open"));
const current = () => document.activeElement?.closest?.("tr[data-alarm]");
const picked = () => [...place.querySelectorAll("[data-pick]:checked")].map((box) => box.value);
const opened = () => new URLSearchParams(location.search).get("alarm");

async function ask() {
  if (asking) { again = true; return; }
  asking = true;
  const answer = await fetch(`${place.dataset.alarmRows}${location.search}`, { headers: { Accept: "text/html" } }).catch(() => null);
  asking = false;
  if (answer?.redirected) { location.reload(); return; }
  if (answer?.ok || answer?.status === 400) take(await answer.text());
  if (again) { again = false; ask(); }
}

function take(html) {
  const chosen = new Set(picked()), focused = current()?.dataset.alarm, unfolded = new Set([...place.querySelectorAll(".flood details[open]")].map(of));
  place.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  for (const box of place.querySelectorAll("[data-pick]")) box.checked = chosen.has(box.value);
  for (const fold of place.querySelectorAll(".flood details")) fold.open = unfolded.has(of(fold));
  if (focused) place.querySelector(`[data-alarm="${CSS.escape(focused)}"] a.open`)?.focus({ preventScroll: true });
  show();
}

const of = (fold) => fold.closest("tr").previousElementSibling.dataset.alarm;

function show() {
  const count = picked().length;
  bar.hidden = !count;
  bar.querySelector("[data-chosen-count]").textContent = fill(bar.querySelector("[data-chosen-count]").dataset.words, count);
  for (const row of rows()) row.classList.toggle("is-open", row.dataset.alarm === opened());
}

// What is written in the panel's forms stays: it is asked anew only when another alarm is opened or its state changed.
async function open(key) {
  const query = new URLSearchParams(location.search);
  if (key) query.set("alarm", key); else query.delete("alarm");
  history.replaceState(null, "", `?${query}`);
  detail.hidden = !key;
  work.classList.toggle("has-detail", Boolean(key));
  if (key) await refresh(key);
  show();
}

async function refresh(key) {
  const answer = await fetch(`${location.pathname}${key}/`, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const written = detail.contains(document.activeElement) && document.activeElement.matches("input, select") && detail.dataset.of === key;
  detail.dataset.of = key;
  if (!written) detail.replaceChildren(...fresh.childNodes);
}

async function send(form, url) {
  const body = new FormData(form), refused = form.querySelector("[data-refused]");
  if (form === bar) picked().forEach((key) => body.append("alarm", key));
  const told = await post(url, body);
  refused.hidden = !told;
  refused.textContent = told;
  if (told) return;
  form.reset();
  document.activeElement?.blur();
  await ask();
  if (opened()) await refresh(opened());
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-alarm-form], [data-chosen]")) return;
  event.preventDefault();
  send(event.target, event.submitter?.hasAttribute("formaction") ? event.submitter.formAction : event.target.action);
});

place.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) for (const box of place.querySelectorAll("[data-pick]")) box.checked = event.target.checked;
  show();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post]:not(section)");
  if (button) {
    button.disabled = true;
    const refused = await post(button.dataset.post, new URLSearchParams()); // a form without a single field is none to Django
    if (refused) live.textContent = refused;
    await ask();
    return;
  }
  if (event.target.closest("[data-test-sound]")) { await wake(); play(1); return; }
  if (event.target.closest("[data-close]")) { event.preventDefault(); open(""); return; }
  const row = event.target.closest("tr[data-alarm]");
  if (!row || event.target.closest("button, input") || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  open(row.dataset.alarm);
});

function walk(step) {
  const all = links(), at = all.indexOf(current()?.querySelector("a.open")), next = at < 0 ? (step > 0 ? 0 : -1) : at + step;
  if (next < all.length) all.at(Math.max(next, 0))?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") { event.preventDefault(); walk(1); }
    return;
  }
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); walk(step); }
  else if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "a") current()?.querySelector("[data-acknowledge]")?.click();
  else if (event.key === "x") current()?.querySelector("[data-pick]")?.click();
  else if (event.key === "Escape" && opened()) open("");
});

document.addEventListener("alarms", () => { ask(); if (opened()) refresh(opened()); });
document.addEventListener("alarmsocket", ({ detail: heard }) => {
  live.textContent = heard ? words.live : strip.dataset.unheard;
  document.body.classList.toggle("not-live", !heard);
});
show();
