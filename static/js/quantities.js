// How numbers, ages and qualities are written. The same units as pilots/ui/quantities.py.
const element = document.getElementById("words");
export const words = element ? JSON.parse(element.textContent) : {};

const UNITS = {
  W: ["kW", 1000, 1], var: ["kvar", 1000, 1], VA: ["kVA", 1000, 1], Wh: ["kWh", 1000, 1], V: ["V", 1, 1], A: ["A", 1, 1],
  Hz: ["Hz", 1, 2], "%": ["%", 1, 1], degC: ["°C", 1, 1], "W/m2": ["W/m²", 1, 0], "m/s": ["m/s", 1, 1], s: ["s", 1, 0], "1": ["", 1, 0],
};
export const MISSING = "–";

export function fill(sentence, ...parts) {
  return parts.reduce((text, part) => text.replace("%s", () => part), sentence ?? "");
}

// Groups of three by a narrow space that does not break: 11 284.
export const grouped = (text) => { const [whole, rest] = text.split("."); return whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (rest === undefined ? "" : `.${rest}`); };

export function unitOf(unit) {
  return (UNITS[unit] ?? [unit ?? "", 1, 2])[0];
}

export function digits(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const [, factor, decimals] = UNITS[unit] ?? ["", 1, 2];
  const text = (value / factor).toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

export function quantity(value, unit) {
  return `${digits(value, unit)} ${unitOf(unit)}`.trim();
}

export function duration(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 10) return fill(words.second, s.toFixed(1));
  if (s < 60) return fill(words.second, Math.round(s));
  if (s < 3600) return `${fill(words.minute, Math.floor(s / 60))} ${fill(words.second, Math.round(s % 60))}`;
  if (s < 172800) return `${fill(words.hour, Math.floor(s / 3600))} ${fill(words.minute, Math.floor((s % 3600) / 60))}`;
  return fill(words.day, Math.floor(s / 86400));
}

// Packed quality: bits 0-1 validity, 2-4 source, from 5 on flags (4 = old, 256 = not available).
export const GOOD = 0, QUESTIONABLE = 1, INVALID = 2;
export const SUBSTITUTED = 1;
export const validity = (q) => q & 3;
export const source = (q) => (q >> 2) & 7;
export const isFlagged = (q, flag) => ((q >> 5) & flag) !== 0;

// A dead band keeps noise around nothing from flickering between two directions: 20 W or 0.05 kW shown as 0.0.
export function direction(value, role) {
  const spoken = words.direction[role] ?? words.direction.load;
  if (value === null || value === undefined) return "";
  return Math.abs(value) < 50 ? spoken[1] : value > 0 ? spoken[2] : spoken[0];
}

export const flowOf = (value) => (value === null || value === undefined || Math.abs(value) < 50 ? 0 : Math.sign(value));
