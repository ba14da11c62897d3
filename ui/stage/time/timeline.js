// @ts-check
// The timeline under the canvas. Per step one column: blue for tokens set, orange below for tokens edited; a line for the
// mean confidence and a quiet slope for the share already carved. A range input lies on top of it, so that mouse, touch,
// keyboard and screen reader all scrub the same thing.

import { find, make, makeSvg } from "../../layout/dom.js";
import { course } from "../run/words.js";

/** @typedef {import("../run/run.js").Run} Run */
/** @typedef {import("../run/run.js").Frame} Frame */

const BAR = 36; // px above the ground line for bars and curves
const GROUND = 40;
const SLOTS = 13; // drawn before there is a run

export class Timeline {
  /** @param {HTMLElement} root @param {(k: number) => void} onScrub */
  constructor(root, onScrub) {
    this.range = find(".cz-range", root);
    this.bars = find(".cz-bars", root);
    this.curves = find(".cz-curves", root);
    this.key = "";
    this.range.addEventListener("input", () => onScrub(Number(this.range.value)));
  }

  /**
   * @param {Run | null} run
   * @param {number} position the step on the common axis of `run` and, while comparing, of `other`
   * @param {Run | null} other
   * @param {Set<number>} drafted the steps changed by hand
   */
  show(run, position, other, drafted) {
    const slots = run ? Math.max(slotsOf(run), other ? slotsOf(other) : 0) : SLOTS;
    const parts = [run, other].map((one) => (one ? `${one.id} ${one.frames.length}` : ""));
    const key = [...parts, slots, ...drafted].join();
    if (key !== this.key) this.build(run, slots, other, drafted);
    this.key = key;
    this.range.title = run?.polish
      ? `${course(run.planned, run.polish)}: after the dotted line all tokens are set, and the model only looks again` : "";
    this.range.max = String(Math.max(slots - 1, 1));
    this.range.disabled = !run || Math.max(run.last, other ? other.last : 0) < 1;
    this.range.value = String(run ? position : 0);
    this.range.setAttribute("aria-valuetext", run ? run.describe(Math.min(position, run.last)) : "no run yet");
    this.range.style.setProperty("--slot", `${this.bars.clientWidth / slots}px`);
    const here = run ? position : -1;
    Array.from(this.bars.children).forEach((/** @type {Element} */ bar, i) => bar.classList.toggle("is-here", i === here));
  }

  /** @param {Run | null} run @param {number} slots @param {Run | null} other @param {Set<number>} drafted */
  build(run, slots, other, drafted) {
    const frames = run ? run.frames : [];
    const tallest = Math.max(8, ...frames.map((f) => f.set.length));
    const most = Math.max(8, ...frames.map((f) => f.edited.length));
    const bars = [];
    for (let i = 0; i < slots; i++) {
      const frame = frames[i];
      const polish = run && run.planned > 0 && (frame ? frame.phase === "polish" : i > run.planned);
      const bar = make("span", { className: `cz-bar${frame ? "" : " is-ghost"}${polish ? " is-polish" : ""}` });
      if (frame) {
        bar.append(tick("cz-bar-set", (frame.set.length / tallest) * BAR));
        bar.append(tick("cz-bar-edit", (frame.edited.length / most) * 14));
        if (drafted.has(i)) bar.append(tick("cz-bar-hand", 6));
      }
      bars.push(bar);
    }
    this.bars.replaceChildren(...bars);
    this.curves.setAttribute("viewBox", `0 0 ${slots} 58`);
    const nodes = [];
    if (run && frames.length > 1) {
      nodes.push(this.curve(frames, (f) => 1 - f.masked / run.cells, "is-carved", true));
      nodes.push(this.curve(frames.slice(1), (f) => f.meanP, "is-sure", false, 1));
    }
    if (other && other.frames.length > 1) {
      nodes.push(this.curve(other.frames.slice(1), (f) => f.meanP, "is-sure is-other", false, 1));
    }
    this.curves.replaceChildren(...nodes);
  }

  /**
   * @param {Frame[]} frames @param {(frame: Frame) => number} value
   * @param {string} name @param {boolean} filled @param {number} first
   */
  curve(frames, value, name, filled, first = 0) {
    const points = frames.map((f, i) => `${i + first + 0.5},${GROUND - value(f) * BAR}`);
    if (filled) points.push(`${frames.length - 0.5},${GROUND}`, `0.5,${GROUND}`);
    return makeSvg(filled ? "polygon" : "polyline", { points: points.join(" "), class: name });
  }
}

/** Steps on the axis: while a run streams also those to come. @param {Run} run */
export function slotsOf(run) {
  return Math.max(run.state === "running" ? run.planned + run.polish + 1 : 0, run.frames.length);
}

/** A bar of `height` px; what happened at all is never too small to see. @param {string} className @param {number} height */
function tick(className, height) {
  const node = make("i", { className });
  node.style.height = height > 0 ? `${Math.max(Math.round(height), 3)}px` : "0";
  return node;
}
