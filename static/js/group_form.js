// A group set-point: the sum of what the chosen can do, and the preview sent once. Nothing clicked here is ever sent later.
import { fill, quantity } from "./quantities.js";
import { sendForm } from "./stepup.js";

const form = document.querySelector("[data-group-form]"), preview = document.querySelector("[data-preview]");

function showSum() {
  const place = form.querySelector("[data-sum]"), chosen = [...form.querySelectorAll("[name=member]:checked")];
  const sum = (name) => chosen.reduce((total, box) => total + Number(box.dataset[name]), 0);
  place.textContent = fill(place.dataset.words, chosen.length, quantity(sum("low"), "W"), quantity(sum("high"), "W"));
}

// To stop needs no figure.
function showValue() {
  const stop = form.querySelector("[name=direction]:checked")?.value === "0";
  form.elements.value.disabled = stop;
  form.elements.value.required = !stop;
}

function choose(all) {
  for (const box of form.querySelectorAll("[name=member]")) box.checked = all && !box.hasAttribute("data-cannot");
  showSum();
}

async function send(confirm) {
  const button = confirm.querySelector("[data-send]"), refused = confirm.querySelector("[data-refused]");
  button.disabled = true;
  refused.hidden = true;
  const answer = await sendForm(confirm.action, new FormData(confirm), preview.querySelector("[data-step-up-place]"), preview);
  if (answer.ok) { location.assign(answer.body.url); return; }
  // The same id stays, so that trying again cannot make a second group.
  button.disabled = answer.body?.code === "preview_over";
  if (answer.status === 0) return;
  refused.textContent = answer.body?.reason ?? preview.dataset.unsent;
  refused.hidden = false;
  (button.disabled ? confirm.querySelector("[data-again]") : button).focus();
}

if (form) {
  form.querySelector("[data-all]").hidden = false;
  for (const button of form.querySelectorAll("[data-choose]")) button.addEventListener("click", () => choose(button.dataset.choose === "1"));
  form.addEventListener("input", () => { showSum(); showValue(); });
  showSum();
  showValue();
}
preview?.querySelector("[data-confirm]").addEventListener("submit", (event) => {
  if (event.submitter && !event.submitter.hasAttribute("data-send")) return; // back to the server for another look
  event.preventDefault();
  if (!event.submitter?.disabled) send(event.target);
});
