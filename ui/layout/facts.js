// @ts-check
// What Python says of the opened model and of its own limits, in the page's head; see ui/page.py.

import { find } from "./dom.js";

/**
 * `patch` is a cell's side in pixels, `vocab` how many tokens there are, `revises` whether the model was trained to doubt
 * tokens that are set, `looks` whether it tells where a cell looks, `exact` whether a token stands for its own patch alone,
 * wherever it stands; `things` is how many it names, `groups` are the sizes that groups of its codes can have, null where
 * nobody said; `form` holds the form's fields in their order, with what each starts at.
 * @typedef {{name: string, licence: string, grid: [rows: number, columns: number], patch: number, vocab: number,
 *   revises: boolean, looks: boolean, exact: boolean, things: number, groups: number[] | null, form: Record<string, any>,
 *   pictureBytes: number, runBytes: number,
 *   promptCharacters: number}} Facts
 * @returns {Facts}
 */
export function facts() {
  return JSON.parse(find("meta[name=chisel]").content);
}

/** The opened model in one line each: whose weights, and how large its pictures are. @param {Facts} model */
export function described({ name, licence, grid: [rows, columns], patch, vocab }) {
  const size = `${columns * patch} × ${rows * patch} pixels, ${columns} × ${rows} cells of ${vocab.toLocaleString("en")} tokens`;
  return [licence ? `${name} · ${licence}` : name, size];
}
