// The band of a pilot's page while fallback plans are in force: why, for how long, which devices.
import { duration, fill, quantity, words } from "./quantities.js";
import { text } from "./show.js";

const NAMED = 5;

export function showFallback(feed) {
  const band = document.querySelector("[data-fallback]"), runs = feed.guards.fallbacks;
  if (!band) return;
  band.hidden = !runs.length;
  if (!runs.length) return;
  const reasons = [...new Set(runs.map(({ reason }) => reason))], since = Math.min(...runs.map(({ since_ms }) => since_ms));
  const named = runs.slice(0, NAMED).map(({ device, value, unit }) => `${device} ${quantity(value, unit)}`);
  if (runs.length > NAMED) named.push(fill(words.guards.more, runs.length - NAMED));
  text(band.querySelector("[data-fallback-words]"), fill(words.guards.fallback, reasons.join(" "), duration(feed.now() - since), named.join(", ")));
}
