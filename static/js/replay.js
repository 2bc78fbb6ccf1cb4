// The replay's controls: a slider over a window of time, steps, play, a date, a link. pilot.js fills the picture.
import { duration, fill, words } from "./quantities.js";
import { replay } from "./replay_feed.js";
import { text } from "./show.js";
import { clockAt, momentOf, pageZone, wallOf, zoneLabel } from "./time_zones.js";

const bar = document.querySelector("[data-replay-bar]"), slider = bar.elements.slider, date = bar.elements.at, span = bar.elements.span;
const past = document.querySelector("[data-past]"), play = bar.querySelector("[data-play]"), said = bar.querySelector("[data-said]");
const lang = document.documentElement.lang;
const MINUTE = 60000, TICK_MS = 250;
const day = new Intl.DateTimeFormat(lang, { timeZone: pageZone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
// The server's clock: a browser's that is ahead would ask for what has not been.
const ahead = Date.now() - Number(document.querySelector("[data-replay]").dataset.now), now = () => Date.now() - ahead;
let start = 0, end = 0, speed = 60, timer = null, settled = null;

const told = (ms) => `${day.format(ms)}, ${clockAt(ms, pageZone, { second: "2-digit" })} ${zoneLabel(ms)}`;

function window_(at) {
  const length = Number(span.value) * 1000;
  if (end - start === length && at >= start && at <= end) return;
  end = Math.min(now(), at + length / 2);
  start = end - length;
  slider.min = 0;
  slider.max = Math.floor(length / 1000);
  text(bar.querySelector("[data-from]"), told(start));
  text(bar.querySelector("[data-to]"), told(end));
}

function tell(at) {
  window_(at);
  slider.value = Math.round((at - start) / 1000);
  slider.setAttribute("aria-valuetext", told(at));
  if (document.activeElement !== date) date.value = wallOf(at);
  text(document.querySelector("[data-replay-time]"), told(at));
  text(document.querySelector("[data-replay-ago]"), fill(words.ago, duration(now() - at)));
}

// A deep link always leads to what is shown; browsers limit how often an address may change.
function settle() {
  clearTimeout(settled);
  settled = setTimeout(() => {
    const query = new URLSearchParams(location.search);
    query.set("pilot", replay.pilot);
    query.set("at", new Date(replay.wanted).toISOString());
    history.replaceState(null, "", `?${query}`);
  }, 400);
}

function go(at) {
  const then = Math.min(Math.round(at), now() - 1000);
  text(said, "");
  tell(then);
  replay.show(then);
  settle();
  return then === Math.round(at);
}

function pause() {
  clearInterval(timer);
  timer = null;
  text(play, words.replay.play);
  play.setAttribute("aria-pressed", "false");
}

function begin() {
  text(play, words.replay.pause);
  play.setAttribute("aria-pressed", "true");
  timer = setInterval(() => { if (!go(replay.wanted + speed * TICK_MS)) pause(); }, TICK_MS);
}

function toEvent(direction) {
  pause();
  const next = direction < 0 ? replay.frame?.previous_ms : replay.frame?.next_ms;
  if (next === null || next === undefined) text(said, words.replay.none);
  else go(next);
}

function step(event) {
  const sign = { ArrowLeft: -1, ArrowDown: -1, PageDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 1 }[event.key];
  if (sign && !event.altKey && !event.ctrlKey && !event.metaKey) {
    const minutes = event.key.startsWith("Page") ? 60 : event.shiftKey ? 15 : 1;
    event.preventDefault();
    pause();
    go(replay.wanted + sign * minutes * MINUTE);
  }
}

slider.addEventListener("input", () => { pause(); go(start + Number(slider.value) * 1000); });
slider.addEventListener("keydown", step);
document.addEventListener("keydown", (event) => { if (event.target === document.body) step(event); });
date.addEventListener("change", () => { const at = momentOf(date.value); if (Number.isFinite(at)) { pause(); go(at); } else if (date.value) text(said, words.replay.skipped); });
span.addEventListener("change", () => tell(replay.wanted));
bar.addEventListener("submit", (event) => event.preventDefault());
play.addEventListener("click", () => (timer ? pause() : begin()));
bar.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.minutes) { pause(); go(replay.wanted + Number(button.dataset.minutes) * MINUTE); }
  if (button?.dataset.event) toEvent(Number(button.dataset.event));
  if (button?.dataset.speed) {
    speed = Number(button.dataset.speed);
    bar.querySelectorAll("[data-speed]").forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
  }
  if (button?.hasAttribute("data-copy")) {
    const query = new URLSearchParams({ pilot: replay.pilot, at: new Date(replay.wanted).toISOString() });
    navigator.clipboard?.writeText(`${location.origin}${location.pathname}?${query}`).then(() => text(said, words.replay.copied), () => text(said, location.href));
  }
});
past.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-at]");
  if (!link || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  pause();
  go(Number(link.dataset.at));
});
replay.addEventListener("then", ({ detail }) => { replay.frame = detail; past.innerHTML = detail.past; });
// Focus stays on the replay while its times go on ageing.
setInterval(() => tell(replay.wanted), 1000);
text(play, words.replay.play);
go(replay.wanted);
