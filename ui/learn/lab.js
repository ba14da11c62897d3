// @ts-check
// The self-correction lab: asks for a breakage of the picture on the canvas, shows it heal pass by pass, keeps the counts.

import { find, findAll, make } from "../layout/dom.js";
import { rollSeed } from "../stage/ask.js";
import { columnAndRow } from "../stage/cells.js";
import { MARK } from "../stage/colours.js";

/**
 * See ui/learn/lab.py: `broken` are the cells broken, `off` and `on` those of them that came back.
 * @typedef {{error?: string, state: string, share: number, columns: number, broken: number[], passes: number,
 *   off: number[], on: number[], harmed: number, pictures?: Record<string, string>}} Told
 */

const ROWS_KEPT = 6;

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
    const height = Math.round((canvas.width * image.naturalHeight) / image.naturalWidth);
    if (height && height !== canvas.height) canvas.height = height;
    const ctx = canvas.getContext("2d");
    const side = canvas.width / told.columns;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image, 0, 0, canvas.width, canvas.height);
    for (const cell of broken) {
      const whole = mended.includes(cell);
      const w = whole ? 1.5 : 3;
      const [x, y] = columnAndRow(cell, { columns: told.columns, rows: 0 }).map((n) => n * side);
      for (const [colour, width] of [["rgba(255,255,255,.9)", w + 2], [whole ? MARK.set : MARK.edit, w]]) {
        ctx.strokeStyle = colour;
        ctx.lineWidth = width;
        ctx.strokeRect(x + 2, y + 2, side - 4, side - 4);
      }
    }
  }
}
