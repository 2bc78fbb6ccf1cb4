// The links page: figures of every link live, one link in detail, the frames of its connection.
import { MISSING, duration, fill, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, text } from "./show.js";

const TREND_MS = 600000, LOG_MS = 1000, MOST_SHOWN = 500;
const work = document.querySelector("[data-pilot]"), detail = document.querySelector("[data-detail]"), list = document.querySelector("[data-log]");
const edges = JSON.parse(document.getElementById("edges").textContent), rows = [...document.querySelectorAll("[data-group]")];
const feed = new Feed(`${work.dataset.pilot}/links`);
const part = (name) => detail.querySelector(`[data-${name}]`);
const trips = new Map(); // edge key -> [[ms, p50]], the last ten minutes
let chosen = edges[0], log = { count: 0, frames: [] }, paused = false, asked = 0;

const linkOf = (edge) => feed.links.get(edge.key);
const figuresOf = (edge) => linkOf(edge)?.figures ?? {};
const number = (value, places = 0) => (value === null || value === undefined ? MISSING : value.toFixed(places));
const worst = (states) => ["down", "degraded", "unknown", "up"].find((state) => states.includes(state)) ?? "unknown";

function remember() {
  const now = feed.now();
  for (const edge of edges) {
    const { p50_ms: p50 } = figuresOf(edge);
    if (p50 === null || p50 === undefined) continue;
    const kept = trips.get(edge.key) ?? [];
    kept.push([now, p50]);
    while (kept[0][0] < now - TREND_MS) kept.shift();
    trips.set(edge.key, kept);
  }
}

function spark(kept) {
  const most = Math.max(...kept.map(([, p50]) => p50), 1), start = feed.now() - TREND_MS;
  return kept.map(([at, p50]) => `${(148 * (at - start) / TREND_MS).toFixed(1)},${(20 - 18 * p50 / most).toFixed(1)}`).join(" ");
}

function showRow(row) {
  const own = edges.filter((edge) => edge.group === row.dataset.group), cell = (name) => row.querySelector(`[data-${name}]`);
  row.classList.toggle("on", chosen.group === row.dataset.group);
  if (row.classList.contains("wire")) return;
  const links = own.map(linkOf).filter(Boolean), state = worst(links.map((link) => link.state));
  const since = Math.max(...links.filter((link) => link.state === state).map((link) => link.since ?? 0));
  cell("letter").className = `letter ${state}`;
  text(cell("state"), since > 0 ? fill(words.linkSince, words.link[state], duration(feed.now() - since)) : words.link[state]);
  text(cell("up"), fill(words.links.answering, links.filter((link) => link.state === "up").length, own.length));
  const figures = own.map(figuresOf).filter((each) => each.connection), one = figures.reduce((a, b) => ((b.p95_ms ?? -1) > (a?.p95_ms ?? -1) ? b : a), figures[0]);
  text(cell("p50"), number(one?.p50_ms));
  text(cell("p95"), number(one?.p95_ms));
  const losses = figures.map((each) => each.loss).filter((loss) => loss !== null && loss !== undefined);
  text(cell("loss"), losses.length ? number(100 * Math.max(...losses), 2) : MISSING);
  const seen = new Map(figures.map((each) => [each.connection, each])), sum = (name) => [...seen.values()].reduce((total, each) => total + (each[name] ?? 0), 0);
  text(cell("retries"), seen.size ? String(sum("retries")) : MISSING);
  text(cell("rate"), seen.size ? number(sum("bytes_per_s")) : MISSING);
  const lasts = figures.map((each) => each.last_frame_ms).filter(Boolean);
  text(cell("last"), lasts.length ? duration(feed.now() - Math.min(...lasts)) : MISSING);
  cell("spark").setAttribute("points", spark(trips.get(own.find((edge) => trips.has(edge.key))?.key) ?? []));
}

function showDetail() {
  const link = linkOf(chosen), figures = figuresOf(chosen), state = link?.state ?? "unknown";
  text(part("d-letter"), chosen.letter);
  part("d-letter").className = `letter big ${state}`;
  text(part("d-ends"), `${chosen.a} – ${chosen.b}`);
  text(part("d-about"), chosen.about);
  text(part("d-state"), link?.since ? fill(words.linkSince, words.link[state], duration(feed.now() - link.since)) : words.link[state]);
  text(part("d-last"), figures.last_frame_ms ? fill(words.ago, duration(feed.now() - figures.last_frame_ms)) : MISSING);
  text(part("d-way"), figures.connection ? (figures.way ? fill(words.links.way[1], figures.way) : words.links.way[0]) : words.links.noConnection);
  text(part("d-frames"), figures.connection ? `${figures.sent}, ${figures.received}` : MISSING);
  text(part("d-lost"), figures.connection ? `${figures.timeouts}, ${figures.violations}, ${figures.refused}` : MISSING);
  text(part("d-retries"), figures.connection ? `${figures.retries}, ${figures.reconnects}` : MISSING);
  text(part("d-alternatives"), chosen.alternatives || MISSING);
  text(part("d-source"), chosen.source || MISSING);
}

function choose(edge) {
  chosen = edge;
  const own = edges.filter((each) => each.group === edge.group), select = part("d-edges");
  select.replaceChildren(...own.map((each) => new Option(`${each.a} – ${each.b}`, each.key, false, each === edge)));
  select.hidden = own.length < 2;
  part("d-trend").href = `${work.dataset.trends}?points=${encodeURIComponent(edge.points.join(","))}&hours=24`;
  log = { count: 0, frames: [] };
  const section = part("log-part");
  if (section) {
    section.hidden = !edge.connection;
    part("log-text").href = `${work.dataset.text}?connection=${edge.connection}`;
    part("log-capture").href = `${work.dataset.capture}?connection=${edge.connection}`;
    part("log-capture").hidden = !edge.captures;
    showLog();
    askFrames();
  }
  rows.forEach(showRow);
  showDetail();
}

const zone = document.querySelector("[data-clock]")?.dataset.clock ?? "UTC";
const stamp = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const clock = (ms) => stamp.format(new Date(ms)).replace(",", ".");

function frameItem([n, at, sent, length, raw, said]) {
  const item = document.createElement("li"), bytes = raw.slice(0, 56).match(/../g) ?? [];
  const cut = bytes.join(" ") + (raw.length > 56 ? ` … ${length} B` : "");
  for (const [tag, content] of [["time", clock(at)], ["i", sent ? "→" : "←"], ["code", cut], ["span", said.replace(/^[→←]\s*/, "")]]) {
    const child = document.createElement(tag);
    child.textContent = content;
    item.append(child);
  }
  item.dataset.n = n;
  return item;
}

function showLog() {
  const wanted = part("log-filter").value.trim().toLowerCase();
  const shown = log.frames.filter((frame) => !wanted || `${frame[4]} ${frame[5]}`.toLowerCase().includes(wanted)).slice(-MOST_SHOWN).reverse();
  list.replaceChildren(...shown.map(frameItem));
  if (!shown.length) list.append(Object.assign(document.createElement("li"), { className: "none", textContent: log.frames.length ? words.links.filtered : words.links.noFrames }));
}

async function askFrames() {
  if (!chosen.connection || paused) return;
  const mine = ++asked, wanted = chosen.connection, after = log.frames.at(-1)?.[0] ?? -1;
  const answer = await fetch(`${work.dataset.frames}?connection=${wanted}&after=${after}`).catch(() => null);
  if (mine !== asked || wanted !== chosen.connection || paused) return;
  const body = answer ? await answer.json().catch(() => null) : null;
  if (!answer?.ok || !body) { text(part("log-words"), answer ? words.links.silent : words.links.offline); return; }
  log.count = body.count;
  if (body.frames.length) { log.frames = [...log.frames, ...body.frames].slice(-MOST_SHOWN); showLog(); }
  text(part("log-words"), fill(words.links.frames, body.count));
}

function showAll() {
  const links = edges.map(linkOf).filter(Boolean), count = (state) => links.filter((link) => link.state === state).length;
  const wires = new Set(rows.filter((row) => row.classList.contains("wire")).map((row) => row.dataset.group));
  const told = edges.filter((edge) => !wires.has(edge.group)).map(linkOf).filter(Boolean), of = (state) => told.filter((link) => link.state === state).length;
  text(document.querySelector("[data-counts]"), fill(words.links.counts, of("up"), of("degraded"), of("down"), of("unknown")));
  document.querySelector("[data-state-line]").classList.toggle("trouble", count("down") > 0);
  const bad = edges.filter((edge) => !wires.has(edge.group) && ["down", "degraded"].includes(linkOf(edge)?.state)).slice(0, 3);
  text(document.querySelector("[data-trouble]"), bad.map((edge) => `${edge.letter} ${edge.a} – ${edge.b} ${words.link[linkOf(edge).state]}`).join("; "));
  rows.forEach(showRow);
  showDetail();
}

rows.forEach((row) => row.addEventListener("click", () => choose(edges.find((edge) => edge.group === row.dataset.group))));
part("d-edges").addEventListener("change", (event) => choose(edges.find((edge) => edge.key === event.target.value)));
part("log-filter")?.addEventListener("input", showLog);
part("log-pause")?.addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  if (paused) text(part("log-words"), fill(words.links.paused, clock(feed.now())));
  else askFrames();
});
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());
feed.addEventListener("change", () => { remember(); showAll(); });
feed.addEventListener("lost", () => coverLost([feed]));
feed.addEventListener("live", () => coverLost([feed]));
feed.addEventListener("tick", () => { coverLost([feed]); if (feed.live) showAll(); });
if (list) setInterval(() => { if (!document.hidden) askFrames(); }, LOG_MS);
choose(chosen);
