// The rows of a new kiosk's rotation come into sight one by one.
const more = document.querySelector("[data-more]");
more?.addEventListener("click", () => {
  const [next, ...rest] = document.querySelectorAll("[data-turn][hidden]");
  if (!next) return;
  next.hidden = false;
  next.querySelector("select").focus();
  more.hidden = !rest.length;
});
