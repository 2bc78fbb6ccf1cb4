// The pilot page: frames into the diagram and the faceplate.
import { SUBSTITUTED, duration, fill, flowOf, source, words } from "./quantities.js";
import { Feed } from "./live.js";
import { replay } from "./replay_feed.js";
import { showFallback } from "./fallback.js";
import { coverLost, showAge, showRest, showSum, showValue, showWord, text } from "./show.js";
import { showCountdowns } from "./countdown.js";
import { inForce } from "./effect.js";
import { openMini, showMini } from "./mini_trend.js";
import { openSwitching, showSwitching } from "./switching.js";
import { firstField, heldWords, openForms, showForms, showLife } from "./setpoint.js";
import { clockAt } from "./time_zones.js";

const work = document.querySelector("[data-pilot]"), face = document.querySelector("[data-face]"), inside = document.querySelector("[data-face-inside]");
const feed = replay ?? new Feed(work.dataset.pilot);
const POSITIONS = ["between", "open", "closed", "bad"];
let dirty = true;

function showValues(scope) {
  for (const element of scope.querySelectorAll("[data-ref]")) showValue(element, feed.read(element.dataset.ref));
  for (const element of scope.querySelectorAll("[data-word]")) showWord(element, feed.read(element.dataset.word));
  for (const element of scope.querySelectorAll("[data-age]")) showAge(element, feed.read(element.dataset.age));
}

function showFlows() {
  for (const element of document.querySelectorAll("[data-flow]")) {
    const point = feed.read(element.dataset.flow), flow = point && point.good && feed.live ? flowOf(point.value) : 0;
    element.classList.toggle("none", flow === 0);
    element.classList.toggle("back", flow < 0);
  }
}

function position(ref) {
  const point = ref ? feed.read(ref) : null;
  return { known: Boolean(point && point.good && point.value !== null && feed.live), value: point?.value ?? null };
}

function showSwitches() {
  for (const element of document.querySelectorAll(".device.switch")) {
    const { known, value } = position(element.dataset.position), place = known ? POSITIONS[value] ?? "unknown" : "unknown";
    element.classList.remove(...POSITIONS, "unknown");
    element.classList.add(place);
    const word = known ? words.position[value] ?? words.positionUnknown : value === null ? words.positionUnknown : fill(words.lastKnown, words.position[value]);
    const point = element.dataset.position ? feed.read(element.dataset.position) : null, mark = point && source(point.q) === SUBSTITUTED ? " [S]" : "";
    text(element.querySelector("[data-word-position]"), word + mark);
    // A row of the ladder is named by what stands in it.
    if (element.dataset.label) element.setAttribute("aria-label", `${element.dataset.label}, ${word}`);
  }
}

function showSupply() {
  for (const element of document.querySelectorAll("[data-section]")) {
    const state = feed.supplyOf(element.dataset.section);
    element.classList.toggle("dead", state === "dead");
    if (!element.classList.contains("device")) element.classList.toggle("unknown", state === "unknown");
  }
  for (const element of document.querySelectorAll("[data-supply]")) text(element, words.supply[feed.supplyOf(element.dataset.supply)]);
}

function showBars() {
  for (const element of document.querySelectorAll("[data-bar]")) {
    const point = feed.read(element.dataset.bar), { limit, both } = element.dataset, bar = element.querySelector(".fill");
    const share = point && point.value !== null && !point.old && feed.live ? point.value / Number(limit) : 0, length = Math.min(1, Math.abs(share)) * (both ? 32 : 64);
    bar.setAttribute("width", length.toFixed(1));
    if (both) bar.setAttribute("x", (share < 0 ? 32 - length : 32).toFixed(1));
    element.classList.toggle("over", Math.abs(share) > 1);
  }
}

function showLinks() {
  for (const element of document.querySelectorAll("[data-links]")) {
    const { state } = feed.live ? feed.linkState(element.dataset.links) : { state: "unknown" };
    element.classList.remove("up", "degraded", "down", "unknown");
    element.classList.add(state);
  }
  for (const element of document.querySelectorAll("[data-link-state]")) {
    const { state, since } = feed.live ? feed.linkState(element.dataset.linkState) : { state: "unknown" };
    text(element, since ? fill(words.linkSince, words.link[state], duration(feed.now() - since)) : words.link[state]);
  }
  for (const element of document.querySelectorAll("[data-link-word]")) {
    const { state, since } = feed.linkState(element.dataset.linkWord), trouble = feed.live && (state === "down" || state === "degraded");
    element.classList.toggle("down", trouble && state === "down");
    element.classList.toggle("degraded", trouble && state === "degraded");
    text(element, trouble ? (since ? fill(words.linkSince, words.link[state], duration(feed.now() - since)) : words.link[state]) : element.dataset.text);
  }
}

// Links that are down, those we hold ourselves first, one entry a letter: "link a, es-SCADA to es-RTU01, for 2 min 56 s".
function brokenLinks() {
  const found = new Map();
  for (const [key, link] of feed.links) {
    if (link.state !== "down") continue;
    const [letter, a, b] = key.split("|"), kept = found.get(letter);
    if (!kept) found.set(letter, { letter, a, b, more: 0, since: link.since, ours: link.role === "ours" });
    else { kept.more += 1; kept.since = Math.min(kept.since ?? link.since, link.since ?? kept.since); }
  }
  return [...found.values()].sort((one, other) => other.ours - one.ours || one.letter.localeCompare(other.letter));
}

const LINKS_NAMED = 2;
function showTrouble(broken, { good, all }) {
  const named = broken.slice(0, LINKS_NAMED).map(({ letter, a, b, more, since }) => {
    const ends = more ? `${a}–${b} +${more}` : `${a}–${b}`;
    return fill(words.linkDown, letter.replace("'", "′"), ends, since ? duration(feed.now() - since) : "?");
  });
  if (broken.length > LINKS_NAMED) named.push(fill(words.linksMore, broken.length - LINKS_NAMED));
  text(document.querySelector("[data-state-live]"), good ? words.partlyLive : words.nothingLive);
  text(document.querySelector("[data-state-words]"), `${named.join("; ")}. ${fill(words.notGood, all - good, all)}`);
}

function showState() {
  const { good, all, newest, oldest } = feed.counts(), broken = feed.live ? brokenLinks() : [];
  document.querySelector("[data-state-line]").classList.toggle("trouble", broken.length > 0);
  if (broken.length) { showTrouble(broken, { good, all }); return; }
  text(document.querySelector("[data-state-live]"), feed.live ? words.live : feed.lostAt === null ? words.connecting : words.notLive);
  text(document.querySelector("[data-state-words]"), !feed.live ? "" : all ? fill(words.stateLine, good, all, duration(newest), duration(oldest)) : words.never);
}

// Tags and holders on the diagram, and the band that says commands are off.
const HOLDERS = { operator: "M", platform: "I", schedule: "S", control_centre: "C" };
function showGuards() {
  const { off, tags, holds, substitutions = [] } = feed.guards, now = feed.now(), forced = new Map(inForce(feed).reverse().map((record) => [record.device, record]));
  for (const element of document.querySelectorAll(".device")) {
    const { device } = element.dataset, tagged = tags.filter((tag) => tag.device === device);
    const held = holds.filter((hold) => hold.device === device && hold.until_ms > now);
    element.classList.toggle("tagged", tagged.length > 0);
    const setpoint = forced.get(device), letter = held.length ? "M" : HOLDERS[setpoint?.issuer] ?? "";
    element.classList.toggle("held", letter !== "");
    text(element.querySelector(".holdmark text"), letter);
    const byHand = substitutions.filter((made) => made.device === device && made.until_ms > now);
    element.classList.toggle("byhand", byHand.length > 0);
    const said = [...(element.classList.contains("dead") ? [words.noSupply] : []), ...byHand.map((made) => fill(words.guards.substituted, made.point, made.owner, made.reason, clockAt(made.until_ms))), ...(setpoint ? [heldWords(setpoint).join(" ")] : []), ...tagged.map(({ owner, reason }) => fill(words.guards.tag, owner, reason)), ...held.map(({ owner, reason }) => fill(words.guards.hold, owner, reason))];
    if (said.length) element.setAttribute("aria-description", said.join(" "));
    else element.removeAttribute("aria-description");
  }
  document.querySelector("[data-off]").hidden = !off.length;
  text(document.querySelector("[data-off-words]"), off.map(({ owner, reason, everywhere }) => fill(everywhere ? words.guards.offEverywhere : words.guards.offHere, owner, reason)).join(" "));
  const here = off.some(({ everywhere }) => !everywhere);
  for (const [form, hidden] of [["[data-off-form]", here], ["[data-on-form]", !here]]) { const found = document.querySelector(form); if (found) found.hidden = hidden; }
}

// Tags, holds and holders come from the server anew when they change; what somebody is typing stays.
async function renew() {
  const id = shown, answer = await fetch(address(id), { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected || shown !== id) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (shown !== id) return;
  for (const part of inside.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part=${part.dataset.part}]`);
    if (!next) continue;
    const focused = part.contains(document.activeElement) && document.activeElement;
    for (const old of part.querySelectorAll("details[open]")) {
      const place = next.querySelector(`form[action="${old.querySelector("form")?.getAttribute("action")}"]`)?.closest("details");
      place?.replaceWith(old);
    }
    part.replaceWith(next);
    if (focused) (next.contains(focused) ? focused : next.querySelector("summary, button, a") ?? inside.querySelector("[data-close]")).focus({ preventScroll: true });
  }
  show();
}

function show() {
  showSupply();
  showValues(document);
  document.querySelectorAll("[data-balance] [data-sum]").forEach((element) => showSum(element, feed));
  document.querySelectorAll("[data-rest]").forEach((element) => showRest(element, feed));
  showFlows();
  showBars();
  showSwitches();
  showLinks();
  showState();
  showGuards();
  showCountdowns(inside, feed);
  for (const button of inside.querySelectorAll("[data-needs-live]")) button.disabled = !feed.live;
  showMini(inside, feed);
  showFallback(feed);
  showLife(inside, feed);
  showForms(inside, feed);
  showSwitching(inside, feed);
  dirty = false;
}

let shown = "";
const seen = (id) => [...document.querySelectorAll(`.device[data-device="${CSS.escape(id)}"]`)].find((each) => each.checkVisibility());
const press = () => document.querySelectorAll(".device").forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.device === shown)));
const address = (id) => `${work.dataset.faceplates}${encodeURIComponent(id)}/`;
async function open(id) {
  shown = id;
  press();
  const answer = await fetch(address(id), { headers: { Accept: "text/html" } }).catch(() => null);
  if (shown !== id) return;
  if (answer?.redirected) { location.reload(); return; }
  if (!answer?.ok) { inside.replaceChildren(note(words.trends.offline)); return; }
  inside.innerHTML = await answer.text();
  inside.querySelector("[data-close]").addEventListener("click", close);
  openForms(inside, feed);
  openSwitching(inside, feed);
  openMini(inside);
  show();
  if (matchMedia("(max-width: 1180px)").matches) face.scrollIntoView({ block: "start" });
}

function note(sentence) {
  const paragraph = document.createElement("p");
  paragraph.className = "empty";
  paragraph.textContent = sentence;
  return paragraph;
}

function close() {
  const button = shown ? seen(shown) : null;
  shown = "";
  press();
  inside.replaceChildren();
  button?.focus();
}

// The next device along the conductors: towards the grid, away from it, beside it; else the nearest in that direction.
function neighbour(from, key) {
  const all = [...from.closest("[data-view], .scroller").querySelectorAll(".device")], { device, parent } = from.dataset;
  const beside = all.filter((other) => other.dataset.parent === parent && parent), place = beside.indexOf(from);
  const along = parent === undefined ? null
    : key === "ArrowUp" ? all.find((other) => other.dataset.device === parent)
    : key === "ArrowDown" ? all.find((other) => other.dataset.parent === device)
    : beside[place + (key === "ArrowLeft" ? -1 : 1)];
  return along ?? nearest(all, from, key);
}

function nearest(all, from, key) {
  const axis = key === "ArrowLeft" || key === "ArrowRight" ? ["x", "y"] : ["y", "x"], sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  const place = (each) => (each.querySelector(".hit") ?? each).getBoundingClientRect(), mine = place(from);
  let best = null, least = Infinity;
  for (const other of all) {
    const there = place(other), along = (there[axis[0]] - mine[axis[0]]) * sign, across = Math.abs(there[axis[1]] - mine[axis[1]]);
    if (other !== from && along > 4 && along + 3 * across < least) { least = along + 3 * across; best = other; }
  }
  return best;
}

document.querySelector(".picture").addEventListener("click", (event) => {
  const chosen = event.target.closest(".device")?.dataset.device ?? event.target.closest("[data-open]")?.dataset.open;
  if (chosen) open(chosen);
});
document.querySelector(".picture").addEventListener("keydown", (event) => {
  const device = event.target.closest(".device");
  if (!device) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    // Once more on the device whose faceplate stands open: on to its first set-point.
    if (device.dataset.device === shown && firstField(inside)) firstField(inside).focus();
    else open(device.dataset.device);
  }
  if (event.key.startsWith("Arrow")) {
    const next = neighbour(device, event.key);
    if (next) { event.preventDefault(); next.focus(); }
  }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && shown) close(); });
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
document.addEventListener("alarms", () => { if (shown) renew(); });
// An engineer changed the configuration: the picture is drawn anew, what is shown and chosen stays.
let drawn = null;
async function redraw() {
  const before = drawn;
  drawn = feed.drawing;
  if (before === null || before === drawn) return;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) { drawn = before; return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".paper"), paper = document.querySelector(".paper");
  if (!fresh || !paper) { location.reload(); return; }
  const focused = document.activeElement?.closest(".device")?.dataset.device;
  paper.replaceChildren(...fresh.children);
  document.dispatchEvent(new CustomEvent("redrawn"));
  if (focused) seen(focused)?.focus();
  press();
  show();
}

document.addEventListener("view", () => { press(); show(); });
document.addEventListener("stamp", ({ detail }) => Object.assign(detail, { now: feed.now(), live: feed.live, heard: feed.now() - (performance.now() - feed.heard) }));
feed.addEventListener("change", (event) => { if (event.detail.whole) redraw(); });
feed.addEventListener("change", (event) => { dirty = true; if (event.detail.guards) showGuards(); if (shown && (event.detail.guards || event.detail.setpoints.some(({ device }) => device === shown))) renew(); if (event.detail.whole || event.detail.setpoints.length) show(); });
for (const name of ["live", "lost"]) feed.addEventListener(name, () => { show(); coverLost([feed]); });
setInterval(() => { if (dirty) show(); }, 250);
setInterval(() => { show(); coverLost([feed]); }, 1000);
// A link that names a device opens it everywhere; unasked the first one opens where it stands beside the diagram.
const asked = new URLSearchParams(location.search).get("device"), beside = matchMedia("(min-width: 1181px)").matches;
const opening = asked || (beside && face.dataset.first);
if (opening) {
  // Values on the picture come first; without any it opens all the same.
  const openOnce = () => { clearTimeout(patience); if (!shown) open(opening); }, patience = setTimeout(openOnce, 1500);
  feed.addEventListener("change", openOnce, { once: true });
}
