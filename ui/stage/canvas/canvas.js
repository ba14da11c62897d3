// @ts-check
// The canvas of the stage, and the second one of a comparison: drawn once a frame, at most, when something has changed.

import { find } from "../../layout/dom.js";
import { MARK_MS, Painter } from "./paint.js";
import { gridLabel } from "../run/run.js";

const MOTION_MS = 30;
/** @type {Set<number>} */
const NONE = new Set();
const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Canvas {
  /**
   * @param {import("../stage.js").Stage} stage
   * @param {HTMLElement} root
   * @param {{tool: string, hovered: number, marked: () => number[]}} hand the tool in hand, and the cells it points at
   * @param {{factor: number}} zoom
   */
  constructor(stage, root, hand, zoom) {
    this.stage = stage;
    this.hand = hand;
    this.zoom = zoom;
    this.node = find(".cz-canvas", root);
    this.painter = new Painter(this.node);
    this.besidePainter = new Painter(find(".cz-canvas-beside", root));
    this.request = 0;
    this.painted = 0; // how long the last drawing took, in ms
    stage.on("draw", () => this.wanted());
    stage.on("run", () => this.node.setAttribute("aria-label", gridLabel(stage.run)));
  }

  wanted() {
    if (!this.request) this.request = requestAnimationFrame((now) => this.draw(now));
  }

  /** Nothing moves any more. */
  get still() {
    const { holding, moving, arrived } = this.stage;
    return !holding && !this.request && (!moving || performance.now() - arrived > MARK_MS + 100);
  }

  /** @param {number} now */
  draw(now) {
    this.request = 0;
    const { stage, hand } = this;
    const { run, beside, overlay, selected, moving, grid, tokens, byHand } = stage;
    if (stage.holding) return;
    const began = performance.now();
    const age = now - stage.arrived;
    const since = moving && !calm() ? age : null;
    const fading = Math.max(0, Math.min(1, 1.6 - (1.6 * age) / MARK_MS));
    const marks = !moving ? 0 : calm() ? Number(stage.player.playing || stage.busy) : fading;
    const brush = hand.marked();
    const marked = brush.length ? brush : stage.pointed.filter((cell) => cell < grid.rows * grid.columns);
    const both = { grid, overlay, selected, since, marks, hover: hand.hovered };
    this.painter.draw({
      ...both, run, k: stage.shown, tokens, draft: stage.draft, changed: byHand, locks: stage.sheet.locks, marked,
    });
    if (beside) {
      const k = Math.min(stage.position, beside.last);
      this.besidePainter.draw({
        ...both, run: beside, k, tokens: beside.frames[k].tokens, draft: null, changed: NONE, locks: null, marked: [],
      });
    }
    this.tell();
    this.painted = performance.now() - began;
    // Motion runs at half the screen's rate: on a machine without a graphics card the model needs the time more.
    if (moving && !calm() && age < MARK_MS) setTimeout(() => this.wanted(), MOTION_MS);
  }

  /** What the canvas shows, for tests and measurements, in its dataset. */
  tell() {
    const { run, beside, shown, sheet, tokens, draft, byHand, selected, overlay } = this.stage;
    Object.assign(this.node.dataset, {
      step: run ? String(shown) : "",
      last: run ? String(run.last) : "",
      state: run ? run.state : "idle",
      run: run ? run.id : "",
      kind: run ? run.kind : "",
      masked: run ? String(tokens.filter((token) => token === run.maskId).length) : "",
      edits: run ? String(run.frames[shown].editsSoFar) : "",
      cell: String(selected),
      locked: String(sheet.countLocked()),
      drafted: String(byHand.size),
      pending: String(draft ? draft.pending.size : 0),
      tool: this.hand.tool,
      beside: beside ? beside.id : "",
      besideState: beside ? beside.state : "",
      overlay,
      zoom: String(this.zoom.factor),
    });
  }
}
