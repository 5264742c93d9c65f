/**
 * From a photo to the network's input and back, as `bpnet infer` does it: docs/deploy/photo_to_input.md.
 *
 * @typedef {{height: number, width: number, rows: number, columns: number, toPhoto: [number, number]}} Fit
 *   height, width: the input. rows, columns: the part of it that the photo fills, above and on the left of the padding.
 *   toPhoto: pixels of the photo for each pixel of the input, along x and y
 */

const GREY = 127;
// OpenCV enlarges in whole numbers, with weights that are multiples of 1 / 2048.
const UNIT = 2048;

/** Round to the nearest integer, halves to the even one, as Python does. */
function round(value) {
  const whole = Math.round(value);
  return Math.abs(value % 1) === 0.5 && whole % 2 ? whole - 1 : whole;
}

/**
 * The size of the input for a photo.
 * @param {number} height of the photo
 * @param {number} width of the photo
 * @param {object} about the metadata (model.json)
 * @returns {Fit}
 */
export function fit(height, width, about) {
  const size = about.spec.inference, up = (side) => Math.ceil(side / about.input_multiple) * about.input_multiple;
  const wanted = size.input_width ?? Math.ceil(size.input_height * Math.min(width / height, size.max_aspect_ratio));
  const input = { height: up(size.input_height), width: up(wanted) };
  const scale = Math.min(size.input_height / height, (size.input_width ?? input.width) / width);
  const rows = Math.min(Math.max(1, round(height * scale)), input.height);
  const columns = Math.min(Math.max(1, round(width * scale)), input.width);
  return { ...input, rows, columns, toPhoto: [width / columns, height / rows] };
}

/**
 * For each of `count` pixels, which of `size` pixels it is made of: [index, weight] pairs. Smaller images get the mean
 * of the area (OpenCV's INTER_AREA), larger ones are interpolated between two pixels (INTER_LINEAR, in `UNIT`s).
 */
function taps(size, count, shrinks) {
  const scale = size / count;
  return Array.from({ length: count }, (_, place) => {
    if (!shrinks) {
      const at = Math.min(Math.max((place + 0.5) * scale - 0.5, 0), size - 1), first = Math.floor(at);
      return [[first, round((1 - at + first) * UNIT)], [Math.min(first + 1, size - 1), round((at - first) * UNIT)]];
    }
    const start = place * scale, end = Math.min(start + scale, size), parts = [];
    for (let i = Math.floor(start + 1e-3); i < end - 1e-3; i++) {
      parts.push([i, (Math.min(i + 1, end) - Math.max(i, start)) / (end - start)]);
    }
    return parts;
  });
}

/**
 * The network's input: the photo resized, with grey on the right and below.
 * @param {{data: Uint8ClampedArray, height: number, width: number}} photo RGBA, as a canvas gives it
 * @param {Fit} size of `fit`
 * @returns {Uint8Array} RGB, height x width x 3
 */
export function letterbox(photo, { height, width, rows, columns }) {
  const shrinks = rows < photo.height || columns < photo.width, across = taps(photo.width, columns, shrinks);
  const result = new Uint8ClampedArray(height * width * 3).fill(GREY);
  const narrow = new Float32Array(photo.height * columns * 3);
  for (let row = 0, to = 0; row < photo.height; row++) {
    for (let column = 0; column < columns; column++, to += 3) {
      for (const [i, weight] of across[column]) {
        const from = 4 * (row * photo.width + i);
        for (let c = 0; c < 3; c++) narrow[to + c] += weight * photo.data[from + c];
      }
    }
  }
  const line = new Float32Array(columns * 3);
  const part = shrinks ? (weight, value) => weight * value : (weight, value) => (weight * (value >> 4)) >> 16;
  for (const [row, parts] of taps(photo.height, rows, shrinks).entries()) {
    line.fill(0);
    for (const [i, weight] of parts) {
      for (let x = 0, from = i * line.length; x < line.length; x++) line[x] += part(weight, narrow[from + x]);
    }
    result.set(shrinks ? line : line.map((value) => (value + 2) >> 2), row * width * 3);
  }
  return new Uint8Array(result.buffer);
}

/**
 * People in pixels of the photo, without those below `inference.min_person_score`.
 * @param {import("./pose.js").Person[]} people of `decodePeaks`
 * @param {{height: number, width: number}} photo
 * @param {Fit} size of `fit`
 * @param {object} about the metadata (model.json)
 * @returns {import("./pose.js").Person[]}
 */
export function inPhoto(people, photo, { toPhoto: [right, down] }, about) {
  const moved = (at, scale, side) => Math.min(Math.max((at + 0.5) * scale - 0.5, 0), side - 1);
  return people.filter(({ score }) => score >= about.spec.inference.min_person_score).map((person) => ({
    score: person.score,
    keypoints: person.keypoints.map((point) =>
      point && { x: moved(point.x, right, photo.width), y: moved(point.y, down, photo.height), score: point.score }),
  }));
}
