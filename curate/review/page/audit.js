// The audit page: one photo of the draw, one key.

import { get, Lost, post, Refused } from "./server.js";
import * as view from "./view.js";
import { $, element } from "./view.js";

let state = null;
let item = null; // the shown photo
let ahead = null; // promise of the next one
let busy = Promise.resolve();

async function start() {
  state = await get("state");
  $("name").textContent = `Audit of ${state.name}`;
  document.title = `${state.name}: audit`;
  $("kinds").replaceChildren(...state.kinds.map((kind) => element("button", { type: "button", "data-kind": kind.name, onclick: () => judge(kind.name) },
    view.kbd(kind.key), element("b", {}, kind.name.replaceAll("_", " ")), element("span", { class: "soft" }, kind.meaning))));
  await show(state.next);
}

async function show(number) {
  $("progress").textContent = `${view.number(state.judged)} of ${view.number(state.photos)} judged by ${state.annotator}`;
  view.balance($("done"), [state.judged, 0, 0, state.photos - state.judged]);
  const finished = number === null;
  $("finished").hidden = !finished;
  for (const part of [$("kinds"), document.querySelector(".judge")]) part.hidden = finished;
  if (finished) {
    $("finished").textContent = "Everything is judged. End `curate audit` with Ctrl-C: it prints the result.";
    item = null;
    return;
  }
  item = await (ahead?.number === number ? ahead.values : get("item", { number }));
  const { version } = state;
  $("face").replaceChildren(view.picture(version, item.row, "face to judge"));
  const photo = element("div", { class: "photo" }, element("img", { src: view.url(version, "source", item.row), alt: "its photo" }));
  if (item.size) {
    photo.style.setProperty("--ratio", item.size[0] / item.size[1]);
    if (item.box) photo.append(view.overlay(item.size, item.box, null));
  }
  photo.firstChild.onerror = () => photo.replaceChildren(element("p", { class: "soft" }, "The photo is not in the source any more."));
  $("source").replaceChildren(photo);
  $("heads").replaceChildren(...item.person.heads.map((row) => view.picture(version, row, "nearest to the centroid")));
  $("person").textContent = item.person.heads.length ? `Other faces of ${item.person.name}` : `${item.person.name} has no other face`;
  for (const button of $("kinds").children) button.setAttribute("aria-pressed", String(button.dataset.kind === item.given));
  const next = number + 1;
  ahead = next < state.photos ? { number: next, values: get("item", { number: next }) } : null;
  ahead?.values.then((values) => {
    for (const kind of ["crop", "source"]) new Image().src = view.url(version, kind, values.row);
  }, () => { ahead = null; });
}

const queue = (work) => { busy = busy.then(work).catch(refused); return busy; };

function judge(kind) {
  return queue(async () => {
    if (!item) return;
    Object.assign(state, await post("judge", { number: item.number, kind }));
    await show(state.next);
  });
}

function undo() {
  return queue(async () => {
    Object.assign(state, await post("undo", {}));
    await show(state.next);
  });
}

let timer = 0;
function refused(error) {
  if (!(error instanceof Refused) && !(error instanceof Lost)) throw error;
  $("toast").textContent = error instanceof Refused ? error.message : "The server does not answer. What was judged is saved; start `curate audit` again.";
  $("toast").hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { $("toast").hidden = true; }, 4000);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state) return;
  const kind = state.kinds.find((known) => known.key === event.key.toUpperCase());
  if (kind) judge(kind.name);
  else if (event.key.toLowerCase() === "u") undo();
  else return;
  event.preventDefault();
});
$("undo").onclick = undo;
start().catch(refused);
