// An SCL file: what a device offers, by our names; the chosen points leave as a profile.
import { fill, words } from "./quantities.js";

const page = document.querySelector("[data-scl]"), said = words.commissioning;
const part = (name) => page.querySelector(`[data-${name}]`);
const form = part("form"), body = part("list").querySelector("tbody");

function tell(note, refusal = "") {
  part("said").textContent = note;
  part("refused").textContent = refusal;
  part("refused").hidden = !refusal;
}

async function send(url, fields) {
  const data = new FormData(form);
  for (const [name, value] of fields) data.append(name, value);
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const answer = await fetch(url, { method: "POST", body: data, headers }).catch(() => null);
  if (answer?.ok) { tell(""); return answer; }
  const told = answer ? await answer.json().catch(() => null) : null;
  tell("", told?.reason ?? said.offline);
  return null;
}

function row({ point, kind, unit, ref, fc, known, report, remark }) {
  const line = document.createElement("tr"), box = document.createElement("input");
  Object.assign(box, { type: "checkbox", value: point, checked: known });
  box.setAttribute("aria-label", point);
  for (const content of [box, point, kind, unit, `${ref} [${fc}]`, report, remark]) {
    const cell = document.createElement("td");
    cell.append(content);
    line.append(cell);
  }
  line.classList.toggle("wire", !known);
  return line;
}

async function read() {
  const answer = await send(page.dataset.proposals, []);
  if (!answer) return;
  const { ieds, ied, endpoints, proposals } = await answer.json(), select = form.elements.ied;
  select.replaceChildren(...ieds.map((name) => new Option(name, name, false, name === ied)));
  part("ieds").hidden = ieds.length < 2;
  body.replaceChildren(...proposals.map(row));
  part("list").hidden = part("take").hidden = !proposals.length;
  tell(fill(said.offered, proposals.length, proposals.filter((each) => each.known).length, endpoints.join(", ") || "–"));
}

form.addEventListener("submit", (event) => { event.preventDefault(); read(); });
form.elements.ied.addEventListener("change", read);
form.elements.file.addEventListener("change", () => { form.elements.ied.replaceChildren(); part("list").hidden = part("take").hidden = true; });
part("take-button").addEventListener("click", async () => {
  const chosen = [...body.querySelectorAll("input:checked")].map((box) => ["point", box.value]), name = part("name").value.trim();
  const answer = await send(page.dataset.profile, [...chosen, ["name", name]]);
  if (!answer) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `${name}.yaml`;
  link.click();
  URL.revokeObjectURL(link.href);
});
