// Messages of the page: for a moment, or until a problem is solved.

import { Lost, Refused } from "./server.js";
import { $ } from "./view.js";

export function showProblem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

export const lost = () => showProblem("The server does not answer. What was shown as decided is saved; start `curate review` again.");

export function refused(error) {
  if (error instanceof Refused) return say(error.message, true);
  if (error instanceof Lost) return lost();
  throw error;
}

let timer = 0;
export function say(text, isRefusal = false) {
  $("toast").textContent = text;
  $("toast").classList.toggle("refused", isRefusal);
  $("toast").hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { $("toast").hidden = true; }, isRefusal ? 6000 : 2500);
}
