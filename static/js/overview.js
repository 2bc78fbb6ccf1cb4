// The overview: one feed a pilot, one row a feed.
import { direction, duration, fill, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, showCharge, showSum, showValue, sum, text } from "./show.js";

const rows = [...document.querySelectorAll("[data-pilot]")].map((row) => ({ row, feed: new Feed(row.dataset.pilot) }));
const feeds = rows.map(({ feed }) => feed);

function show({ row, feed }) {
  if (!feed.live) return;
  row.querySelectorAll("[data-sum]").forEach((element) => showSum(element, feed));
  row.querySelectorAll("[data-charge]").forEach((element) => showCharge(element, feed));
  const { good, all, newest } = feed.counts();
  text(row.querySelector("[data-newest]"), all ? duration(newest) : "–");
  row.querySelector("[data-newest]").parentElement.classList.toggle("is-old", all > 0 && good === 0);
  text(row.querySelector("[data-points]"), fill(words.stateShort, good, all));
  showLetters(row, feed);
}

function showLetters(row, feed) {
  const troubled = [];
  for (const element of row.querySelectorAll("[data-letter-all]")) {
    const keys = [...feed.links.keys()].filter((key) => key.startsWith(`${element.dataset.letterAll}|`));
    const { state } = feed.linkState(keys.join(" "));
    element.className = `letter ${state}`;
    element.title = words.link[state];
    if (state !== "up") troubled.push([element.textContent, words.link[state]]);
  }
  const said = Object.entries(Object.groupBy ? Object.groupBy(troubled, ([, word]) => word) : {});
  text(row.querySelector("[data-linkline]"), said.length ? said.map(([word, hits]) => `${hits.map(([letter]) => letter).join(" ")} ${word}`).join(", ") : words.allUp);
}

// A total over all pilots names every pilot it lacks: it never looks whole when it is not.
function showTotal(element) {
  const part = element.dataset.total, note = element.closest("div").querySelector("[data-total-note]");
  let value = null, points = 0, worst = null;
  const without = [], old = [];
  for (const { row, feed } of rows) {
    const refs = (row.querySelector(`[data-part=${part}]`)?.dataset.sum ?? "").split(" ").filter(Boolean), name = row.dataset.pilot.toUpperCase();
    if (!refs.length) { if (part === "infeed") without.push(name); continue; }
    const { point, missing } = feed.live ? sum(feed, refs) : { point: null, missing: 0 };
    if (!point) { without.push(name); continue; }
    value = (value ?? 0) + point.value;
    points += missing;
    if (point.old) old.push(name);
    if (!worst || (point.old && !worst.old)) worst = point;
  }
  showValue(element, value === null ? null : { ...worst, value, text: null });
  const gaps = [without.length && fill(words.totals.without, without.join(", ")), points && fill(words.totals.points, points), old.length && fill(words.totals.old, old.join(", "))].filter(Boolean);
  element.classList.toggle("part", gaps.length > 0 && value !== null);
  note.classList.toggle("missing", gaps.length > 0);
  text(note, gaps.length ? gaps.join(", ") : direction(value, part));
}

const totals = document.querySelector("[data-totals]"), TOTALS_MS = 5000;
let counted = performance.now();
async function count() {
  const answer = await fetch(totals.dataset.totals, { headers: { Accept: "application/json" } }).catch(() => null);
  const body = answer?.ok ? await answer.json().catch(() => null) : null;
  if (body) counted = performance.now();
  const age = performance.now() - counted, stale = age > 3 * TOTALS_MS;
  for (const element of totals.querySelectorAll("[data-count]")) {
    const { count: name } = element.dataset;
    if (body) text(element, body[name]);
    element.closest(".v")?.classList.toggle("is-old", stale);
    if (stale && name.endsWith("_note")) text(element, fill(words.totals.stale, duration(age)));
  }
}
if (totals) setInterval(() => { if (!document.hidden) count(); }, TOTALS_MS);

for (const each of rows) {
  for (const name of ["change", "live"]) each.feed.addEventListener(name, () => { each.dirty = true; });
  each.feed.addEventListener("change", ({ detail }) => { if (detail.links.length) document.dispatchEvent(new Event("links")); });
  each.feed.addEventListener("lost", () => coverLost(feeds));
}
setInterval(() => {
  // Numbers change at most twice a second: more cannot be read.
  rows.forEach((each) => { show(each); each.dirty = false; });
  totals?.querySelectorAll("[data-total]").forEach(showTotal);
  if (feeds.length) coverLost(feeds);
}, 500);
document.querySelector("[data-retry]")?.addEventListener("click", () => feeds.forEach((feed) => { if (!feed.live) feed.retry(); }));
