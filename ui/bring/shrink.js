// @ts-check
// A picture larger than may be sent is scaled down here: the model looks at a small square of it anyway.

const SIDE = 2048; // px of the longer side, to begin with
const SMALLEST = 256;
const QUALITY = 0.92;

/**
 * Width and height with the longer side at `side`; nothing is enlarged.
 * @param {number} width @param {number} height @param {number} side
 */
export function within(width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/**
 * The file itself where it fits into `most` bytes, otherwise the picture in it made smaller, as JPEG on white; null when
 * this browser cannot read it.
 * @param {Blob} file @param {number} most @returns {Promise<Blob | null>}
 */
export async function fitting(file, most) {
  if (file.size <= most) return file;
  try {
    const picture = await createImageBitmap(file); // upright, as the file's own note on its orientation says
    for (let side = SIDE; side >= SMALLEST; side /= 2) {
      const small = await drawn(picture, ...within(picture.width, picture.height, side));
      if (small && small.size <= most) return small;
    }
  } catch {
    // no picture, or more pixels than this browser holds
  }
  return null;
}

/** @param {ImageBitmap} picture @param {number[]} size @returns {Promise<Blob | null>} */
function drawn(picture, ...[width, height]) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.fillStyle = "#fff"; // as the server lays transparency on white
  ctx.fillRect(0, 0, width, height);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(picture, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
}
