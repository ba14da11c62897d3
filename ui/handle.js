// @ts-check
// window.chisel: what tests, measurements and screenshots hold the page by, and what page.py calls as events begin and
// end. The page's own pieces import what they need and never come here.

import { rollSeed } from "./stage/ask/ask.js";

/** Stage events that scripts outside may listen to, on the document as "chisel:run" and so on. */
const TOLD = ["run", "step", "select", "edit", "done", "compare", "ask", "task"];

/**
 * @param {import("./stage/stage.js").Stage} stage
 * @param {import("./main.js").Grid} grid
 */
export function handle(stage, { canvas, hands, tools, panel, server, form }) {
  for (const name of TOLD) {
    stage.on(name, (detail) => document.dispatchEvent(new CustomEvent(`chisel:${name}`, { detail })));
  }
  const { sheet } = stage;
  return {
    // page.py: a model event starts with these values of the form, is over, the form is filled in, another seed is wanted
    before: (/** @type {any[]} */ values) => stage.asks.before(values),
    ended: () => stage.ended(),
    filled: (/** @type {any[]} */ values) => form.filled(values),
    roll: rollSeed,
    // what is on screen
    run: () => stage.run,
    runs: () => stage.shelf.runs.slice(),
    beside: () => stage.beside,
    step: () => stage.shown,
    cell: () => stage.selected,
    tokens: () => stage.tokens && Int32Array.from(stage.tokens),
    locks: () => sheet.lockedCells(),
    still: () => canvas.still,
    get painted() { return canvas.painted; },
    // a message as the server would send it
    show: (/** @type {import("./stage/run/run.js").Message} */ message) => stage.take(message),
    // what a visitor would do
    go: (/** @type {number} */ k) => stage.go(k),
    select: (/** @type {number} */ cell) => stage.select(cell),
    task: (/** @type {string} */ name) => stage.choose(name),
    tool: (/** @type {string} */ name) => tools.choose(name),
    compare: (/** @type {import("./stage/run/run.js").Run | null} */ run) => stage.compare(run),
    put: (/** @type {number[][]} */ pairs) => stage.change(() => hands.put(pairs)),
    lock: (/** @type {number[]} */ cells, on = true) => stage.change(() => sheet.lock(stage.run, stage.shown, cells, on)),
    remask: (/** @type {number[]} */ cells, on = true) => stage.change(() => hands.mask(cells, on)),
    breakCells: (/** @type {number[]} */ cells) => stage.change(() => hands.break(cells)),
    undo: () => stage.travel(true),
    redo: () => stage.travel(false),
    press: (/** @type {string} */ name) => panel.press(name),
    ask: (/** @type {any} */ { kind, change, ...more }) => stage.free && stage.asks.act(kind, more, change),
    server,
  };
}
