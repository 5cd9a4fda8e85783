// The next screen and its pictures are loaded while the shown one is looked at.

import { get } from "./server.js";
import * as view from "./view.js";

const DELAY = 120; // ms in which a fast key comes first
const MAX_PICTURES = 24;

export class Ahead {
  #next; // returns the { key, queue, version } of the next screen, null after the last one
  #screen = null; // { key, values, rows }: promise of the values, and its photos once they are loaded
  #timer = 0;

  constructor(next) {
    this.#next = next;
  }

  get empty() {
    return this.#screen === null;
  }

  // The promise of a screen's values, null if it was not loaded.
  take(key) {
    return this.#screen?.key === key ? this.#screen.values : null;
  }

  start() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), DELAY);
  }

  clear() {
    this.#screen = null;
  }

  // A changed screen, or one that is still on the way, is loaded again.
  apply(change) {
    const rows = this.#screen?.rows;
    if (rows === undefined || change.rows.some((row) => rows.has(row)) || !change.complete) this.clear();
  }

  #load() {
    const next = this.#next();
    this.clear();
    if (next === null) return;
    const screen = { key: next.key, values: get("screen", { key: next.key, queue: next.queue }) };
    this.#screen = screen;
    screen.values.then((values) => {
      screen.rows = new Set(values.groups.flatMap((group) => group.photos.map((tile) => tile.row)));
      for (const tile of values.groups[0].photos.slice(0, MAX_PICTURES)) new Image().src = view.url(next.version, "crop", tile.row);
    }, () => { if (this.#screen === screen) this.clear(); });
  }
}
