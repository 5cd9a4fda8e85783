// The queues, and the screens of the chosen one.

import * as view from "./view.js";
import { $, element } from "./view.js";

const MAX_SCREENS = 2000; // listed; the others are reached in turn
const NOUNS = { copies: "Groups of copies", pairs: "Pairs of folders" };

const entry = (label, count, values) => element("button", { type: "button", ...values },
  element("span", { class: "label" }, label), element("span", { class: "n" }, view.number(count)));

export function showQueues(queues, queue, open) {
  $("queues").replaceChildren(...queues.map(({ name, title, count }) => element("li", {},
    entry(title, count, { "aria-current": name === queue ? "true" : null, onclick: () => open(name) }))));
}

export function showScreens(screens, queue, show) {
  $("list-title").textContent = `${NOUNS[queue] ?? "People"} (${view.number(screens.length)})`;
  $("screens").replaceChildren(...screens.slice(0, MAX_SCREENS).map(([key, title, open], place) =>
    element("li", { "data-key": key }, entry(title, open, { onclick: () => show(place) }))));
}

export function markScreen(place) {
  const list = $("screens").children;
  document.querySelector("#screens [aria-current]")?.removeAttribute("aria-current");
  list[place]?.firstChild.setAttribute("aria-current", "true");
  list[place]?.scrollIntoView({ block: "nearest" });
}

export const isDone = (place) => $("screens").children[place]?.classList.contains("done") ?? false;

// How many photos of a screen are left to decide.
export function showLeft(place, left) {
  const item = $("screens").children[place];
  item?.classList.toggle("done", !left);
  if (item) item.querySelector(".n").textContent = left ? view.number(left) : "✓";
}
