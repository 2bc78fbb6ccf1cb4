// "ends in 12 min 3 s", everywhere the same: by the server's clock.
import { duration, fill, words } from "./quantities.js";
import { text } from "./show.js";

export function showCountdowns(scope, feed) {
  for (const element of scope.querySelectorAll("[data-countdown]")) {
    const left = Number(element.dataset.countdown) - feed.now();
    text(element, left > 0 ? fill(words.setpoint.left, duration(left)) : words.setpoint.due);
  }
}
