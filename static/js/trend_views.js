// Saved views of the trends: save what is shown under a name, take one away; the server answers with the list.
import { words } from "./quantities.js";

export function offerViews(query) {
  const form = document.querySelector("[data-save]"), list = document.querySelector("[data-views]"), refused = form.querySelector("[data-refused]");

  async function send(url, body) {
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    refused.hidden = true;
    const answer = await fetch(url, { method: "POST", headers: { Accept: "application/json" }, body }).catch(() => null);
    // Rows of our own server's template, escaped there.
    if (answer?.ok) { list.innerHTML = await answer.text(); return true; }
    refused.textContent = (await answer?.json().catch(() => null))?.reason ?? words.trends.offline;
    refused.hidden = false;
    return false;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new FormData(form);
    body.set("query", query());
    if (await send(form.action, body)) form.reset();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-delete-view]");
    if (button) send(button.dataset.deleteView, new FormData());
  });
}
