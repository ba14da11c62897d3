// @ts-check
// What Python says of the opened model and of its own limits, in the page's head; see ui/page.py.

import { find } from "./dom.js";

/**
 * @typedef {{grid: [rows: number, columns: number] | null, pictureBytes: number, runBytes: number,
 *   promptCharacters: number, form: Record<string, any>}} Facts form: its fields in their order, with what each starts at
 * @returns {Facts}
 */
export function facts() {
  return JSON.parse(find("meta[name=chisel]").content);
}
