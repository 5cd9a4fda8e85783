// The photo in focus: at the side, and in the bar of a narrow window.

import { refused } from "./message.js";
import { get } from "./server.js";
import * as view from "./view.js";
import { $, element } from "./view.js";

// `chosen`: what actions apply to if not to the photo. `choice`: see `moveChoice`; null where photos are not moved.
export function showPanel(version, kind, tile, chosen, choice, { act, open }) {
  const image = view.picture(version, tile.row, tile.name);
  image.className = "large";
  image.onclick = open;
  $("focus").replaceChildren(
    image,
    element("p", { class: "path" }, tile.name),
    element("p", { class: `verdict is-${tile.verdict}` }, view.verdictText(tile)),
    element("ul", {}, ...tile.why.map((line) => element("li", {}, line))),
    view.actions(kind, act),
    element("p", { class: "soft" }, chosen ? `Acts on ${chosen}` : ""),
    ...(choice ? moveChoice(version, choice, () => act("move")) : []),
  );
  $("bar").replaceChildren(
    element("div", { class: "line" }, view.picture(version, tile.row), element("span", {}, chosen || tile.why.join(" · ") || tile.name)),
    view.actions(kind, act),
  );
}

export function clearPanel() {
  $("focus").replaceChildren();
  $("bar").replaceChildren();
}

// `person`: suggested, or chosen where `isChosen`; null without a suggestion. `choose`: is called with another person.
function moveChoice(version, { person, isChosen, choose }, move) {
  const search = element("input", { id: "person", placeholder: "Move to another person", autocomplete: "off", spellcheck: "false" });
  const results = element("div", {});
  const find = async () => {
    const text = search.value;
    const people = text ? await get("people", { text }) : [];
    if (text !== search.value) return; // an answer to an earlier text
    results.replaceChildren(...people.map((other) => view.personButton(version, other, "", false, () => {
      search.blur();
      choose(other);
    })));
  };
  search.oninput = () => find().catch(refused);
  const button = person && view.personButton(version, person, isChosen ? "Move to" : "May be", isChosen, move);
  return [...(button ? [button] : []), search, results];
}
