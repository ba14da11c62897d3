// @ts-check
// The stage goes along with a chapter that walks through the steps of its run, and is given back as it stood.

/** @typedef {import("../stage/run/run.js").Run} Run */

export class Company {
  /** @param {import("../stage/stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {{run: Run, stood: number, asked: number} | null} where the stage stood before, and what was last asked of it */
    this.on = null;
  }

  /** @param {number} k */
  go(k) {
    const { stage } = this;
    const { run } = stage;
    const stood = this.on?.run === run ? this.on.stood : stage.position;
    stage.jump(k);
    this.on = { run, stood, asked: stage.asked };
  }

  /** Whoever leaves finds the stage as it stood before, unless they went elsewhere on it themselves. */
  leave() {
    const { stage, on } = this;
    this.on = null;
    if (on && stage.run === on.run && stage.asked === on.asked) stage.jump(on.stood);
  }

  /** What comes now is to be seen. */
  end() {
    this.on = null;
  }
}
