// Decoded patches of tokens as the server sends them: base64 of uint8 [side, side, 3]. Needs unpack() of frames.js.

// A button with one decoded patch, pixel for pixel, and a line under it.
function patchButton(coded, words) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "cz-tile";
  const line = document.createElement("span");
  line.textContent = words;
  button.append(patchCanvas(coded), line);
  return button;
}

function patchCanvas(coded) {
  const bytes = unpack(coded, Uint8Array);
  const side = Math.round(Math.sqrt(bytes.length / 3));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.setAttribute("aria-hidden", "true");
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    for (let c = 0; c < 3; c++) image.data[i * 4 + c] = bytes[i * 3 + c];
    image.data[i * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
