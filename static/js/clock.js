// The clock of the page's zone, and the switch beside it.
import { clockAt, pageZone, zoneLabel } from "./time_zones.js";

const clock = document.querySelector("[data-clock]"), choices = document.querySelector("[data-clocks]");
if (clock) {
  const day = new Intl.DateTimeFormat(document.documentElement.lang, { timeZone: pageZone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
  // Chosen anew in another window: what this one fetches from now on would not be of the clock that it names.
  const isStill = () => !/(^|; )clock=/.test(document.cookie) || document.cookie.split("; ").includes(`clock=${clock.dataset.kept}`);
  const tick = () => {
    if (!isStill()) { location.reload(); return; }
    const now = Date.now();
    clock.querySelector("b").textContent = clockAt(now, pageZone, { second: "2-digit" });
    clock.querySelector("[data-zone]").textContent = [...new Set([clock.dataset.words, zoneLabel(now)])].join(" · ");
    clock.querySelector("[data-date]").textContent = day.format(now);
    for (const local of document.querySelectorAll("[data-local]")) local.textContent = `${clockAt(now, local.dataset.local)} ${zoneLabel(now, local.dataset.local)}`;
  };
  tick();
  setInterval(tick, 1000);
}
// Scripts keep a page's state in its address: it comes back as it stands, unless the address is that of a deed.
choices?.addEventListener("submit", () => {
  const { next } = choices.elements;
  if (next.value && new URL(next.value, location.href).pathname === location.pathname) next.value = location.pathname + location.search + location.hash;
});
