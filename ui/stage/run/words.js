// @ts-check
// Numbers and places as people read them.

/** "1 step", "12 steps" @param {number} n @param {string} noun */
export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** "12 + 2 polish": the steps in which tokens are set, and the passes after them. @param {number} steps @param {number} polish */
export function planned(steps, polish) {
  return polish ? `${steps} + ${polish} polish` : String(steps);
}

/** "12 steps + 2 polish" @param {number} steps @param {number} polish */
export function course(steps, polish) {
  return polish ? `${count(steps, "step")} + ${polish} polish` : count(steps, "step");
}

/**
 * Small probabilities matter here (a vocabulary has thousands of entries), so they keep two digits that mean something.
 * @param {number} p
 */
export function percent(p) {
  if (p >= 0.995) return p === 1 ? "100 %" : "> 99 %";
  if (p >= 0.1) return `${Math.round(p * 100)} %`;
  if (p >= 0.0001) return `${(p * 100).toPrecision(2)} %`;
  return "< 0.01 %";
}

/** "1.50 nats, as among 4.5 equal choices" @param {number} nats */
export function entropy(nats) {
  const choices = Math.exp(nats);
  return `${nats.toFixed(2)} nats, as among ${choices < 10 ? choices.toFixed(1) : Math.round(choices).toLocaleString("en")} equal choices`;
}

/** "row 3, column 5" @param {number} cell @param {number} columns */
export function place(cell, columns) {
  return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
}

/** @param {string} words */
export function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
