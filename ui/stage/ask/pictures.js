// @ts-check
// Pictures of steps that came without: where decoding takes long, only what is looked at is decoded. One question at a
// time, the newest first.

/** @typedef {import("../run/run.js").Run} Run */

const KEPT = 8; // questions; who scrubs over more than that has long moved on

export class Pictures {
  /** @param {import("../stage.js").Stage} stage @param {Record<string, (data: any) => Promise<any>>} server */
  constructor(stage, server) {
    this.stage = stage;
    this.server = server;
    this.busy = false;
    /** @type {{run: Run, k: number}[]} the newest last */
    this.wanted = [];
    stage.on("picture", (one) => this.want(one));
  }

  /** @param {{run: Run, k: number}} one */
  want(one) {
    const others = this.wanted.filter(({ run, k }) => run !== one.run || k !== one.k);
    this.wanted = [...others, one].slice(-KEPT);
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.wanted.length) await this.ask(this.wanted.pop());
    this.busy = false;
  }

  /** @param {{run: Run, k: number}} one */
  async ask({ run, k }) {
    const frame = run.frames[k];
    if (!frame.late) return;
    const told = await this.server.picture({ run: run.id, step: k + run.offset }).catch(() => ({ error: "" }));
    if (told.error === "") return this.stage.say("The picture of this step did not come: choose the step again.");
    if (told.error) this.stage.say(told.error);
    frame.late?.(told.image ?? ""); // what was refused will be refused again
    await frame.ready;
    if (run === this.stage.run || run === this.stage.beside) this.stage.changed();
  }
}
