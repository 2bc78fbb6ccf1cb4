// Measurements into elements: one value, its word, its age, its face when it is old, invalid or missing.
import { INVALID, MISSING, digits, direction, duration, fill, isFlagged, source, unitOf, validity, words } from "./quantities.js";

const MARKS = { 1: "S", 2: "E", 4: "F" };

function text(element, value) {
  if (element && element.textContent !== value) element.textContent = value;
}

export function showValue(element, point) {
  const [number, unit, mark] = [".n", ".u", ".mark"].map((part) => element.querySelector(part));
  const kind = element.dataset.unit;
  text(unit, unitOf(kind));
  element.classList.toggle("never", !point);
  if (!point) { text(number, MISSING); text(mark, ""); element.classList.remove("is-old", "is-invalid"); return; }
  const invalid = validity(point.q) === INVALID;
  text(number, point.text ?? labelled(element, point.value) ?? digits(point.value, kind));
  if (point.text !== null || element.dataset.labels) text(unit, "");
  element.classList.toggle("is-old", !invalid && point.old);
  element.classList.toggle("is-invalid", invalid && point.value !== null);
  text(mark, invalid ? "!" : validity(point.q) === 1 && !point.old ? "?" : MARKS[source(point.q)] ?? "");
}

function labelled(element, value) {
  if (!element.dataset.labels || value === null) return null;
  element.labels ??= JSON.parse(element.dataset.labels);
  return element.labels[value] ?? null;
}

export function showWord(element, point) {
  const { role } = element.dataset;
  const aged = point !== null && (point.old || document.body.classList.contains("not-live"));
  element.classList.toggle("age", aged);
  if (!point) text(element, words.never);
  else if (aged) text(element, element.tagName === "TD" ? "" : `◷ ${duration(point.age)}`); // a table has a column for ages
  else if (element.closest(".device.dead")) text(element, words.noSupply);
  else if (isFlagged(point.q, 256) || validity(point.q) === INVALID) text(element, words.unavailable);
  else text(element, direction(point.value, role));
}

// A sum is whole only when every part is there: else it says how many are missing.
export function sum(feed, refs) {
  let total = null, missing = 0, worst = null;
  for (const ref of refs) {
    const point = feed.read(ref);
    if (!point || point.value === null || validity(point.q) === INVALID) { missing += 1; continue; }
    total = (total ?? 0) + point.value;
    if (!point.good) worst = point.old ? point : worst ?? point;
    if (!worst || point.age > worst.age) worst = worst && worst.old && !point.old ? worst : point;
  }
  if (total === null) return { point: null, missing };
  return { point: { ...worst, value: total, text: null }, missing };
}

export function showSum(element, feed) {
  const refs = element.dataset.sum.split(" ").filter(Boolean);
  const { point, missing: lost } = sum(feed, refs), missing = lost + Number(element.dataset.unmeasured ?? 0);
  const parent = element.closest("dl > div") ?? element.parentElement;
  if (element.hasAttribute("data-sentence")) {
    element.classList.toggle("age", Boolean(point?.old));
    text(element, point ? `${point.old ? "◷ " : ""}${direction(point.value, element.dataset.role)} ${digits(Math.abs(point.value), "W")} kW${missing ? `, ${fill(words.missing, missing)}` : ""}` : "");
    return;
  }
  showValue(element, point);
  element.classList.toggle("part", missing > 0 && point !== null);
  const word = parent.querySelector("[data-sum-word]"), gap = parent.querySelector("[data-sum-missing]");
  if (word) showWord(word, point);
  if (gap) { gap.hidden = !(missing && point); text(gap, fill(words.missing, missing)); }
}

// What is left between the infeed and the devices at the ends, only when every part is known.
export function showRest(element, feed) {
  let rest = 0, worst = null;
  for (const part of element.closest("[data-balance]").querySelectorAll("[data-part]")) {
    const { point, missing } = sum(feed, part.dataset.sum.split(" ").filter(Boolean));
    if (!point || missing || Number(part.dataset.unmeasured)) { showValue(element, null); return; }
    rest += part.dataset.part === "grid" ? point.value : -point.value;
    if (!worst || (point.old && !worst.old)) worst = point;
  }
  showValue(element, { ...worst, value: rest, text: null });
}

// Mean state of charge weighted by capacity.
export function showCharge(element, feed) {
  let energy = 0, capacity = 0, worst = null;
  for (const part of element.dataset.charge.split(" ")) {
    const cut = part.lastIndexOf("="), point = feed.read(part.slice(0, cut)), weight = Number(part.slice(cut + 1)) || 1;
    if (!point || point.value === null || validity(point.q) === INVALID) continue;
    energy += point.value * weight;
    capacity += weight;
    if (!worst || (point.old && !worst.old)) worst = point;
  }
  const mean = capacity ? energy / capacity : null;
  element.dataset.unit = "%";
  showValue(element, mean === null ? null : { ...worst, value: mean, text: null });
  const bar = element.parentElement.querySelector(".soc");
  bar?.classList.toggle("is-old", Boolean(worst?.old));
  bar?.querySelector(".fill").setAttribute("width", mean === null ? 0 : (Math.max(0, Math.min(100, mean)) * 1.3).toFixed(1));
}

// The age since reception is what makes a value old; the field's own stamp is told where it is another time.
export function showAge(element, point) {
  if (!element.firstElementChild) element.replaceChildren(document.createElement("span"), document.createElement("small"));
  const [age, stamp] = element.children, apart = point && Math.abs(point.stamped) > 2000;
  text(age, point ? `${point.old ? "◷ " : ""}${duration(point.age)}` : words.never);
  text(stamp, !apart ? "" : fill(point.stamped > 0 ? words.stampedEarlier : words.stampedLater, duration(Math.abs(point.stamped))));
  stamp.hidden = !apart;
  element.title = point ? new Date(point.source).toISOString() : "";
}

// The band, the lag, the disabled controls: the same on every live page. `feeds` must all be live.
export function coverLost(feeds) {
  const band = document.querySelector("[data-lost]"), said = document.querySelector("[data-lost-words]"), lag = document.querySelector("[data-lag]");
  const dead = feeds.find((feed) => !feed.live && feed.lostAt !== null);
  const lost = Boolean(dead);
  band.hidden = !lost;
  // The band stands where the state line stood, so nothing shifts when it matters.
  document.querySelector("[data-state-line]")?.toggleAttribute("hidden", lost);
  document.body.classList.toggle("not-live", lost);
  document.querySelector(".clock")?.classList.toggle("lost", lost);
  lag.classList.toggle("lost", lost);
  if (lost) {
    const since = duration(performance.now() - dead.lostAt), rest = Math.ceil(((dead.retryAt ?? 0) - performance.now()) / 1000);
    text(said, dead.reason ? words[dead.reason] : rest > 0 ? fill(words.lost, since, rest) : fill(words.lostTrying, since));
    text(lag, words.notLive);
  } else if (feeds.every((feed) => feed.live)) {
    text(lag, fill(words.lag, duration(performance.now() - Math.min(...feeds.map((feed) => feed.heard)))));
  }
  document.dispatchEvent(new CustomEvent("liveness", { detail: !lost && feeds.every((feed) => feed.live) }));
}

export { text };
