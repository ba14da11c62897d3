// @ts-check
// Where nothing that a prompt names is known, the picture will hardly be one: the stage says so, with three to tap.

import { find, make } from "../layout/dom.js";
import { write } from "./prompt_box.js";

const LONGEST = 40; // characters of a prompt that the sentence quotes

export class Nothing {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {Record<string, (data: any) => Promise<any>>} server
   */
  constructor(stage, server) {
    this.stage = stage;
    this.server = server;
    /** @type {HTMLElement | null} */
    this.node = null;
    stage.on("done", (id) => this.look(id));
    for (const name of ["ask", "run", "task"]) stage.on(name, () => this.close());
  }

  close() {
    this.node?.remove();
    this.node = null;
  }

  /** @param {string} id of the run that has ended */
  async look(id) {
    const { run } = this.stage;
    if (!run || run.id !== id || run.kind !== "generate") return;
    const asked = Promise.all([this.server.understand(run.prompt), this.server.offers(null)]);
    const [told, offered] = await asked.catch(() => /** @type {any[]} */ ([]));
    if (!told?.nothing || this.stage.run !== run || this.stage.busy) return;
    this.show(run.prompt, told, offered?.offers ?? []);
  }

  /**
   * The prompt with its slips of spelling put right comes first.
   * @param {string} prompt @param {{some: boolean, mended: string}} told @param {{prompt: string, image: string}[]} offers
   */
  show(prompt, { some, mended }, offers) {
    this.close();
    const quoted = prompt.length > LONGEST ? `${prompt.slice(0, LONGEST)}…` : prompt;
    const right = offers.find((one) => one.prompt === mended) ?? { prompt: mended, image: "" };
    const others = offers.filter((one) => one !== right);
    const choices = (mended ? [right, ...others].slice(0, Math.max(offers.length, 1)) : others).map((one) => {
      const image = one.image.startsWith("data:image/") ? [make("img", { src: one.image, alt: "", width: 72, height: 72 })] : [];
      const words = make("span", { textContent: one.prompt });
      const meant = mended && one === right ? [make("b", { textContent: "Did you mean" })] : [];
      return make("button", { className: "cz-offer", onclick: () => this.take(one.prompt) }, ...meant, ...image, words);
    });
    this.node = make("div", { className: "cz-nothing", role: "status" },
      make("p", {}, make("b", { textContent: `${some ? "No thing" : "Nothing"} in “${quoted}” is known here.` }),
        " So this is what is left of it. Tap one that is:"),
      make("div", { className: "cz-offers" }, ...choices),
      make("button", { className: "cz-icon cz-nothing-close", "aria-label": "Close", onclick: () => this.close() }, "✕"));
    find(".cz-frame").append(this.node);
  }

  /** @param {string} prompt */
  take(prompt) {
    this.close();
    write(prompt);
    // Gradio takes what was typed a moment later
    requestAnimationFrame(() => requestAnimationFrame(() => find("#generate").click()));
  }
}
