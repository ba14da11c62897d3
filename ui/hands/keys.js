// @ts-check
// The keyboard: keys of the grid, those that work anywhere, undo and redo.

import { FIELD, find, forStage } from "../layout/dom.js";
import { moved } from "../stage/run/cells.js";
import { TOOLS } from "./hands.js";
import { openKeys } from "./key_sheet.js";

const ANYWHERE = ["[", "]", " "];
const CLIP = "Chisel: ";

/**
 * @param {import("../stage/stage.js").Stage} stage
 * @param {import("./tools.js").Tools} tools
 * @param {import("../stage/canvas/zoom.js").Zoom} zoom
 * @param {import("./sight.js").Sight} sight
 * @param {(name: string) => void} press a button of the hands by its name
 * @param {HTMLCanvasElement} canvas
 */
export function listen(stage, tools, zoom, sight, press, canvas) {
  const { player } = stage;
  const { mover } = tools;
  const walk = (/** @type {number} */ dx, /** @type {number} */ dy) => (/** @type {KeyboardEvent} */ event) => {
    if (!stage.run) return;
    if (tools.moves && mover.chosen.size && !event.shiftKey) {
      mover.move(dx, dy, true);
      return;
    }
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
    Escape: () => {
      tools.anchor = -1;
      if (mover.drag) tools.end(false);
      else if (tools.moves && mover.chosen.size) mover.none();
      else stage.select(-1);
    },
    Delete: () => mover.mask(),
    Backspace: () => mover.mask(),
    i: () => tools.choose("inspect"),
    m: () => tools.choose("mask"),
    e: () => tools.choose("erase"),
    l: () => tools.choose("lock"),
    v: () => tools.choose("move"),
    c: () => tools.choose("choose"),
    b: () => tools.choose("break"),
    n: () => press("invert"),
    h: () => sight.turn("bare"),
    x: () => sight.turn("pixels"),
    g: () => sight.turn("lines"),
    "+": closer(1),
    "=": closer(1),
    "-": closer(-1),
    0: () => zoom.set(1),
    r: () => tools.setBrush("rectangle"),
    w: () => tools.setBrush("wand"),
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
    if (event.key === "?" && !typing) return openKeys();
    const command = (event.ctrlKey || event.metaKey) && !event.altKey && !typing;
    const key = event.key.toLowerCase();
    if (command && (key === "z" || key === "y")) {
      event.preventDefault();
      stage.travel(key === "z" && !event.shiftKey);
    } else if (command && key === "a" && tools.moves && target === canvas) {
      event.preventDefault();
      mover.all();
    } else if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && stage.task === "edit") {
      event.preventDefault();
      press("repaint");
    } else if (stage.run && target !== canvas && ANYWHERE.includes(event.key) && forStage(event, canvas)) {
      // stepping and playing work without the focus too, arrows still scroll the page
      onKey(event);
    } else {
      alongTools(event, target);
    }
  });

  // Cells go through the clipboard as a line of words, so that what was copied last is what is pasted.
  const cells = (/** @type {ClipboardEvent} */ event) => {
    const words = event.target instanceof Element && event.target.closest(FIELD);
    return tools.moves && !words && mover.chosen.size > 0 && getSelection()?.isCollapsed !== false;
  };
  for (const name of /** @type {("copy" | "cut")[]} */ (["copy", "cut"])) {
    document.addEventListener(name, (event) => {
      const n = cells(event) ? mover.copy() : 0;
      if (!n) return;
      event.preventDefault();
      event.clipboardData?.setData("text/plain", `${CLIP}${n} cells`);
      if (name === "cut") mover.mask();
    });
  }
  document.addEventListener("paste", (event) => {
    const typing = event.target instanceof Element && event.target.closest(FIELD);
    if (typing || !event.clipboardData?.getData("text/plain").startsWith(CLIP)) return;
    event.preventDefault();
    press("paste-cells");
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
