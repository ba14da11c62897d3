// @ts-check
// The scripts of the chapters, by the names that their pieces call (see ui/learn/chapters.py): one entry for each.
// A chapter hears `stage.on("chapter", (name) => ...)` when one is opened, "" when Learn is left.

import { Attention } from "./attention/attention.js";
import { Explorer } from "./explorer.js";
import { Forward } from "./forward/forward.js";
import { Lab } from "./lab.js";
import { ByHand } from "./sampler/by_hand.js";
import { OneStep } from "./onestep/onestep.js";
import { Token } from "./one_token/token.js";

/**
 * @typedef {import("./lesson/recorder.js").Piece} Piece
 * @typedef {{stage: import("../stage/stage.js").Stage, hands: import("../hands/hands.js").Hands,
 *   model: import("../layout/facts.js").Facts}} With what a chapter may work with
 */

/**
 * What comes back may have `gather()`: it asks the server for what a saved lesson should be able to show.
 * @type {Record<string, (given: With, piece: Piece) => object>}
 */
export const CHAPTERS = {
  token: ({ stage, hands, model }, piece) => new Token(stage, hands, model, piece),
  forward: ({ stage, hands }, piece) => new Forward(stage, hands, piece),
  onestep: ({ stage }, piece) => new OneStep(stage, piece),
  by_hand: ({ stage, model }, piece) => new ByHand(stage, piece, model),
  attention: ({ stage, model }, piece) => new Attention(stage, piece, model.looks),
  lab: ({ stage }, piece) => new Lab(stage, piece),
  explorer: ({ stage }, piece) => new Explorer(stage, piece),
};

/** The chapters that mean nothing for the opened model. @param {import("../layout/facts.js").Facts} model */
export function pointless(model) {
  return model.groups?.length === 0 ? ["neighbours"] : [];
}
