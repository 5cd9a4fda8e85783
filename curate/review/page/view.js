// Elements of the page. Names are set as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function element(name, values = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made[key] = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const kbd = (key) => element("kbd", {}, key);
export const number = (value) => value.toLocaleString("en");
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

const VERDICTS = ["keep", "review", "drop"];

export const url = (version, kind, row) => `/${version}/${kind}/${row}`;

export const picture = (version, row, text = "") =>
  element("img", { src: url(version, "crop", row), alt: text, loading: "lazy", decoding: "async", draggable: "false" });

export function counts(place, [keep, review, drop, open]) {
  place.replaceChildren(
    ...[keep, review, drop].map((value, k) => element("span", { class: `is-${VERDICTS[k]}` }, `${VERDICTS[k]} ${number(value)}`)),
    element("span", { class: "open" }, `open ${number(open)}`),
  );
}

export function balance(place, values) {
  const total = values.reduce((sum, value) => sum + value, 0) || 1;
  place.replaceChildren(...values.map((value, k) => {
    const bar = element("i", { class: `is-${VERDICTS[k] ?? "left"}` });
    bar.style.width = `${100 * value / total}%`;
    return bar;
  }));
  place.setAttribute("aria-label", values.map((value, k) => `${VERDICTS[k] ?? "left"} ${value}`).join(", "));
}

export const verdictText = (tile) =>
  tile.moved ? `moved, ${tile.verdict}` : tile.human ? `${tile.verdict}, by a person` : tile.verdict;

export function tileElement(version, tile) {
  const made = element("button", { class: "tile", "data-row": tile.row, tabindex: "-1", type: "button" });
  made.append(
    element("span", { class: "picture" }, picture(version, tile.row)),
    element("span", { class: "badge" }),
    element("span", { class: "why" }, tile.why.join(" · ")),
  );
  paintTile(made, tile);
  return made;
}

export function paintTile(made, tile) {
  for (const verdict of VERDICTS) made.classList.toggle(`is-${verdict}`, tile.verdict === verdict);
  made.classList.toggle("human", tile.human || tile.moved);
  const badge = made.querySelector(".badge");
  badge.textContent = tile.moved ? "moved" : tile.human ? tile.verdict : "";
  badge.hidden = !(tile.moved || tile.human);
  made.title = tile.name;
  made.setAttribute("aria-label", `${tile.name}, ${verdictText(tile)}`);
}

export const ACTIONS = [
  ["keep", "Keep", "K", "is-keep"], ["drop", "Drop", "D", "is-drop"], ["move", "Move", "M", ""], ["split", "Split", "S", ""],
  ["reset", "Reset", "R", ""], ["undo", "Undo", "U", ""],
];

const OF_PAIR = [["join", "Same person", "J", "is-keep"], ["apart", "Two persons", "X", "is-drop"], ["undo", "Undo", "U", ""]];
const OF_COPIES = [
  ["keep", "Keep this", "K", "is-keep"], ["drop", "Drop", "D", "is-drop"], ["not_copy", "Other picture", "X", ""], ["undo", "Undo", "U", ""],
];

export function actions(kind, run) {
  const shown = kind === "pair" ? OF_PAIR : kind === "copies" ? OF_COPIES : ACTIONS;
  return element("div", { class: "actions" }, ...shown.map(([name, label, key, style]) =>
    element("button", { class: style, type: "button", "data-action": name, onclick: () => run(name) }, label, kbd(key))));
}

export function personButton(version, person, label, pressed, choose) {
  return element("button", { class: "person", type: "button", "aria-pressed": String(pressed), onclick: choose },
    element("span", {}, `${label} `, element("b", {}, person.name), element("span", { class: "soft" }, ` ${plural(person.photos, "photo")}`)),
    element("span", { class: "strip" }, ...person.heads.slice(0, 5).map((row) => picture(version, row))));
}

export function overlay(size, box, landmarks) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `-0.5 -0.5 ${size[0]} ${size[1]}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const add = (name, values) => {
    const made = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    svg.append(made);
  };
  if (box) add("rect", { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] });
  for (let k = 0; landmarks && k < landmarks.length; k += 2) {
    add("line", { x1: landmarks[k], y1: landmarks[k + 1], x2: landmarks[k], y2: landmarks[k + 1] });
  }
  return svg;
}

export function loupe(version, photo, close) {
  const image = element("img", { src: url(version, "source", photo.row), alt: photo.name });
  const shown = element("div", { class: "photo" }, image);
  if (photo.size) shown.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  if (photo.size) shown.append(overlay(photo.size, photo.box, photo.landmarks));
  const stage = element("div", { class: "stage" }, shown);
  image.onerror = () => stage.replaceChildren(element("div", { class: "missing" },
    picture(version, photo.row), "The photo is not in the source any more, or cannot be decoded."));
  const rows = photo.numbers.map(([name, value, unit, meaning]) =>
    element("tr", { title: meaning }, element("td", {}, name.replaceAll("_", " ")),
      element("td", { class: "v" }, value, unit ? element("span", { class: "soft" }, ` ${unit}`) : null)));
  return [stage, element("div", { class: "about" },
    element("button", { class: "plain close", onclick: close }, "Close ", kbd("Esc")),
    element("h1", {}, photo.name),
    element("p", { class: `verdict is-${photo.verdict}` }, verdictText(photo)),
    element("ul", {}, ...photo.why.map((line) => element("li", {}, line))),
    element("table", {}, element("tbody", {}, ...rows)))];
}

const KEYS = [
  ["K  D", "keep, drop: the selected photos, else the one in focus"], ["M", "move to the suggested identity, or to the one that you chose"],
  ["S", "split: give the selected photos an identity of their own"], ["R", "reset: what the policy says applies again"],
  ["J  X", "pairs: same person, two persons. Copies: X is another picture"], ["U  Ctrl Z", "undo the last action of this window; again, the one before"], ["Shift U  Ctrl Y", "redo what was undone last"],
  ["N  P", "next, previous screen"], ["← → ↑ ↓", "move the focus; with Shift, select a range"], ["Space", "select or unselect; with the mouse: Ctrl and a click, Shift and a click for a range, a frame for several"],
  ["Ctrl A", "select all of this screen that match; again: all of the queue"], ["Enter", "the source photo with box, landmarks and all numbers (or a click)"],
  ["/", "filter on columns"], ["Esc", "close, unselect"], ["?", "this help"],
];

export const help = () => element("div", {}, element("h1", {}, "Keys"),
  element("table", {}, element("tbody", {}, ...KEYS.map(([keys, text]) => element("tr", {},
    element("td", {}, ...keys.split("  ").flatMap((key) => [kbd(key), " "])), element("td", {}, text))))),
  element("p", { class: "soft" }, "Actions happen at once and are saved before the page shows them. Everything can be undone."));

export function describe(change) {
  if (change.action === "by hand") return "changed by hand";
  const verbs = { keep: "Kept", drop: "Dropped", move: "Moved", split: "Split off", reset: "Reset", undo: "Undone", redo: "Redone", not_copy: "Another picture" };
  if (change.action === "join") return "One person";
  if (change.action === "apart") return "Two persons";
  const words = `${verbs[change.action] ?? change.action}: ${plural(change.photos, "photo")}`;
  return ["move", "split"].includes(change.action) && change.person ? `${words} to ${change.person.name}` : words;
}

// The headings of the groups of a screen.
export function headings(kind, queue) {
  if (kind === "copies") return ["The same picture?"];
  if (queue === "second") return ["Second person", "First person, and neither"];
  if (queue === "doubtful") return ["Doubtful", "Others"];
  return ["In this queue", "Others"];
}

// The step to the photo above or below, by where it is drawn.
export function rowStep(tiles, elements, focus, direction) {
  const box = elements.get(tiles[focus]?.row)?.getBoundingClientRect();
  if (!box) return 0;
  let best = 0;
  let distance = Infinity;
  tiles.forEach((tile, place) => {
    const other = elements.get(tile.row)?.getBoundingClientRect();
    if (!other) return;
    const down = direction * (other.top - box.top);
    const far = down * 4 + Math.abs(other.left - box.left);
    if (down > 8 && far < distance) [best, distance] = [place - focus, far];
  });
  return best;
}
