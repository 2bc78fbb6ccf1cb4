// The links page: figures of every link live, one link in detail, the frames of its connection.
import { MISSING, duration, fill, grouped, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, text } from "./show.js";
import { clockAt, pageZone } from "./time_zones.js";

const TREND_MS = 600000, LOG_MS = 1000, MOST_SHOWN = 500, MOST_NAMED = 3, HEX_SHOWN = 36, WORDS_SHOWN = 110;
const work = document.querySelector("[data-pilot]"), detail = document.querySelector("[data-detail]"), list = document.querySelector("[data-log]");
const edges = JSON.parse(document.getElementById("edges").textContent), rows = [...document.querySelectorAll("[data-group]")];
const feed = new Feed(`${work.dataset.pilot}/links`);
const part = (name) => detail.querySelector(`[data-${name}]`);
// edge key -> [[ms, p50]], the last ten minutes: what history kept, then what this page hears
const trips = new Map(Object.entries(JSON.parse(document.getElementById("trips").textContent)));
const wires = new Set(rows.filter((row) => row.classList.contains("wire")).map((row) => row.dataset.group));
const narrow = matchMedia("(max-width: 1180px)");
let log = { count: 0, frames: [] }, paused = false, asked = 0;
let chosen, isPerson = false; // whether a person, or the address of the page, chose

const linkOf = (edge) => feed.links.get(edge.key);
const figuresOf = (edge) => linkOf(edge)?.figures ?? {};
const number = (value, places = 0) => (value === null || value === undefined ? MISSING : grouped(value.toFixed(places)));
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
  for (const name of ["up", "degraded", "down", "unknown"]) row.classList.toggle(`is-${name}`, name === state);
  text(cell("up"), fill(words.links.answering, links.filter((link) => link.state === "up").length, own.length));
  const figures = own.map(figuresOf).filter((each) => each.connection), one = figures.reduce((a, b) => ((b.p95_ms ?? -1) > (a?.p95_ms ?? -1) ? b : a), figures[0]);
  text(cell("p50"), number(one?.p50_ms));
  text(cell("p95"), number(one?.p95_ms));
  const losses = figures.map((each) => each.loss).filter((loss) => loss !== null && loss !== undefined);
  text(cell("loss"), losses.length ? number(100 * Math.max(...losses), 2) : MISSING);
  const seen = new Map(figures.map((each) => [each.connection, each])), sum = (name) => [...seen.values()].reduce((total, each) => total + (each[name] ?? 0), 0);
  text(cell("retries"), seen.size ? number(sum("retries")) : MISSING);
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
  const counters = (...names) => (figures.connection ? names.map((name) => number(figures[name])).join(", ") : MISSING);
  detail.classList.toggle("wire", wires.has(chosen.group));
  if (wires.has(chosen.group)) text(part("d-state"), words.links.wire);
  else text(part("d-state"), link?.since ? fill(words.linkSince, words.link[state], duration(feed.now() - link.since)) : words.link[state]);
  text(part("d-trip"), figures.connection ? `${number(figures.p50_ms)}, ${number(figures.p95_ms)}` : MISSING);
  text(part("d-loss"), typeof figures.loss === "number" ? `${number(100 * figures.loss, 2)} %` : MISSING);
  text(part("d-rate"), figures.connection ? `${number(figures.bytes_per_s)} B/s` : MISSING);
  text(part("d-last"), figures.last_frame_ms ? fill(words.ago, duration(feed.now() - figures.last_frame_ms)) : MISSING);
  text(part("d-way"), words.links.by[chosen.way] ?? (figures.way ? fill(words.links.way[1], figures.way) : words.links.way[0]));
  text(part("d-frames"), counters("sent", "received"));
  text(part("d-lost"), counters("timeouts", "violations", "refused"));
  text(part("d-retries"), counters("retries", "reconnects"));
  part("d-alternatives").hidden = part("d-alternatives").previousElementSibling.hidden = !chosen.alternatives;
  text(part("d-alternatives"), chosen.alternatives || MISSING);
  text(part("d-source"), chosen.source || MISSING);
}

function choose(edge) {
  chosen = edge;
  const own = edges.filter((each) => each.group === edge.group), select = part("d-edges");
  select.replaceChildren(...own.map((each) => new Option(`${each.a} – ${each.b}`, each.key, false, each === edge)));
  select.hidden = own.length < 2;
  for (const each of part("facts").querySelectorAll("[data-held]")) each.hidden = !["held", "platform"].includes(edge.way);
  part("d-trend").closest("p").hidden = wires.has(edge.group);
  part("d-trend").href = `${work.dataset.trends}?points=${encodeURIComponent(edge.points.join(","))}&hours=24`;
  log = { count: 0, frames: [] };
  const section = part("log-part");
  if (section) {
    section.hidden = !edge.connection;
    part("log-none").hidden = Boolean(edge.connection) || wires.has(edge.group);
    part("log-text").href = `${work.dataset.text}?connection=${edge.connection}`;
    part("log-capture").href = `${work.dataset.capture}?connection=${edge.connection}`;
    part("log-capture").hidden = !edge.captures;
    showLog();
    askFrames();
  }
  rows.forEach(showRow);
  showDetail();
}

const clock = (ms) => clockAt(ms, pageZone, { second: "2-digit", fractionalSecondDigits: 3 }).replace(",", ".");

function frameItem([n, at, sent, length, raw, said]) {
  const item = made("li"), whole = (raw.match(/../g) ?? []).join(" "), plain = said.replace(/^[→←]\s*/, "");
  const cut = raw.length > HEX_SHOWN ? `${whole.slice(0, 1.5 * HEX_SHOWN)}… ${length} B` : whole;
  const way = made("i", sent ? "→" : "←");
  way.title = words.links[sent ? "sent" : "received"];
  item.append(made("time", clock(at)), way, made("code", cut));
  if (raw.length <= HEX_SHOWN && plain.length <= WORDS_SHOWN) item.append(made("span", plain));
  else {
    // A frame of forty values is one line until somebody wants it whole.
    const more = made("details"), head = made("summary", plain.length > WORDS_SHOWN ? `${plain.slice(0, WORDS_SHOWN)}…` : plain);
    more.append(head, made("code", whole), made("span", plain.length > WORDS_SHOWN ? plain : ""));
    item.append(more);
  }
  item.dataset.n = n;
  return item;
}

function made(tag, content = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}

// Hex matches with and without its spaces.
const matches = ([, , , , raw, said], wanted) => !wanted || said.toLowerCase().includes(wanted) || raw.includes(wanted.replace(/\s/g, ""));

function showLog() {
  list.replaceChildren();
  addFrames(log.frames);
}

// Newest on top, in place: what somebody reads or has opened is not drawn anew.
function addFrames(frames) {
  const wanted = part("log-filter").value.trim().toLowerCase(), top = list.scrollTop, before = list.scrollHeight;
  list.querySelector(".none")?.remove();
  list.prepend(...frames.filter((frame) => matches(frame, wanted)).reverse().map(frameItem));
  const oldest = log.frames[0]?.[0] ?? 0;
  while (list.lastElementChild && Number(list.lastElementChild.dataset.n) < oldest) list.lastElementChild.remove();
  if (top > 0) list.scrollTop = top + list.scrollHeight - before;
  if (!list.firstElementChild) list.append(Object.assign(made("li", log.frames.length ? words.links.filtered : words.links.noFrames), { className: "none" }));
}

async function askFrames() {
  if (!chosen.connection || paused) return;
  const mine = ++asked, wanted = chosen.connection, after = log.frames.at(-1)?.[0] ?? -1;
  const answer = await fetch(`${work.dataset.frames}?connection=${wanted}&after=${after}`).catch(() => null);
  if (mine !== asked || wanted !== chosen.connection || paused) return;
  const body = answer ? await answer.json().catch(() => null) : null;
  if (!answer?.ok || !body) { text(part("log-words"), answer ? words.links.silent : words.links.offline); return; }
  log.count = body.count;
  if (body.frames.length) { log.frames = [...log.frames, ...body.frames].slice(-MOST_SHOWN); addFrames(body.frames); }
  text(part("log-words"), fill(words.links.frames, body.count));
}

function showAll() {
  const told = edges.filter((edge) => !wires.has(edge.group)), of = (state) => told.filter((edge) => linkOf(edge)?.state === state);
  text(document.querySelector("[data-counts]"), fill(words.links.counts, of("up").length, of("degraded").length, of("down").length, of("unknown").length));
  document.querySelector("[data-state-line]").classList.toggle("trouble", of("down").length > 0);
  const bad = troubled(of), named = bad.slice(0, MOST_NAMED).map((edge) => `${edge.letter} ${edge.a} – ${edge.b} ${words.link[linkOf(edge).state]}`);
  if (bad.length > MOST_NAMED) named.push(fill(words.links.more, bad.length - MOST_NAMED));
  text(document.querySelector("[data-trouble]"), named.join("; "));
  // Until a person chooses, the pane shows what needs somebody most.
  if (!isPerson && of("down").length && chosen !== bad[0]) choose(bad[0]);
  rows.forEach(showRow);
  showDetail();
}

// What is down before what is weak, and a connection of ours before what hangs on it: the cause comes first.
const troubled = (of) => ["down", "degraded"].flatMap((state) => [...of(state).filter((edge) => edge.connection), ...of(state).filter((edge) => !edge.connection)]);

// A person's choice stands in the address, so that it can be kept and sent.
function pick(edge) {
  isPerson = true;
  choose(edge);
  const address = new URL(location);
  address.searchParams.set("link", edge.key);
  history.replaceState(null, "", address);
}

function pickRow(row) {
  const own = edges.filter((edge) => edge.group === row.dataset.group), state = worst(own.map((edge) => linkOf(edge)?.state));
  pick(own.find((edge) => linkOf(edge)?.state === state) ?? own[0]);
  if (narrow.matches) detail.scrollIntoView();
}

rows.forEach((row) => row.addEventListener("click", () => pickRow(row)));
part("d-edges").addEventListener("change", (event) => pick(edges.find((edge) => edge.key === event.target.value)));
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
const wantedEdge = edges.find((edge) => edge.key === new URLSearchParams(location.search).get("link"));
isPerson = Boolean(wantedEdge);
choose(wantedEdge ?? edges.find((edge) => edge.connection) ?? edges[0]);
