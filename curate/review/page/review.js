// The review page: what is shown, which photos are in focus or selected, and the keys.

import { Ahead } from "./ahead.js";
import { onKeys } from "./keyboard.js";
import { lasso } from "./lasso.js";
import * as menu from "./menu.js";
import { clearPanel, showPanel } from "./panel.js";
import { get, listen, me, post, Refused } from "./server.js";
import * as view from "./view.js";
import { lost, refused, say, showProblem } from "./message.js";
import { $, element } from "./view.js";

const OTHERS_DELAY = 150; // ms

let state = null; // the dataset, its counts and queues
let queue = "";
let screens = []; // [key, title, open] of the queue
let at = -1; // place of the shown screen in `screens`
let shown = null; // the shown screen
let tiles = []; // photos of the shown screen, in order
let focus = 0; // place in `tiles`
let anchor = 0; // where a range began
const selected = new Set(); // rows
let everything = false; // whether all photos of the queue are selected
let target = null; // identity that was chosen to move to
let busy = Promise.resolve(); // actions follow one another

const ahead = new Ahead(() => (at + 1 < screens.length ? { key: screens[at + 1][0], queue, version: state.version } : null));
const focused = () => tiles[focus];
const elements = new Map(); // row -> tile in the page
const elementOf = (tile) => tile && elements.get(tile.row);
const undecided = (tile) => (queue === "doubtful" ? tile.open : !tile.human && !tile.moved);
const matchingTiles = () => (shown.kind === "pair" ? [] : shown.groups[0].photos);

async function start() {
  await openQueue(decodeURIComponent(location.hash.slice(1)));
  if (!state) { // the address names an unknown queue, or a filter of another version
    const problem = $("filter-problem").textContent;
    await openQueue();
    say(problem, true);
  }
  $("name").textContent = state.name;
  document.title = `${state.name}: review`;
}

// Without a name: the first queue that has something to decide.
async function openQueue(name = "") {
  let found;
  try {
    [found, state] = await Promise.all([get("queue", { queue: name }), get("state")]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("filter-problem").textContent = error.message;
    $("filter-problem").hidden = false;
    return;
  }
  $("filter-problem").hidden = true;
  queue = found.name;
  screens = found.screens;
  view.counts($("counts"), state.counts);
  showProblem(state.problem);
  history.replaceState(null, "", `#${encodeURIComponent(queue)}`);
  $("side").classList.remove("shown");
  menu.showQueues(state.queues, queue, openQueue);
  menu.showScreens(screens, queue, show);
  ahead.clear();
  if (screens.length) await show(0);
  else showNothing();
}

function showNothing() {
  [at, shown, tiles] = [-1, null, []];
  selected.clear();
  $("title").textContent = "Nothing left to decide here";
  $("numbers").textContent = "";
  $("balance").replaceChildren();
  $("heads-section").hidden = true;
  const other = state.queues.find(({ name, count }) => count && !["decided", "all", queue].includes(name));
  $("groups").replaceChildren(element("p", { class: "empty" }, other
    ? element("button", { class: "plain", type: "button", onclick: () => openQueue(other.name) }, `Go to ${other.title} (${view.number(other.count)})`)
    : "Choose another queue, or filter on columns. Ctrl-C in the terminal ends the review."));
  clearPanel();
}

async function show(place, row = null) {
  const [key] = screens[place];
  const values = await (ahead.take(key) ?? get("screen", { key, queue }));
  [at, shown, everything, target] = [place, values, false, null];
  selected.clear();
  tiles = values.groups.flatMap((group) => group.photos);
  render();
  const first = row === null ? tiles.findIndex(undecided) : tiles.findIndex((tile) => tile.row === row);
  setFocus(Math.max(first, 0));
  $("main").scrollTop = 0;
  ahead.start();
}

function render() {
  menu.markScreen(at);
  $("title").textContent = shown.title;
  showNumbers();
  const person = shown.people[shown.identities[0]];
  $("heads-section").hidden = shown.kind !== "person" || !person.heads.length;
  $("heads").replaceChildren(...person.heads.map((head) => view.picture(state.version, head, `${person.name}, near the centroid`)));
  elements.clear();
  const pair = shown.kind === "pair";
  $("groups").className = { pair: "columns", copies: "copies" }[shown.kind] ?? "";
  const [first, ...others] = shown.groups.map((group, k) => () => section(group, k));
  $("groups").replaceChildren(first());
  // The photos to decide are painted first; a fast key comes before the others.
  const whole = shown;
  const rest = () => {
    if (whole !== shown) return;
    $("groups").append(...others.map((made) => made()));
    elementOf(focused())?.classList.add("current");
  };
  setTimeout(rest, pair || !shown.groups[0].photos.length ? 0 : OTHERS_DELAY);
}

function section(group, k) {
  const pair = shown.kind === "pair";
  const title = pair ? group.title : view.headings(shown.kind, queue)[k];
  const more = group.total > group.photos.length ? `, ${group.photos.length} shown` : "";
  const grid = element("div", { class: k && !pair ? "grid small" : "grid" }, ...group.photos.map((tile) => {
    const made = view.tileElement(state.version, tile);
    elements.set(tile.row, made);
    return made;
  }));
  const made = element("section", {}, element("h2", {}, `${title} (${view.number(group.total)})${more}`), grid);
  made.hidden = !group.photos.length;
  return made;
}

function showNumbers() {
  const total = shown.counts.reduce((sum, value) => sum + value, 0);
  $("numbers").textContent = `${view.plural(total, "photo")} · keep ${shown.counts[0]} · review ${shown.counts[1]} · drop ${shown.counts[2]}`;
  view.balance($("balance"), shown.counts);
}

function setFocus(place) {
  elementOf(focused())?.classList.remove("current");
  focus = Math.min(Math.max(place, 0), tiles.length - 1);
  const made = elementOf(focused());
  made?.classList.add("current");
  made?.scrollIntoView({ block: "nearest" });
  showFocused();
}

function suggestion() {
  const code = target ?? focused()?.suggested ?? null;
  return code === null ? null : shown.people[code] ?? null;
}

function showFocused() {
  const tile = focused();
  if (!tile) return;
  const chosen = everything ? "all photos of the queue" : selected.size ? view.plural(selected.size, "selected photo") : "";
  const choice = { person: suggestion(), isChosen: target !== null, choose: moveTo };
  showPanel(state.version, shown.kind, tile, chosen, shown.kind === "person" ? choice : null, { act, open: openLoupe });
}

function moveTo(person) {
  shown.people[person.code] = person;
  target = person.code;
  showFocused();
}

// Actions: they happen at once; what the server has saved is then shown.

function act(name) {
  busy = busy.then(() => (name === "undo" || name === "redo" ? takeBack(name) : decide(name))).catch(refused);
  return busy;
}

async function decide(name) {
  if (!shown) return;
  if (name === "not_copy" || name === "apart") name = shown.kind === "pair" ? "apart" : "not_copy";
  let rows = selected.size ? [...selected] : focused() ? [focused().row] : [];
  if (name === "split" && queue === "second" && !selected.size) rows = matchingTiles().filter(undecided).map((tile) => tile.row);
  const values = { action: name, by: me, rows, identity: shown.identities[0] };
  if (everything) Object.assign(values, { rows: null, queue });
  if (name === "move") values.other = target ?? focused()?.suggested ?? -1;
  if (name === "join" || name === "apart") Object.assign(values, { rows: [], other: shown.identities[1] ?? -1 });
  const change = await post("act", values);
  const whole = everything;
  selected.clear();
  everything = false;
  apply(change);
  say(`${view.describe(change)} · U undoes`);
  if (whole) return openQueue(queue);
  await advance(shown.kind === "copies" || name === "join" || name === "apart", view.describe(change));
}

// To the next photo to decide; after the last one, to the next screen.
async function advance(settled, done) {
  const after = tiles.findIndex((tile, place) => place >= focus && undecided(tile) && inQueue(tile));
  const any = after >= 0 ? after : tiles.findIndex((tile) => undecided(tile) && inQueue(tile));
  if (!settled && any >= 0) {
    showLeft(false);
    if (ahead.empty) ahead.start();
    return setFocus(any);
  }
  showLeft(settled);
  if (at + 1 < screens.length) return show(at + 1);
  setFocus(focus);
  if (!screens.some((_, place) => !menu.isDone(place))) say(`${done} · the queue is finished · U undoes`);
}

const showLeft = (settled) => menu.showLeft(at, settled ? 0 : matchingTiles().filter(undecided).length);

const inQueue = (tile) => matchingTiles().includes(tile);

async function takeBack(name) {
  const change = await post(name, { by: me });
  apply(change);
  say(view.describe(change));
  const rows = new Set(change.rows);
  const place = tiles.findIndex((tile) => rows.has(tile.row));
  if (place >= 0) {
    showLeft(false);
    return setFocus(place);
  }
  const key = change.person && `person:${change.person.code}`;
  const back = screens.findIndex(([known]) => known === key);
  if (back < 0) return;
  await show(back, change.rows[0]);
  showLeft(false);
}

function apply(change) {
  state.counts = change.counts;
  view.counts($("counts"), change.counts);
  ahead.apply(change);
  for (const fresh of change.tiles) {
    const tile = tiles.find((known) => known.row === fresh.row);
    if (!tile) continue;
    const before = ["keep", "review", "drop"].indexOf(tile.verdict);
    Object.assign(tile, { ...fresh, why: tile.why });
    shown.counts[before] -= 1;
    shown.counts[["keep", "review", "drop"].indexOf(tile.verdict)] += 1;
    const made = elementOf(tile);
    if (made) view.paintTile(made, tile);
  }
  if (shown) {
    showNumbers();
    for (const [row, made] of elements) made.classList.toggle("selected", selected.has(row));
  }
}

// Selection

function select(rows, on = true) {
  for (const row of rows) if (on) selected.add(row); else selected.delete(row);
  everything = false;
  paintSelection();
}

function paintSelection() {
  for (const [row, made] of elements) made.classList.toggle("selected", everything || selected.has(row));
  showFocused();
}

function selectAll() {
  const rows = (shown.kind === "pair" ? [] : matchingTiles()).map((tile) => tile.row);
  if (rows.every((row) => selected.has(row)) && shown.kind === "person") {
    everything = true;
    say("All undecided photos of the queue are selected");
  } else select(rows);
  paintSelection();
}

function move(step, extend) {
  if (!tiles.length) return;
  if (extend && !selected.size) anchor = focus;
  setFocus(focus + step);
  if (!extend) { anchor = focus; return; }
  selected.clear();
  select(tiles.slice(Math.min(anchor, focus), Math.max(anchor, focus) + 1).map((tile) => tile.row));
}

// The photo at large

async function openLoupe() {
  const tile = focused();
  if (!tile) return;
  const photo = await get("photo", { row: tile.row });
  $("loupe").replaceChildren(...view.loupe(state.version, photo, close));
  $("loupe").hidden = false;
}

function close() {
  if (!$("keys").hidden) $("keys").hidden = true;
  else if (!$("loupe").hidden) $("loupe").hidden = true;
  else { selected.clear(); everything = false; target = null; paintSelection(); }
}

function toggleHelp() {
  $("keys").replaceChildren(view.help());
  $("keys").hidden = !$("keys").hidden;
}

// Keys

const step = (count, extend) => { move(count, extend); if (!$("loupe").hidden) openLoupe(); };
const undoOrRedo = (shift) => act(shift ? "redo" : "undo");
const KEYS = {
  k: () => act("keep"), d: () => act("drop"), m: () => act("move"), s: () => act("split"), r: () => act("reset"),
  j: () => act("join"), x: () => act("apart"), u: undoOrRedo,
  n: () => at + 1 < screens.length && show(at + 1), p: () => at > 0 && show(at - 1),
  arrowright: (shift) => step(1, shift), arrowleft: (shift) => step(-1, shift),
  arrowdown: (shift) => step(view.rowStep(tiles, elements, focus, 1), shift), arrowup: (shift) => step(view.rowStep(tiles, elements, focus, -1), shift),
  " ": () => focused() && select([focused().row], !selected.has(focused().row)),
  enter: () => ($("loupe").hidden ? openLoupe() : close()), escape: close, "?": toggleHelp, "/": () => $("terms").focus(),
};
const COMMANDS = { a: () => shown && selectAll(), z: undoOrRedo, y: () => act("redo") };
onKeys(KEYS, COMMANDS);

$("groups").addEventListener("click", (event) => {
  const row = Number(event.target.closest(".tile")?.dataset.row ?? -1);
  const place = tiles.findIndex((tile) => tile.row === row);
  if (place < 0) return;
  if (event.shiftKey) return move(place - focus, true);
  setFocus(place);
  if (event.ctrlKey || event.metaKey) select([row], !selected.has(row));
  else openLoupe();
});
lasso($("main"), (rows) => select(rows));
$("keys").onclick = toggleHelp;
$("help").onclick = toggleHelp;
for (const name of ["undo", "redo"]) $(name).onclick = () => act(name);
$("next").onclick = () => KEYS.n();
$("previous").onclick = () => KEYS.p();
$("menu").onclick = () => $("menu").setAttribute("aria-expanded", String($("side").classList.toggle("shown")));
$("filter").onsubmit = (event) => {
  event.preventDefault();
  $("terms").blur();
  openQueue($("terms").value && `filter:${$("terms").value}`);
};

listen(
  (change) => {
    if (change.by === me) return;
    apply(change);
    showFocused();
    say(`${change.by ? "Another window" : "overrides.csv"}: ${view.describe(change)}`);
  },
  () => start().catch(lost),
  lost,
);
start().catch(refused);
