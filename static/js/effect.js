// What a wish would do, said before it is sent: old and new, the limits of this moment, whom it replaces, when it ends.
import { digits, fill, quantity, unitOf, words } from "./quantities.js";
import { text } from "./show.js";
import { clockAt, zoneLabel } from "./time_zones.js";

// Set-points that hold their point now, the strongest first: the same rule as the server's, followed by the frames.
export function inForce(feed) {
  const now = feed.now();
  const held = [...feed.setpoints.values()].filter((record) => record.issuer !== "fallback"
    && (record.active || ["validated", "dispatched", "unknown"].includes(record.state))
    && Date.parse(record.valid_until) > now && (!record.valid_from || Date.parse(record.valid_from) <= now));
  return held.sort((a, b) => a.priority - b.priority || Date.parse(b.received_at) - Date.parse(a.received_at));
}

function bound(feed, ref) {
  const turned = ref.startsWith("-"), point = ref ? feed.read(turned ? ref.slice(1) : ref) : null;
  return point?.good && point.value !== null ? (turned ? -point.value : point.value) : null;
}

// Least and most: as declared, narrowed by what the device says it can do now.
export function limits(form, feed) {
  const { minimum, maximum, minimumFrom, maximumFrom } = form.dataset;
  const low = bound(feed, minimumFrom ?? ""), high = bound(feed, maximumFrom ?? "");
  return [Math.max(Number(minimum), low ?? -Infinity), Math.min(Number(maximum), high ?? Infinity)];
}

function difference(value, current, unit) {
  if (!Number.isFinite(value) || current === null) return "";
  const by = value - current, amount = `${digits(Math.abs(by), unit)} ${unitOf(unit)}`;
  return Number(digits(by, unit).replace("−", "-")) === 0 ? words.setpoint.same : fill(by > 0 ? words.setpoint.more : words.setpoint.less, amount);
}

function replaces(form, feed) {
  const { device, point, priority } = form.dataset;
  const held = inForce(feed).filter((record) => record.device === device && record.point === point);
  if (!held.length) return words.setpoint.nobody;
  const [first] = held;
  if (first.priority < Number(priority)) return fill(words.setpoint.stronger, first.requested_by, first.priority, priority);
  return held.map((record) => fill(words.setpoint.replaces, quantity(record.value, record.unit), record.requested_by)).join(", ");
}

// A battery that follows a target for all its time; losses are not told, so it says "about".
function charge(form, feed, value, minutes, until) {
  const point = feed.read(form.dataset.soc), capacity = Number(form.dataset.capacity);
  if (!point || point.value === null || !Number.isFinite(value) || !capacity) return point ? quantity(point.value, "%") : "–";
  const then = Math.min(100, Math.max(0, point.value + (value * minutes / 60 / capacity) * 100));
  return fill(words.setpoint.about, quantity(point.value, "%"), quantity(then, "%"), until);
}

export function showEffect(form, feed, { value, minutes, end }) {
  const { unit, feedback, mode } = form.dataset, part = (name) => form.querySelector(`[data-${name}]`);
  const point = feedback ? feed.read(feedback) : null, ends = feed.now() + minutes * 60000, until = clockAt(ends);
  text(part("current"), point ? quantity(point.value, unit) : "–");
  text(part("new"), Number.isFinite(value) ? quantity(value, unit) : "–");
  text(part("difference"), mode === "limit" ? "" : difference(value, point?.value ?? null, unit));
  text(part("limits"), fill(words.setpoint.bounds, ...limits(form, feed).map((each) => quantity(each, unit))));
  text(part("replaces"), replaces(form, feed));
  if (part("charge")) text(part("charge"), charge(form, feed, value, minutes, until));
  text(part("until"), `${until} ${zoneLabel(ends)}, ${end.then}`);
}
