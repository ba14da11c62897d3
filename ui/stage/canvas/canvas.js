// @ts-check
// The canvas of the stage, and the second one of a comparison: drawn once a frame, at most, when something has changed.

import { find } from "../../layout/dom.js";
import { apart } from "../beside/outcome.js";
import { MARK_MS, strength } from "./marks.js";
import { Painter } from "./paint.js";
import { gridLabel } from "../run/run.js";

const MOTION_MS = 30;
/** @type {Set<number>} */
const NONE = new Set();
const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Canvas {
  /**
   * @param {import("../stage.js").Stage} stage
   * @param {HTMLElement} root
   * @param {{tool: string, hovered: number, marked: () => number[], mover: {ghost: import("./paint.js").Ghost | null,
   *   chosen: Set<number>}}} hand the tool in hand, the cells it points at, and those that it drags
   * @param {{factor: number}} zoom
   * @param {import("./paint.js").Sight} sight
   */
  constructor(stage, root, hand, zoom, sight) {
    this.stage = stage;
    this.hand = hand;
    this.zoom = zoom;
    this.sight = sight;
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
    const differ = beside && stage.way === "difference" && run.cells === beside.cells ? apart(run, beside, stage.position) : null;
    const brush = hand.marked();
    const pointed = stage.pointed.cells.filter((cell) => cell < grid.rows * grid.columns);
    const rings = stage.pointed.round && !brush.length ? pointed : [];
    const marked = brush.length ? brush : rings.length ? [] : pointed;
    const { pixels, lines, bare } = this.sight;
    const both = { differ, grid, overlay, selected, since, hover: hand.hovered, sight: { pixels, lines, bare } };
    this.painter.draw({
      ...both, run, k: stage.shown, tokens, draft: stage.draft, changed: byHand, locks: stage.sheet.locks, marked, rings,
      marks: run ? strength(run, stage.shown, since) : 0, ghost: hand.mover.ghost,
    });
    if (beside) {
      const k = Math.min(stage.position, beside.last);
      this.besidePainter.draw({
        ...both, run: beside, k, tokens: beside.frames[k].tokens, draft: null, changed: NONE, locks: null, marked: [],
        marks: strength(beside, k, since),
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
      chosen: String(this.hand.mover.chosen.size),
      beside: beside ? beside.id : "",
      besideState: beside ? beside.state : "",
      overlay,
      zoom: String(this.zoom.factor),
    });
  }
}
