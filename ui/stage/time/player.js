// @ts-check
// Plays the steps one after another.

/**
 * What is played: the step it stands at, its last one, and whether more may come.
 * @typedef {{position: number, longest: number, busy: boolean, go: (k: number, withMotion?: boolean) => void}} Tape
 */

const PLAY_MS = 260;
const SPEEDS = [1, 2, 4, 0.5];

export class Player {
  /** @param {Tape} tape @param {() => void} changed */
  constructor(tape, changed) {
    this.tape = tape;
    this.changed = changed;
    this.speed = 1;
    /** @type {number | null} */
    this.timer = null;
  }

  get playing() {
    return this.timer !== null;
  }

  play() {
    const { tape } = this;
    if (tape.longest < 1) return;
    if (tape.position >= tape.longest) tape.go(0);
    this.timer = setInterval(() => {
      if (tape.position < tape.longest) tape.go(tape.position + 1, true);
      if (tape.position >= tape.longest && !tape.busy) this.pause();
    }, PLAY_MS / this.speed);
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    clearInterval(this.timer);
    this.timer = null;
    this.changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** The next speed. */
  faster() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    if (this.playing) {
      this.pause();
      this.play();
    }
    this.changed();
  }
}

/** The play button says what a press does. @param {HTMLElement} button @param {boolean} playing */
export function tellPlaying(button, playing) {
  button.classList.toggle("is-playing", playing);
  button.setAttribute("aria-label", playing ? "Pause" : "Play the steps");
}
