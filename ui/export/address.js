// @ts-check
// The address and what it stands for: a run, two runs side by side, or a game. What does not stand there any more is taken
// off again, so that a reload or a copied address never brings back something else than what is on screen.

const LINK = /^#c\d+(=|%3D)/i;
const PAIR = /^#c3(=|%3D)/i;
const GAME = /^#c4(=|%3D)/i;

/** A link stands in the address. */
export const linked = () => LINK.test(location.hash);

/** It holds a game, and nothing for the stage. */
export const gameLinked = () => GAME.test(location.hash);

let last = ""; // the hash that stood there when it was last looked at or written

/** Looks at the hash, to know it when the browser has gone to another entry of its history. */
export function look() {
  last = location.hash;
}

/** Puts back the hash that stood there before the browser went to another entry. */
export function carried() {
  if (location.hash !== last) write(last.slice(1));
}

/** Writes a link into the address, "" for none, without a new entry of the history. @param {string} hash */
function write(hash) {
  // written out: a bare #... is taken from the page's base, which knows no ?class=1 and no signature
  history.replaceState(history.state, "", `${location.href.split("#")[0]}${hash && "#"}${hash}`);
  look();
}

export class Address {
  /** @param {import("../stage/stage.js").Stage} stage */
  constructor(stage) {
    this.run = ""; // the run that the address stands for
    this.beside = ""; // and the one beside it
    this.asked = false; // what comes onto the canvas now was made by a press, not by the address
    stage.on("ask", () => { this.asked = true; });
    stage.on("run", (id) => this.shown(id));
    stage.on("compare", (id) => this.compared(id));
    // a game's own link: "" when the game has gone on
    stage.on("linked", ({ run, hash }) => { if (hash || gameLinked()) this.put(run, hash); });
    window.addEventListener("hashchange", () => Object.assign(this, { run: "", beside: "", asked: false }));
  }

  /** @param {string} run @param {string} hash @param {string} beside */
  put(run, hash, beside = "") {
    Object.assign(this, { run, beside });
    write(hash);
    return linkTo(location, hash);
  }

  /** @param {string} run */
  shown(run) {
    if (!linked()) return;
    if (!this.run && !this.asked) {
      if (gameLinked()) return; // it waits for its chapter
      this.run = run;
    }
    if (this.run === run) return;
    this.put("", "");
  }

  /** @param {string} beside */
  compared(beside) {
    if (!PAIR.test(location.hash)) return;
    if (!this.beside) this.beside = beside;
    else if (this.beside !== beside) this.put("", "");
  }
}

/**
 * A link as it is given away: the page with its prefix, class mode where it is on, the run; nothing that others hung onto
 * the address. There it stays, for Gradio reads a signature from it that a Space gives to its one visitor.
 * @param {{origin: string, pathname: string, search: string}} page @param {string} hash
 */
export function linkTo({ origin, pathname, search }, hash) {
  const lesson = new URLSearchParams(search).get("class") === "1" ? "?class=1" : "";
  return `${origin}${pathname}${lesson}#${hash}`;
}

/**
 * Copies a link, or shows it in a field where the browser forbids that (a frame, a plain http address).
 * @param {string} url @param {HTMLInputElement} field @param {string} ending @returns {Promise<string>} what to say
 */
export async function copied(url, field, ending = ".") {
  try {
    await navigator.clipboard.writeText(url);
  } catch {
    field.value = url;
    field.hidden = false;
    field.select();
    return `Copy the link from the field${ending}`;
  }
  return `Link copied${ending}`;
}
