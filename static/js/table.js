// The point table: a file compared with what is there, row by row, then applied whole.
import { fill, words } from "./quantities.js";

const page = document.querySelector("[data-table]"), said = words.commissioning;
const part = (name) => page.querySelector(`[data-${name}]`);
const form = part("form"), button = part("apply-button"), outcome = part("outcome");
let fingerprint = null;

function tell(note, refusal = "") {
  part("said").textContent = note;
  part("refused").textContent = refusal;
  part("refused").hidden = !refusal;
}

function disarm() {
  fingerprint = null;
  button.disabled = true;
  button.textContent = said.compareFirst;
}

async function send(url, extra = {}) {
  const body = new FormData(form);
  for (const [name, value] of Object.entries(extra)) body.append(name, value);
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const answer = await fetch(url, { method: "POST", body, headers }).catch(() => null);
  const told = answer ? await answer.json().catch(() => null) : null;
  if (answer?.ok && told) return told;
  tell("", told?.reason ?? said.offline);
  return null;
}

function element(tag, content, ...children) {
  const made = document.createElement(tag);
  if (content !== null) made.textContent = content;
  made.append(...children);
  return made;
}

function listed(title, heads, rows, count, draw) {
  if (!count) return [];
  const head = heads.map((each) => Object.assign(element("th", each), { scope: "col" }));
  const table = element("table", null, element("thead", null, element("tr", null, ...head)), element("tbody", null, ...rows.map(draw)));
  table.className = "list difflist";
  return [element("h2", `${title} (${count})`), table, ...(count > rows.length ? [element("p", fill(said.more, count - rows.length))] : [])];
}

function changed({ row, point, fields }) {
  const cell = element("td", null);
  for (const [name, before, after] of fields) cell.append(element("div", null, element("code", name), ` ${before} → `, element("b", after)));
  return element("tr", null, element("td", row), element("td", point), cell);
}

const fault = ({ row, column, message }) => element("tr", null, element("td", row || ""), element("td", null, element("code", column)), element("td", message));

function show({ errors, added, changed: altered, removed, counts }) {
  outcome.replaceChildren(
    ...listed(said.faultsTitle, said.faultHeads, errors, counts.errors, fault),
    ...listed(said.removed, said.changeHeads, removed, counts.removed, changed),
    ...listed(said.changed, said.changeHeads, altered, counts.changed, changed),
    ...listed(said.added, said.changeHeads, added, counts.added, changed),
  );
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  disarm();
  tell(said.comparing);
  const answer = await send(page.dataset.compare);
  if (!answer) return;
  show(answer);
  const { counts } = answer, some = counts.added + counts.changed + counts.removed;
  if (counts.errors) tell("", counts.errors === 1 ? said.oneFault : fill(said.faults, counts.errors));
  else tell(some ? fill(said.counts, counts.added, counts.changed, counts.removed, counts.unchanged) : said.same);
  if (counts.errors || !some) return;
  ({ fingerprint } = answer);
  button.disabled = false;
  button.textContent = some === 1 ? said.applyOne : fill(said.apply, some);
});
form.elements.file.addEventListener("change", () => { disarm(); outcome.replaceChildren(); tell(""); });
button.addEventListener("click", async () => {
  const wanted = fingerprint;
  disarm();
  tell(said.applying);
  const answer = await send(page.dataset.apply, { fingerprint: wanted });
  if (answer) { outcome.replaceChildren(); tell(fill(said.applied, answer.added, answer.changed, answer.removed)); }
});
