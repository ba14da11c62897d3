// @ts-check
// The keyboard: keys of the grid, those that work anywhere, undo and redo.

import { find } from "../layout/dom.js";
import { moved } from "../stage/run/cells.js";
import { TOOLS } from "./hands.js";

const ANYWHERE = ["[", "]", " "];
const FIELD = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]";

/**
 * @param {import("../stage/stage.js").Stage} stage
 * @param {import("./tools.js").Tools} tools
 * @param {import("../stage/canvas/zoom.js").Zoom} zoom
 * @param {HTMLCanvasElement} canvas
 */
export function listen(stage, tools, zoom, canvas) {
  const { player } = stage;
  const walk = (/** @type {number} */ dx, /** @type {number} */ dy) => (/** @type {KeyboardEvent} */ event) => {
    if (!stage.run) return;
    if (stage.selected >= 0) tools.stretch(event.shiftKey);
    stage.select(moved(stage.selected, dx, dy, stage.run));
    zoom.follow(stage.selected, stage.run);
  };
  const closer = (/** @type {number} */ step) => () => zoom.closer(step, stage.run ? stage.selected : -1, stage.grid);
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    ArrowLeft: walk(-1, 0),
    ArrowRight: walk(1, 0),
    ArrowUp: walk(0, -1),
    ArrowDown: walk(0, 1),
    " ": () => (tools.paints && stage.selected >= 0 ? tools.press() : player.toggle()),
    Enter: () => tools.press(),
    p: () => player.toggle(),
    "[": () => stage.jump(stage.position - 1),
    "]": () => stage.jump(stage.position + 1),
    Home: () => stage.jump(0),
    End: () => stage.jump(stage.longest),
    Escape: () => { tools.anchor = -1; stage.select(-1); },
    i: () => tools.choose("inspect"),
    l: () => tools.choose("lock"),
    m: () => tools.choose("mask"),
    b: () => tools.choose("break"),
    c: () => tools.choose("choose"),
    "+": closer(1),
    "=": closer(1),
    "-": closer(-1),
    0: () => zoom.set(1),
    r: () => tools.setBrush("rectangle"),
    1: () => tools.setBrush("1"),
    2: () => tools.setBrush("2"),
    3: () => tools.setBrush("3"),
  };

  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(event);
  };
  canvas.addEventListener("keydown", onKey);
  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const typing = target.closest(FIELD);
    const command = (event.ctrlKey || event.metaKey) && !event.altKey && !typing;
    const key = event.key.toLowerCase();
    if (command && (key === "z" || key === "y")) {
      event.preventDefault();
      stage.travel(key === "z" && !event.shiftKey);
    } else if (target === document.body && stage.run && ANYWHERE.includes(event.key)) {
      // after Generate nothing has the focus: stepping and playing should work then too, arrows still scroll the page
      onKey(event);
    } else {
      alongTools(event, target);
    }
  });

  /** Arrows walk along the tools. @param {KeyboardEvent} event @param {Element} target */
  function alongTools(event, target) {
    /** @type {HTMLElement | null} */
    const tool = target.closest("button[data-tool]");
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!tool || !by) return;
    event.preventDefault();
    const next = TOOLS[(TOOLS.indexOf(tool.dataset.tool) + by + TOOLS.length) % TOOLS.length];
    find(`button[data-tool=${next}]`).focus();
    tools.choose(next);
  }
}
