// The overview's map and alarm column: asked anew when the strip heard of alarms or a feed of links, and now and then anyway.
const map = document.querySelector("[data-map]"), EVERY_MS = 10000, SOON_MS = 300;
let asking = false, heard = performance.now(), shown = map?.innerHTML ?? "";

function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").body, place = document.activeElement?.closest?.("[data-place]")?.dataset.place;
  spread(fresh);
  if (html === shown) return;
  shown = html;
  map.replaceChildren(...fresh.childNodes);
  if (place) map.querySelector(`[data-place="${CSS.escape(place)}"]`)?.focus();
}

function spread(from) {
  for (const cell of from.querySelectorAll("template[data-alarms-for]")) {
    const own = document.querySelector(`[data-alarms-of="${CSS.escape(cell.dataset.alarmsFor)}"]`);
    if (own && own.innerHTML !== cell.innerHTML) own.replaceChildren(cell.content.cloneNode(true));
  }
}

async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  const answer = await fetch(map.dataset.map, { headers: { Accept: "text/html" } }).catch(() => null);
  asking = false;
  const good = answer?.ok && !answer.redirected;
  if (good) { heard = performance.now(); take(await answer.text()); }
  map.classList.toggle("is-old", performance.now() - heard > 3 * EVERY_MS);
}

if (map) {
  spread(map);
  let soon = 0;
  document.addEventListener("alarms", ask);
  // Links come in bursts, one question for each.
  document.addEventListener("links", () => { soon ||= setTimeout(() => { soon = 0; ask(); }, SOON_MS); });
  setInterval(ask, EVERY_MS);
}
