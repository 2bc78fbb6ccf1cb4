// The second person's page: what waits, kept fresh, and their word.
import { countDown, sendForm, tell } from "./stepup.js";

const list = document.querySelector("[data-approvals]"), password = document.querySelector("[data-password]");

list.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, url = event.submitter?.getAttribute("formaction") ?? form.action;
  const answer = await sendForm(url, new FormData(form), password, list);
  if (answer.ok) await refresh();
  else tell(form, answer, list.dataset.unsent);
});

async function refresh() {
  const answer = await fetch(list.dataset.approvals, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  list.innerHTML = await answer.text();
  countDown(list);
}

// Not under somebody's hands: a remark that is being typed, a refusal that is being read.
function busy() {
  return list.contains(document.activeElement) || password.children.length || list.querySelector("[data-refused]:not([hidden])");
}

setInterval(() => countDown(list), 250);
setInterval(() => { if (!busy()) refresh(); }, 2000);
