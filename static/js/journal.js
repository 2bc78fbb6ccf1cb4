// The journal's newest page: rows that came are put on top every two seconds; what stands there stays where it is.
const place = document.querySelector("[data-journal]"), said = document.querySelector("[data-journal-live]");
const EVERY_MS = 2000;

const seen = () => place.querySelector("[data-seen]")?.dataset.seen ?? "";

function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").body;
  const body = place.querySelector("tbody"), rows = fresh.querySelectorAll("tr[data-entry]");
  if (!body || !rows.length) {
    rows.forEach((row) => row.classList.add("is-new"));
    place.replaceChildren(...fresh.childNodes);
    return;
  }
  const known = new Set([...body.children].map((row) => row.dataset.entry));
  // What was committed late stands among what is there already.
  let after = null;
  for (const row of rows) {
    if (known.has(row.dataset.entry)) { after = body.querySelector(`[data-entry="${CSS.escape(row.dataset.entry)}"]`); continue; }
    row.classList.add("is-new");
    if (after) after.after(row); else body.prepend(row);
    after = row;
  }
  // "Older" goes on behind the last row of the newest page.
  while (body.children.length > rows.length) body.lastElementChild.remove();
  place.querySelector("nav")?.replaceWith(fresh.querySelector("nav"));
  place.querySelector("[data-seen]").dataset.seen = fresh.querySelector("[data-seen]").dataset.seen;
}

async function ask() {
  const query = new URLSearchParams(location.search);
  query.set("seen", seen());
  const answer = await fetch(`${place.dataset.journal}?${query}`, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) { location.reload(); return; }
  const heard = Boolean(answer?.ok);
  said.textContent = heard ? said.dataset.live : said.dataset.lost;
  document.body.classList.toggle("not-live", !heard);
  if (answer?.status === 200) take(await answer.text());
}

async function follow() {
  if (!document.hidden) await ask();
  setTimeout(follow, EVERY_MS);
}

if (place.dataset.journal) follow();
