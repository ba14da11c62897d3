// @ts-check
// The self-correction lab: asks for a breakage of the picture on the canvas, shows it heal pass by pass, keeps the counts.

import { find, findAll, make } from "../layout/dom.js";
import { rollSeed } from "../stage/ask/ask.js";
import { columnAndRow } from "../stage/run/cells.js";
import { MARK } from "../stage/canvas/colours.js";

/**
 * See ui/learn/lab.py: `broken` are the cells broken, `off` and `on` those of them that came back.
 * @typedef {{error?: string, state: string, share: number, columns: number, broken: number[], passes: number,
 *   off: number[], on: number[], harmed: number, pictures?: Record<string, string>}} Told
 */

const ROWS_KEPT = 6;
const LEAST_PX = 256; // across, of the lab's pictures

/**
 * Pixels of a canvas that holds this picture: its own shape, and no smaller than it is.
 * @param {{naturalWidth: number, naturalHeight: number}} image
 */
export function sizeFor({ naturalWidth, naturalHeight }) {
  const width = Math.max(LEAST_PX, naturalWidth);
  return { width, height: Math.max(Math.round((width * naturalHeight) / naturalWidth), 1) };
}

/**
 * A ring inside a cell `side` pixels wide, in proportion to it: where it begins, its own size, its line and the light
 * one under that.
 * @param {number} side @param {boolean} mended
 */
export function ringIn(side, mended) {
  const unit = side / 16;
  const line = (mended ? 1.5 : 3) * unit;
  return { inset: 2 * unit, size: side - 4 * unit, line, under: line + 2 * unit };
}

export class Lab {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, props: any, trigger: (name: string, data: any) => void,
   *   watch: (name: string, call: () => void) => void}} piece
   */
  constructor(stage, { element, props, trigger, watch }) {
    this.stage = stage;
    this.element = element;
    this.trigger = trigger;
    this.buttons = findAll("[data-share]", element);
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
    for (const button of this.buttons) button.addEventListener("click", () => this.press(Number(button.dataset.share)));
    watch("value", () => { if (props.value) this.take(props.value); });
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** @param {number} share per cent */
  press(share) {
    const { run } = this.stage;
    if (this.element.dataset.state === "busy") return;
    if (!run || run.state === "running") return this.say("Make a picture first: press Generate and let it finish.");
    this.setBusy(true);
    this.say("Breaking …");
    this.stage.listening.expect();
    this.trigger("heal", { run: run.id, share, seed: rollSeed() });
  }

  /** @param {boolean} on */
  setBusy(on) {
    for (const button of this.buttons) button.disabled = on;
    this.element.dataset.state = on ? "busy" : "idle";
  }

  /** @param {string} words */
  say(words) {
    this.find(".cz-lab-say").textContent = words;
  }

  /** @param {Told} told */
  take(told) {
    this.stage.listening.heard();
    const { error, state, broken, on, off, passes, harmed, pictures } = told;
    if (state === "waiting") return this.say("Waiting for the model …");
    if (error || state !== "healing") this.setBusy(false);
    if (error) return this.say(error);
    if (!pictures) return this.say("Stopped.");
    this.find(".cz-lab-pictures").hidden = false;
    this.picture("whole", told, [], []);
    this.picture("broken", told, broken, []);
    this.picture("off", told, broken, off);
    this.picture("on", told, broken, on);
    const share = (/** @type {number[]} */ { length }) => {
      return `${length} of ${broken.length}, ${Math.round((length / broken.length) * 100)} %`;
    };
    if (state === "healing") return this.say(`Pass ${passes}: ${share(on)} came back.`);
    const also = harmed ? ` It also changed ${harmed} that ${harmed === 1 ? "was" : "were"} whole.` : "";
    this.say(`${state === "stopped" ? "Stopped after" : "Done after"} ${passes} passes: ${share(on)} came back exactly.${also}`);
    const counts = { broken: broken.length, on: on.length, off: off.length, harmed };
    for (const [name, n] of Object.entries(counts)) this.element.dataset[name] = String(n);
    this.note(`${broken.length} (${told.share} %)`, share(off), share(on));
  }

  /** One row more in the table, at its top. @param {string} name @param {string[]} figures */
  note(name, ...figures) {
    const body = this.find("tbody");
    const cells = figures.map((textContent) => make("td", { textContent }));
    body.prepend(make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells));
    while (body.children.length > ROWS_KEPT) body.lastChild.remove();
    this.find(".cz-results").hidden = false;
  }

  /**
   * Orange rings are still wrong, blue ones came back; without colour vision: thick and thin.
   * @param {string} name @param {Told} told @param {number[]} broken @param {number[]} mended
   */
  async picture(name, told, broken, mended) {
    const canvas = this.find(`[data-picture=${name}]`);
    const uri = told.pictures[name];
    if (!uri.startsWith("data:image/jpeg;base64,")) return;
    const image = this.images.get(name) || new Image();
    this.images.set(name, image);
    if (image.src !== uri) {
      image.src = uri;
      await image.decode().catch(() => {});
    }
    if (!image.naturalWidth) return; // could not be decoded
    const { width, height } = sizeFor(image);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const ctx = canvas.getContext("2d");
    const side = canvas.width / told.columns;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image, 0, 0, canvas.width, canvas.height);
    for (const cell of broken) {
      const whole = mended.includes(cell);
      const { inset, size, line, under } = ringIn(side, whole);
      const [x, y] = columnAndRow(cell, { columns: told.columns, rows: 0 }).map((n) => n * side);
      for (const [colour, lineWidth] of [["rgba(255,255,255,.9)", under], [whole ? MARK.set : MARK.edit, line]]) {
        Object.assign(ctx, { strokeStyle: colour, lineWidth });
        ctx.strokeRect(x + inset, y + inset, size, size);
      }
    }
  }
}
