// @ts-check
// What buttons and keys do, each with the moment when it can be done.

import { find } from "../layout/dom.js";

/**
 * @typedef {{can: () => boolean, act: () => void}} Action
 * @param {import("../stage/stage.js").Stage} stage
 * @param {import("./hands.js").Hands} hands
 * @param {import("./mover.js").Mover} mover
 * @returns {Record<string, Action>} by the name that a button bears as data-press
 */
export function actions(stage, hands, mover) {
  const { sheet, asks } = stage;
  const settled = () => !stage.busy && !stage.variations.open;
  const hasMasks = () => stage.free && stage.countMasked() > 0;
  const isWhole = () => stage.free && stage.countMasked() === 0;
  const hasLocks = () => stage.free && sheet.countLocked() > 0;
  const hasTraces = () => stage.free && (sheet.countLocked() > 0 || Boolean(stage.draft));
  const holdsToken = () => stage.free && hands.holdsToken;
  return {
    repaint: { can: hasMasks, act: () => asks.act("repaint") },
    heal: { can: () => stage.revises && isWhole(), act: () => asks.act("heal") },
    "remask-unsure": { can: () => !stage.revises && isWhole(), act: () => asks.act("remask") },
    vary: { can: hasMasks, act: () => asks.act("repaint", { role: "variation", count: 3 }) },
    around: { can: hasLocks, act: () => asks.act("generate") },
    branch: { can: () => stage.free && stage.shown < stage.run.last, act: () => asks.act("branch") },
    "break-some": { can: () => stage.free, act: () => stage.change(() => hands.breakSome()) },
    clear: { can: hasTraces, act: () => stage.change(() => hands.clear()) },
    unlock: { can: hasLocks, act: () => stage.change(() => hands.unlock()) },
    invert: { can: () => stage.free && stage.task === "edit", act: () => stage.change(() => hands.invert()) },
    "copy-cells": { can: () => stage.free && mover.chosen.size > 0, act: () => mover.copy() },
    "paste-cells": { can: () => stage.free && mover.clip !== null, act: () => mover.paste() },
    "mask-cells": { can: () => stage.free && mover.chosen.size > 0, act: () => mover.mask() },
    "choose-all": { can: () => stage.free, act: () => mover.all() },
    "choose-others": { can: () => stage.free && mover.chosen.size > 0, act: () => mover.invert() },
    "choose-none": { can: () => stage.free && mover.chosen.size > 0, act: () => mover.none() },
    undo: { can: () => settled() && sheet.past.length > 0, act: () => stage.travel(true) },
    redo: { can: () => settled() && sheet.future.length > 0, act: () => stage.travel(false) },
    stop: { can: () => stage.busy, act: () => find("#stop").click() },
    "lock-cell": { can: holdsToken, act: () => stage.change(() => hands.lockCell()) },
    "mask-cell": { can: () => stage.free && hands.canMask && !sheet.isLocked(stage.selected), act: () => hands.maskCell() },
    stamp: { can: holdsToken, act: () => hands.setStamp(hands.stamp >= 0 ? -1 : hands.held) },
  };
}
