// The wall screen: each page lives in a frame of its own with its own socket, one of them in sight. Frames are never added.
import { duration } from "./quantities.js";

const stage = document.querySelector("[data-kiosk]"), frames = [...stage.querySelectorAll("iframe")];
const find = (name) => document.querySelector(`[data-${name}]`);
const ASK_MS = 3000, LOST_MS = 6000, ANSWER_MS = 5000, AGAIN_MS = 15000, OLD_MS = 12 * 3600 * 1000, TICK_MS = 250, SCROLL_PX = 120;
const KEYS = { ArrowDown: SCROLL_PX, ArrowUp: -SCROLL_PX };
let at = 0, shownMs = 0, paused = false, over = false, heard = performance.now(), ticked = performance.now();

const loaded = new Map(), broken = new Set();
function load(frame) {
  const first = !loaded.has(frame);
  loaded.set(frame, performance.now());
  // Replaced, not visited: the history of the screen must not grow.
  if (first) frame.src = frame.dataset.href;
  else frame.contentWindow.location.replace(frame.dataset.href);
}

// A frame whose page never came, or was refused, holds a document that is none of ours.
function works(frame) {
  try {
    return Boolean(frame.contentDocument?.querySelector("body.kiosk .alarmstrip"));
  } catch {
    return false;
  }
}

function show() {
  frames.forEach((frame, place) => frame.classList.toggle("in-sight", place === at));
  const frame = frames[at];
  find("name").textContent = frame?.title ?? "";
  find("place").textContent = frames.length ? `${at + 1} / ${frames.length}` : "";
}

function turn(step) {
  if (!frames.length) return;
  const left = frames[at];
  at = (at + step + frames.length) % frames.length;
  shownMs = 0;
  show();
  // Once in a while a page starts anew out of sight: a screen hangs for months.
  if (isLive() && left !== frames[at] && performance.now() - loaded.get(left) > OLD_MS) load(left);
}

const isLive = () => performance.now() - heard < LOST_MS;

function pause() {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", String(paused));
}

function tick() {
  const now = performance.now(), frame = frames[at];
  if (!paused && frame) shownMs += now - ticked;
  ticked = now;
  if (frame && shownMs >= Number(frame.dataset.seconds) * 1000) turn(1);
  find("progress").value = frame ? Math.min(1, shownMs / (Number(frames[at].dataset.seconds) * 1000)) : 0;
  const lost = !isLive() && !over;
  document.body.classList.toggle("not-live", lost);
  find("lost").hidden = !lost;
  const said = find("lost-words");
  if (lost) said.textContent = said.dataset.words.replace("%s", duration(now - heard));
  mend(now);
}

function mend(now) {
  for (const frame of frames) {
    if (works(frame)) broken.delete(frame);
    else if (now - loaded.get(frame) > AGAIN_MS) {
      broken.add(frame);
      if (isLive()) load(frame);
    }
  }
  find("broken").hidden = !broken.has(frames[at]);
}

function shut() {
  over = true;
  for (const frame of frames.splice(0)) frame.remove();
  find("over").hidden = false;
  show();
}

async function ask() {
  const answer = await fetch(stage.dataset.told, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok && told) {
    heard = performance.now();
    const same = frames.map((frame) => frame.dataset.show).join() === told.pages.join();
    if (over || !same) { location.reload(); return; }
  } else if (answer?.status === 403 && told?.code === "closed") {
    heard = performance.now();
    if (!over) shut();
  }
  setTimeout(ask, ASK_MS);
}

document.addEventListener("keydown", (event) => {
  const button = event.target.closest?.("button");
  if (event.key === " " && !button) pause();
  else if (event.key === "ArrowRight") turn(1);
  else if (event.key === "ArrowLeft") turn(-1);
  else if (event.key in KEYS) frames[at]?.contentWindow.scrollBy(0, KEYS[event.key]);
  else return;
  event.preventDefault();
});
document.addEventListener("wheel", (event) => frames[at]?.contentWindow.scrollBy(0, event.deltaY));
find("pause").addEventListener("click", pause);
for (const button of document.querySelectorAll("[data-step]")) button.addEventListener("click", () => turn(Number(button.dataset.step)));

frames.forEach(load);
show();
ask();
setInterval(tick, TICK_MS);
