// The point test: live values beside what the device shows, a result a row, the signature at the end.
import { digits, fill, unitOf, words } from "./quantities.js";
import { Feed } from "./live.js";
import { coverLost, showValue } from "./show.js";

const page = document.querySelector("[data-tests]"), said = words.commissioning;
const part = (name) => page.querySelector(`[data-${name}]`);
const rows = [...page.querySelectorAll("[data-test]")], open = Boolean(page.dataset.record) && !("closed" in page.dataset);
const feed = open ? new Feed(page.dataset.pilot) : null;

function tell(note, refusal = "") {
  part("said").textContent = note;
  part("refused").textContent = refusal;
  part("refused").hidden = !refusal;
}

async function send(url, fields, file = null) {
  // A form without any field is no multipart body that a server accepts.
  const body = file ? new FormData() : new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  if (file) body.append("file", file);
  const headers = { "X-CSRFToken": part("form").elements.csrfmiddlewaretoken.value };
  const answer = await fetch(url, { method: "POST", body, headers }).catch(() => null);
  const told = answer ? await answer.json().catch(() => null) : null;
  if (answer?.ok && told) { tell(""); return told; }
  tell("", told?.reason ?? said.offline);
  return null;
}

function seen(row) {
  const element = row.querySelector("[data-ref]"), point = feed.read(element.dataset.ref);
  return point ? `${point.text ?? digits(point.value, element.dataset.unit)} ${point.text === null ? unitOf(element.dataset.unit) : ""}`.trim() : "";
}

async function record(row, result) {
  const field = (name) => row.querySelector(`input[name=${name}]`);
  // What stands here at the moment of the answer is what was compared.
  if (!field("shown").value && result !== "not_applicable") field("shown").value = seen(row);
  if (!field("expected").value && result === "passed") field("expected").value = field("shown").value;
  const fields = { test: row.dataset.test, result, expected: field("expected").value, shown: field("shown").value, remark: field("remark").value };
  const answer = await send(page.dataset.record, fields);
  if (!answer) { field(result === "not_applicable" ? "remark" : "expected").focus(); return; }
  row.querySelector("[data-result]").textContent = said[result];
  row.className = `is-${result}`;
  row.querySelector("[data-by]").textContent = answer.by;
  part("progress").textContent = fill(said.progress, answer.tested, answer.all);
}

function show() {
  for (const row of rows) { const element = row.querySelector("[data-ref]"); if (element && !row.hidden) showValue(element, feed.read(element.dataset.ref)); }
}

page.addEventListener("click", (event) => {
  const { as } = event.target.dataset;
  if (as) record(event.target.closest("[data-test]"), as);
});
part("filter")?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const row of rows) row.hidden = wanted !== "" && !`${row.dataset.words} ${row.querySelector("[data-result]")?.textContent ?? ""}`.toLowerCase().includes(wanted);
});
part("start-button").addEventListener("click", async () => {
  const answer = await send(page.dataset.start, {});
  if (answer) location.assign(answer.url);
});
part("lists")?.addEventListener("change", (event) => location.assign(event.target.value));
part("export").addEventListener("change", async (event) => {
  const answer = await send(page.dataset.verify, {}, event.target.files[0]);
  if (answer) tell(answer.signed ? said.verified : "", answer.signed ? "" : said.notVerified);
  event.target.value = "";
});
part("sign-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await send(page.dataset.sign, { remark: event.target.elements.remark.value, password: event.target.elements.password.value });
  if (answer) location.reload();
});
if (feed) {
  part("retry").addEventListener("click", () => feed.retry());
  for (const name of ["change", "live", "lost"]) feed.addEventListener(name, () => { coverLost([feed]); show(); });
  feed.addEventListener("tick", () => { coverLost([feed]); show(); });
}
