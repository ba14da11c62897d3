// @ts-check
// Decoded pictures of hand-made edits: one question at a time, and always the newest state first.

import { pack } from "../stage/run/bytes.js";

export class Previews {
  /** @param {import("../stage/stage.js").Stage} stage @param {Record<string, (data: any) => Promise<any>>} server */
  constructor(stage, server) {
    this.stage = stage;
    this.server = server;
    this.busy = false;
    /** @type {{run: import("../stage/run/run.js").Run, draft: import("../stage/kept/sheet.js").Draft} | null} */
    this.wanted = null;
    stage.on("look", () => {
      this.wanted = { run: stage.run, draft: stage.draft };
      if (!this.busy) this.work();
    });
  }

  async work() {
    this.busy = true;
    while (this.wanted) {
      const { run, draft } = this.wanted;
      this.wanted = null;
      try {
        await this.ask(run, draft);
      } catch {
        this.stage.say("The studio does not answer: look whether it still runs, then reload the page.");
      }
    }
    this.busy = false;
  }

  /** @param {import("../stage/run/run.js").Run} run @param {import("../stage/kept/sheet.js").Draft} draft */
  async ask(run, draft) {
    const told = await this.server.preview({ run: run.id, tokens: pack(draft.tokens, Int32Array) });
    if (told.error) return this.stage.say(told.error);
    const image = new Image();
    image.src = told.image;
    if (told.image) await image.decode();
    draft.image = told.image ? image : null;
    draft.version++;
    draft.pending = new Set();
    this.stage.changed();
  }
}
