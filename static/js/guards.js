// Tags, holds and the commands-off switch: their forms are sent without leaving the page, and what was refused is told.
document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("form[data-guard]");
  if (!form) return;
  event.preventDefault();
  send(form, form.querySelector("button"), form.querySelector("[data-refused]"));
});

function closeFold(form) {
  const fold = form.closest("details");
  if (fold) fold.open = false;
}

async function send(form, button, refused) {
  button.disabled = true;
  refused.hidden = true;
  const answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body: new FormData(form) }).catch(() => null);
  button.disabled = false;
  // A page with live frames shows the change when it comes; the others look again.
  if (answer?.ok) { form.reset(); closeFold(form); if (!document.querySelector("[data-faceplates], [data-told]")) location.reload(); return; }
  const body = await answer?.json().catch(() => null);
  refused.textContent = body?.reason ?? form.dataset.unsent;
  refused.hidden = false;
}
