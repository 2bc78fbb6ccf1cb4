// The page's clock: its zone, and how moments and zones are written in it. The server says which (pilots/ui/time_zones.py).
const clock = document.querySelector("[data-clock]");
export const pageZone = clock?.dataset.clock ?? "UTC";

const offsets = new Map();
const made = (zone) => offsets.get(zone) ?? offsets.set(zone, new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "shortOffset" })).get(zone);

// "UTC+2": how far the zone's clock is from UTC at the moment.
export function offsetOf(ms, zone = pageZone) {
  return made(zone).formatToParts(ms).find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC").replace("-", "−");
}

// "Sofia, UTC+2": as the server's zone_label.
export function zoneLabel(ms, zone = pageZone) {
  return zone === "UTC" ? zone : `${zone.split("/").pop().replaceAll("_", " ")}, ${offsetOf(ms, zone)}`;
}

// 14:03, or 14:03:20 with seconds.
export function clockAt(ms, zone = pageZone, more = {}) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...more }).format(ms);
}

// Wall clock of the zone as a field takes it, to the second.
const walls = new Map();
export function wallOf(ms, zone = pageZone) {
  const known = walls.get(zone) ?? walls.set(zone, new Intl.DateTimeFormat("sv-SE", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" })).get(zone);
  return known.format(ms).replace(" ", "T");
}

// A field's wall clock as a moment: in an hour that comes twice the first one, NaN in one that is skipped.
export function momentOf(wall, zone = pageZone) {
  const given = Date.parse(`${wall}Z`);
  if (Number.isNaN(given)) return NaN;
  const behind = (ms) => Date.parse(`${wallOf(ms, zone)}Z`) - Math.floor(ms / 1000) * 1000;
  return [given - behind(given - 43200000), given - behind(given)].find((ms) => wallOf(ms, zone).startsWith(wall)) ?? NaN;
}
