// Columns of what a row is now, refreshed every 5 s; what could not be refreshed does not look live.
const EVERY_MS = 5000;
const bar = document.querySelector("[data-live-bar]");
const words = bar.querySelector("[data-live-words]");
let refreshedAt = new Date();

function listRows() {
  const boxes = document.querySelectorAll("#result_list input.action-select");
  return new Map([...boxes].map((box) => [box.value, box.closest("tr")]));
}

function inlineRows() {
  const keys = document.querySelectorAll("tr.has_original input[type=hidden][name$='-id']");
  return new Map([...keys].filter((key) => key.value).map((key) => [key.value, key.closest("tr")]));
}

function sources() {
  const form = document.querySelector("#content-main form[id$='_form']");
  const own = bar.dataset.key ? new Map([[bar.dataset.key, form]]) : listRows();
  const found = [[bar.dataset.url, own, bar.dataset.key ? ".form-row .field-@ .readonly, .form-row.field-@ .readonly" : ".field-@"]];
  if (bar.dataset.inlineUrl) found.push([bar.dataset.inlineUrl, inlineRows(), "td.field-@ p"]);
  return found.filter(([, rows]) => rows.size);
}

function put(root, place, told) {
  for (const [column, text] of Object.entries(told)) {
    const cell = root?.querySelector(place.replaceAll("@", column));
    if (!cell) continue;
    cell.classList.add("live-cell");
    if (cell.textContent.trim() !== text) cell.textContent = text;
  }
}

async function refresh([url, rows, place]) {
  const answer = await fetch(`${url}?ids=${[...rows.keys()].join(",")}`, {
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(EVERY_MS),
  });
  if (!answer.ok) throw new Error(String(answer.status));
  const told = (await answer.json()).rows;
  for (const [key, root] of rows) put(root, place, told[key] ?? {});
}

async function round() {
  if (document.hidden) return;
  try {
    for (const source of sources()) await refresh(source);
    refreshedAt = new Date();
    document.body.classList.remove("not-live");
    words.textContent = "";
  } catch {
    lost();
  }
}

function lost() {
  document.body.classList.add("not-live");
  words.textContent = bar.dataset.lost.replace("@", refreshedAt.toLocaleTimeString());
}

async function run() {
  await round();
  setTimeout(run, EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  // What stood there while nobody looked is old until it is asked for anew.
  if (document.hidden) lost();
  else round();
});
run();
