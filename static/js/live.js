// One pilot's live frames: snapshot, numbered changes, resync on a gap, loss after five silent seconds.
import { GOOD, QUESTIONABLE, SUBSTITUTED, source, validity } from "./quantities.js";

const SILENCE_MS = 5000, SEEN_MS = 2000, BACKOFF_S = [1, 2, 4, 6, 8, 10];
const OLD = 4 << 5;

export class Feed extends EventTarget {
  constructor(pilot) {
    super();
    this.pilot = pilot;
    this.points = new Map();
    this.links = new Map();
    this.setpoints = new Map();
    this.guards = { off: [], tags: [], holds: [], fallbacks: [] };
    this.offset = 0; // server clock less ours, ms
    this.supply = {};
    this.drawing = null;
    this.live = false;
    this.heard = 0;
    this.lostAt = null;
    this.tries = 0;
    this.reason = "";
    setInterval(() => this.watch(), 500);
    setInterval(() => this.say({ type: "seen", n: this.n }), SEEN_MS);
    addEventListener("pagehide", () => this.socket?.close());
    this.connect();
  }

  now() { return Date.now() + this.offset; }

  connect() {
    clearTimeout(this.timer);
    this.retryAt = null;
    this.n = this.epoch = null;
    this.opened = performance.now();
    const early = window.earlyFeed?.pilot === this.pilot && window.earlyFeed.socket.readyState <= WebSocket.OPEN ? window.earlyFeed : null;
    window.earlyFeed = null;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = early?.socket ?? new WebSocket(`${scheme}://${location.host}/ws/pilots/${this.pilot}/`);
    this.socket = socket;
    let said = early?.said ?? null;
    socket.onmessage = ({ data }) => { if (said) said.push([data, Date.now()]); else if (socket === this.socket) this.take(JSON.parse(data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.lose(event.code); };
    // What an early socket has said is told once the page's scripts listen.
    if (said) setTimeout(() => {
      const before = said;
      said = null;
      for (const [data, at] of before) if (socket === this.socket) this.take(JSON.parse(data), at);
      this.say({ type: "seen", n: this.n });  // the server has waited for it since the early hour
    });
  }

  retry() { this.tries = 0; this.reason = ""; this.abandon(); this.connect(); }

  abandon() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  say(message) {
    if (this.live && this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(message, at = Date.now()) {
    this.heard = performance.now();
    this.offset = message.now_ms - at;
    if (message.type === "snapshot") this.start(message);
    else if (message.epoch !== this.epoch || (message.type === "frame" && message.n !== this.n + 1)) { this.resync(); return; }
    else if (message.type === "beat" && message.n !== this.n) { this.resync(); return; }
    this.n = message.n;
    for (const row of message.points ?? []) this.keep(row);
    for (const [letter, a, b, state, since, role, figures] of message.links ?? []) this.links.set(`${letter}|${a}|${b}`, { letter, state, since, role, figures });
    for (const record of message.setpoints ?? []) this.setpoints.set(record.id, record);
    if (message.guards) this.guards = message.guards;
    if (message.supply) this.supply = message.supply;
    if (message.drawing !== undefined) this.drawing = message.drawing;
    if (!this.live) { this.live = true; this.lostAt = null; this.tries = 0; this.emit("live"); }
    this.emit("change", { points: message.points ?? [], links: message.links ?? [], setpoints: message.setpoints ?? [], guards: Boolean(message.guards), whole: message.type === "snapshot" });
  }

  start(message) {
    this.epoch = message.epoch;
    this.points.clear();
    this.links.clear();
  }

  keep([ref, value, q, sourceMs, receivedMs, text, maxAge]) {
    const before = this.points.get(ref);
    if (!before && maxAge === undefined) { this.resync(); }
    const age = maxAge === undefined ? before?.maxAge ?? null : maxAge;
    this.points.set(ref, { value, q, source: sourceMs, received: receivedMs, text: text ?? null, maxAge: age });
  }

  resync() {
    const now = performance.now();
    if (now - (this.asked ?? -9e9) < 1000) return;
    this.asked = now;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "resync" }));
  }

  watch() {
    const now = performance.now();
    if (this.live && now - this.heard > SILENCE_MS) { this.abandon(); this.lose(0); }
    else if (!this.live && this.socket && now - this.opened > SILENCE_MS * 2 && !this.retryAt) { this.abandon(); this.lose(0); }
    this.emit("tick");
  }

  lose(code) {
    const was = this.live;
    this.live = false;
    this.socket = null;
    if (this.lostAt === null) this.lostAt = was ? performance.now() - Math.min(SILENCE_MS, performance.now() - this.heard) : performance.now();
    this.reason = code === 4401 ? "ended" : code === 4403 ? "refusedSocket" : "";
    if (!this.reason) {
      const wait = BACKOFF_S[Math.min(this.tries++, BACKOFF_S.length - 1)] * 1000;
      this.retryAt = performance.now() + wait;
      this.timer = setTimeout(() => this.connect(), wait);
    }
    this.emit("lost");
  }

  // The measurement as it must be shown now: aged by the page itself, since a dead server marks nothing.
  read(ref) {
    const kept = this.points.get(ref);
    if (!kept) return null;
    const age = this.now() - kept.received;
    let { q } = kept;
    if (kept.maxAge !== null && age > kept.maxAge * 1000) q = Math.max(validity(q), QUESTIONABLE) | (q & ~3) | OLD;
    return { ...kept, q, age, stamped: kept.received - kept.source, good: validity(q) === GOOD, old: (q & OLD) !== 0 };
  }

  counts() {
    let good = 0, newest = Infinity, oldest = 0;
    for (const ref of this.points.keys()) {
      const point = this.read(ref);
      if (point.good && source(point.q) !== SUBSTITUTED) good += 1;
      newest = Math.min(newest, this.now() - point.received);
      // Status points come on change only: their age says nothing.
      if (point.maxAge !== null) oldest = Math.max(oldest, this.now() - point.received);
    }
    return { good, all: this.points.size, newest, oldest };
  }

  // Worst state of the edges named "letter|end|end ...".
  linkState(keys) {
    const found = keys.split(" ").map((key) => this.links.get(key)).filter(Boolean);
    for (const state of ["down", "degraded", "unknown"]) {
      const hit = found.filter((link) => link.state === state);
      if (hit.length) return { state, since: Math.max(...hit.map((link) => link.since ?? 0)) || null };
    }
    return { state: found.length ? "up" : "unknown", since: null };
  }

  // What the server found of a section of the network, as long as every reading it rests on is still good.
  supplyOf(section) {
    const [state, ...basis] = this.supply[section] ?? ["unknown"];
    return this.live && basis.every((ref) => this.read(ref)?.good) ? state : "unknown";
  }

  // Why nobody may command this device now; empty when one may.
  blocked(device) {
    if (this.guards.tags.some((tag) => tag.device === device)) return "tagged";
    return this.guards.off.length ? "off" : "";
  }

  emit(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
