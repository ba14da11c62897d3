// @ts-check
// The steps of a game with their pictures decoded, and how they go into a saved lesson and come out of it.

import { findAll } from "../../layout/dom.js";

/** @typedef {import("./choice.js").Told} Told */
/** @typedef {{told: Told, image: HTMLImageElement | null, guess: HTMLImageElement | null}} Turn a step, its pictures decoded */
/** @typedef {{find: (id: string) => import("../../stage/run/run.js").Run | undefined}} Shelf */

const HOT = 1.5; // a temperature that a saved lesson has along

/** @param {string | undefined} uri @returns {Promise<HTMLImageElement | null>} */
export async function decoded(uri) {
  if (!uri?.startsWith("data:image/jpeg;base64,")) return null;
  const image = new Image();
  image.src = uri;
  await image.decode().catch(() => {});
  return image.naturalWidth ? image : null;
}

/**
 * Every step is looked at once more, as it was decided and as it would be when hotter: a saved lesson keeps the answers.
 * @param {Record<string, (data: any) => Promise<any>>} server @param {string} run @param {Turn[]} turns
 */
export async function gather(server, run, turns) {
  for (const { told } of turns.filter(Boolean)) {
    for (const temperature of new Set([told.temperature, told.form.temperature, HOT])) {
      await server.again({ run, step: told.k - 1, temperature }).catch(() => {});
    }
  }
}

/**
 * The steps that a lesson was saved with, by their numbers; the pictures are those of the run, where it came along.
 * @param {import("../lesson/recorder.js").Kept} kept @param {Shelf} shelf @returns {Promise<Turn[]>}
 */
async function turnsOf(kept, shelf) {
  /** @type {Turn[]} */
  const turns = [];
  for (const [name, , told] of kept.calls) {
    if (name !== "again" || (turns[told.k] && told.temperature !== told.form.temperature)) continue;
    const frame = shelf.find(told.run)?.frames[told.k - 1];
    await frame?.ready;
    turns[told.k] = { told, image: frame?.image ?? null, guess: await decoded(told.guess) };
  }
  return turns;
}

/**
 * In a file: the steps as they were, to be looked at and thought over.
 * @param {import("./by_hand.js").ByHand} hand @param {import("../lesson/recorder.js").Kept} kept
 */
export async function reopened(hand, kept) {
  for (const name of ["begin", "take", "rest", "beside", "link"]) {
    for (const button of findAll(`[data-hand=${name}]`, hand.element)) button.hidden = true;
  }
  hand.find(".cz-by-hand-how").textContent = "In this file: go through the steps by their numbers, choose a rule or tap cells, "
    + "and see what would be set. To play on, open the studio.";
  hand.turns = await turnsOf(kept, hand.stage.shelf);
  const first = hand.turns.findIndex(Boolean);
  if (first < 0) {
    hand.find(".cz-by-hand-with").textContent = "No step had been decided when this file was saved.";
    return;
  }
  hand.run = hand.turns[first].told.run;
  hand.open(first);
}
