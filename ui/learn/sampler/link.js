// @ts-check
// The link of a game: copied as far as it is decided, and played again, choice by choice, by whoever opens it.

import { find } from "../../layout/dom.js";
import { copied, gameLinked, linkTo } from "../../export/address.js";

export class GameLink {
  /** @param {import("./by_hand.js").ByHand} hand */
  constructor(hand) {
    this.hand = hand;
    this.opening = ""; // the link whose choices are being played
    /** @type {Record<string, any> | null} the form that a link brought, until something else is made */
    this.form = null;
    hand.stage.on("ask", () => { this.form = null; });
    window.addEventListener("hashchange", () => this.look());
    this.look();
  }

  /** Opens the game that is in the address, once the page is there. @returns {void} */
  look() {
    if (!gameLinked()) return;
    const { hand } = this;
    const { stage } = hand;
    // the place of the chapters may come up later than this one, and the form later still
    if (stage.chapter !== "sampler") stage.emit("show-chapter", "sampler");
    const ready = stage.chapter === "sampler" && find("#open-link") && !hand.busy && !stage.busy;
    if (!ready) return void requestAnimationFrame(() => this.look());
    this.opening = location.hash;
    hand.auto = false;
    hand.say("Playing the choices of the link …");
    hand.ask({ link: this.opening });
  }

  /** An answer to the link. @param {import("./choice.js").Told} told */
  heard(told) {
    if (!this.opening || told.state === "waiting") return;
    if (!this.form && told.form) {
      this.form = told.form;
      this.hand.stage.emit("fill", { run: { ...told.form, kind: "generate", form: told.form } });
      this.hand.stage.emit("linked", { run: told.run, hash: this.opening.slice(1) });
    }
    if (!told.more) this.opening = "";
  }

  /** The game has gone on, or another one has begun: the address does not tell of it. @param {any} asked */
  left(asked) {
    if (!asked.link) this.hand.stage.emit("linked", { run: "", hash: "" });
  }

  async share() {
    const { hand } = this;
    const { run, made, k } = hand;
    const over = !hand.find(".cz-by-hand-end").hidden;
    const say = (/** @type {string} */ words) => { for (const line of hand.lines) line.textContent = words; };
    const field = /** @type {any} */ (hand.find(".cz-by-hand-address"));
    field.hidden = true;
    const answer = await hand.server.share_game({ run, step: over ? made.last : k - 1 })
      .catch(() => ({ error: "That did not arrive: try again." }));
    if (answer.error) return say(answer.error);
    hand.stage.emit("linked", { run, hash: answer.hash });
    say(await copied(linkTo(location, answer.hash), field, over ? ", with every choice." : ", with the choices so far."));
  }
}
