/**
 * Groups the peaks and PAFs of a bpnet model into people: the same people as `bpnet_cli.decode_peaks`.
 * An ES module without dependencies, for browsers and Node. The reasons for the rules and their numbers are in
 * bpnet_cli/pose/: pairs.py, limbs.py, assemble.py, decode.py. x is to the right, y down; maps consist of cells.
 *
 * @typedef {{data: ArrayLike<number>, dims: readonly number[]}} Tensor an output of ONNX Runtime
 * @typedef {{name: string, keypoints: string[], limbs: [string, string][]}} Skeleton `skeleton` in the metadata
 * @typedef {{peak_threshold: number, max_peaks: number, limb_samples: number, limb_threshold: number,
 *   merge_distance: number, person_threshold: number, min_keypoints: number}} Options `spec.inference.decode`
 * @typedef {{x: number, y: number, score: number}} Keypoint pixels of the network's input, pixel centres at integers
 * @typedef {{score: number, keypoints: (Keypoint | null)[]}} Person null: not found; in the skeleton's order
 * @typedef {{keypoint: number, x: number, y: number, score: number}} Peak in cells
 */

const SHORTEST = 0.125, UNMARKED = 1, MARK = 0.03, SHORTFALL = 5, EASY_LENGTH = 0.5, UNSEEN = 0.05;
const MANY_PAIRS = 2048, MOST_PAIRS = 16384, MOST_FRAGMENTS = 256;
const SURE = Math.fround(0.3), SIZE_PRIOR = 1 / 16, SCORE_HEIGHT = 368, POINT_SIZE = 100, SLACK = 0.05;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * The people in one photo, the highest score first.
 * @param {Tensor} peaks the output `peaks`, [1, keypoints, rows, 3]
 * @param {Tensor} pafs the output `pafs`, [1, height, width, 2 x limbs]
 * @param {Skeleton} skeleton
 * @param {number} stride pixels per cell
 * @param {Options} options
 * @returns {Person[]}
 * @throws {RangeError} where the sizes don't fit each other, or a peak lies outside of the area of the PAFs
 */
export function decodePeaks(peaks, pafs, skeleton, stride, options) {
  const [, keypoints] = peaks.dims, [, height, width, channels] = pafs.dims;
  if (keypoints !== skeleton.keypoints.length || channels !== 2 * skeleton.limbs.length || !height || !width) {
    throw new RangeError(`decodePeaks: peaks [${peaks.dims}] and pafs [${pafs.dims}] don't fit ${skeleton.name}`);
  }
  const found = readPeaks(peaks, [height, width], stride, options);
  const limbs = skeleton.limbs.map((limb) => limb.map((name) => skeleton.keypoints.indexOf(name)));
  const fragments = found.map((peak, i) => ({ parent: i, held: new Map([[peak.keypoint, i]]), barred: new Set() }));
  for (const { start, end } of findLimbs(new Field(pafs), found, limbs, options)) join(fragments, start, end);
  const prior = SIZE_PRIOR * Math.min(Math.hypot(height, width), 2 * Math.min(height, width));
  if (options.merge_distance > 0) merge(fragments, found, limbs, keypoints, prior, options.merge_distance);
  const people = [], pixel = (cell) => stride * cell + (stride - 1) / 2;
  for (const [i, { parent, held }] of fragments.entries()) {
    const members = [...held.values()].map((peak) => found[peak]);
    const total = members.reduce((sum, peak) => sum + peak.score, 0);
    if (parent !== i || total < options.person_threshold || members.length < options.min_keypoints) continue;
    const size = keypoints > 1 ? (SCORE_HEIGHT / height) * boxOf(members).size : POINT_SIZE;
    const points = Array(keypoints).fill(null);
    for (const { keypoint: k, x, y, score } of members) points[k] = { x: pixel(x), y: pixel(y), score };
    people.push({ score: total * members.length ** -0.75 * Math.log1p(size), keypoints: points });
  }
  return people.sort((a, b) => b.score - a.score);
}

/** @returns {Peak[]} grouped by keypoint; in each group the highest score comes first */
function readPeaks({ data, dims: [, keypoints, rows] }, [height, width], stride, options) {
  const found = [], threshold = Math.fround(options.peak_threshold), half = (stride - 1) / 2, edge = 0.5 + SLACK;
  for (let k = 0; k < keypoints; k++) {
    for (let i = 3 * k * rows; i < 3 * (k * rows + Math.min(rows, options.max_peaks)); i += 3) {
      const x = data[i], y = data[i + 1], score = data[i + 2];
      if (!Number.isFinite(x + y + score) || score <= threshold) continue;
      if (Math.min(x, y) < -edge || x > stride * width - 1 + edge || y > stride * height - 1 + edge) {
        throw new RangeError("decodePeaks: a peak lies outside of the pafs; give x, y in pixels of the input");
      }
      found.push({ keypoint: k, x: (x - half) / stride, y: (y - half) / stride, score: Math.min(score, 1000) });
    }
  }
  return found;
}

/** The PAFs, at least 2 x 2 cells large. Values that are not finite count as 0. Vectors are [x, y]. */
class Field {
  constructor({ data, dims: [, rows, columns, channels] }) {
    const more = Math.min(rows, columns) < 2 ? 1 : 0;
    Object.assign(this, { data, rows, columns, channels, height: rows + more, width: columns + more });
  }
  value(row, column, channel) {
    const cell = Math.min(row, this.rows - 1) * this.columns + Math.min(column, this.columns - 1);
    const value = this.data[cell * this.channels + channel];
    return Number.isFinite(value) ? clamp(value, -1000, 1000) : 0;
  }
  inside = ({ x, y }) => ({ x: clamp(x, 0, this.width - 1.001), y: clamp(y, 0, this.height - 1.001) });
  cell = (limb, row, column) => [this.value(row, column, 2 * limb), this.value(row, column, 2 * limb + 1)];
  nearest = (limb, { x, y }) => this.cell(limb, Math.floor(y + 0.5), Math.floor(x + 0.5));
  bilinear(limb, { x, y }) {
    const row = Math.floor(y), column = Math.floor(x), right = x - column, down = y - row;
    return [2 * limb, 2 * limb + 1].map((channel) => {
      const along = (r) => this.value(r, column, channel) * (1 - right) + this.value(r, column + 1, channel) * right;
      return along(row) * (1 - down) + along(row + 1) * down;
    });
  }
  /** At a peak: unit vector and length in the nearest cell; if that has no mark, the mean of the four cells around. */
  atPeak(limb, point) {
    const middle = { x: Math.floor(point.x) + 0.5, y: Math.floor(point.y) + 0.5 }, near = this.nearest(limb, point);
    const [x, y] = Math.hypot(...near) < MARK ? this.bilinear(limb, middle) : near, length = Math.hypot(x, y);
    return { x: x / Math.max(length, SHORTEST), y: y / Math.max(length, SHORTEST), length };
  }
}

/** How far sample i of n is on the way from a limb's start (0) to its end (1). */
function share(i, n) {
  const even = i / Math.max(n - 1, 1);
  return even / 2 + (1 - Math.cos(Math.PI * even)) / 4;
}

/** Pairs { start, end } of peaks, by their indices, the best first. */
function findLimbs(field, peaks, limbs, options) {
  const inside = peaks.map(field.inside), samples = options.limb_samples, near = Math.floor(samples / 4);
  let pairs = limbs.flatMap((ends, limb) => alignedPairs(field, peaks, inside, ends, limb));
  const checked = pairs.length > MANY_PAIRS ? [near, samples - 1 - near] : [];
  for (const i of checked) pairs = agreeing(field, inside, share(i, samples), pairs);
  for (const pair of pairs) {
    const start = peaks[pair.start], end = peaks[pair.end];
    pair.weight = limbScore(field, pair.limb, start, end, samples) * Math.sqrt(start.score * end.score);
  }
  return pairs.filter(({ weight }) => weight > options.limb_threshold).sort((a, b) => b.weight - a.weight);
}

/** Pairs of peaks that may be the ends of a limb, judged by the PAFs at both peaks. */
function alignedPairs(field, peaks, inside, ends, limb) {
  const described = (i) => ({ i, at: inside[i], unit: field.atPeak(limb, inside[i]) });
  const [starts, stops] = ends.map((k) => [...peaks.keys()].filter((i) => peaks[i].keypoint === k).map(described));
  const pairs = [];
  for (const a of starts) {
    for (const b of stops) {
      const x = b.at.x - a.at.x, y = b.at.y - a.at.y;
      const foreseen = ((a.unit.x + b.unit.x) * x + (a.unit.y + b.unit.y) * y) / 2;
      const longest = Math.min(foreseen, SHORTFALL) + foreseen;
      const spared = Math.max(a.unit.length, b.unit.length) < MARK ? UNMARKED : SHORTEST;
      if (longest * Math.abs(longest) > x * x + y * y - spared * spared) pairs.push({ limb, start: a.i, end: b.i });
    }
  }
  return pairs;
}

/** A cheap test for noisy maps: the pairs that agree with the PAF in one cell; of more than MOST_PAIRS the best. */
function agreeing(field, inside, part, pairs) {
  const kept = [];
  for (const pair of pairs) {
    const start = inside[pair.start], x = inside[pair.end].x - start.x, y = inside[pair.end].y - start.y;
    const vector = field.nearest(pair.limb, { x: start.x + part * x, y: start.y + part * y });
    const along = vector[0] * x + vector[1] * y, length = Math.hypot(x, y);
    if (along > 0 || length < UNMARKED) kept.push({ ...pair, weight: along / Math.max(length, SHORTEST) });
  }
  return kept.length > MOST_PAIRS ? kept.sort((a, b) => b.weight - a.weight).slice(0, MOST_PAIRS) : kept;
}

/** The mean of PAF . direction along a pair, less for long limbs; 0 where a point between the ends disagrees. */
function limbScore(field, limb, start, end, samples) {
  const x = end.x - start.x, y = end.y - start.y, length = Math.hypot(x, y);
  if (length < SHORTEST) return 1;
  const a = field.inside(start), b = field.inside(end);
  const along = Array.from({ length: samples }, (_, i) => {
    const part = share(i, samples);
    const vector = field.bilinear(limb, { x: a.x + part * (b.x - a.x), y: a.y + part * (b.y - a.y) });
    return (vector[0] * x + vector[1] * y) / length;
  });
  const mean = along.reduce((sum, value) => sum + value, 0) / samples;
  if (length < UNMARKED && Math.abs(mean) < MARK) return UNSEEN;
  if (Math.min(1, ...along.slice(1, -1)) <= 0) return 0;
  return mean + Math.min((EASY_LENGTH * Math.min(field.height, field.width)) / length - 1, 0);
}

/** Join two fragments, unless one holds a keypoint of the other, or is barred from one. The first peak is the root. */
function join(fragments, one, other) {
  const root = (i) => (fragments[i].parent === i ? i : root(fragments[i].parent));
  const [first, second] = [root(one), root(other)].sort((a, b) => a - b);
  const a = fragments[first], b = fragments[second];
  const clash = (held, against) => [...held.keys()].some((k) => against.held.has(k) || against.barred.has(k));
  if (clash(a.held, b) || clash(b.held, a)) return;
  b.parent = first;
  b.held.forEach((peak, keypoint) => a.held.set(keypoint, peak));
  b.barred.forEach((keypoint) => a.barred.add(keypoint));
}

/** Join fragments that lie close, the closest first; not where the PAFs could have shown a limb and did not. */
function merge(fragments, peaks, limbs, keypoints, prior, most) {
  const isLacking = (i) => fragments[i].parent === i && fragments[i].held.size < keypoints;
  const box = (i) => ({ i, ...boxOf([...fragments[i].held.values()].map((peak) => peaks[peak])) });
  let boxes = [...fragments.keys()].filter(isLacking).map(box);
  if (boxes.length > MOST_FRAGMENTS) boxes = boxes.sort((a, b) => b.highest - a.highest).slice(0, MOST_FRAGMENTS);
  for (const { held, barred } of fragments) {
    const sure = [...held.keys()].filter((keypoint) => peaks[held.get(keypoint)].score > SURE);
    for (const [a, b] of limbs) for (const k of sure) if (a === k || b === k) barred.add(a === k ? b : a);
  }
  const near = boxes.flatMap((a, place) => boxes.slice(place + 1).map((b) => {
    const x = Math.max(a.left - b.right, b.left - a.right, 0), y = Math.max(a.top - b.bottom, b.top - a.bottom, 0);
    return { i: a.i, j: b.i, distance: Math.hypot(x, y) / (Math.max(a.size, b.size) + prior) };
  }));
  const close = near.filter(({ distance }) => distance < most).sort((a, b) => a.distance - b.distance);
  for (const { i, j } of close) join(fragments, i, j);
}

/** The box around peaks, in cells: its sides, its diagonal, and the highest score in it. */
function boxOf(peaks) {
  const [x, y, score] = ["x", "y", "score"].map((key) => peaks.map((peak) => peak[key]));
  const [left, top, right, bottom] = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
  return { left, top, right, bottom, size: Math.hypot(right - left, bottom - top), highest: Math.max(...score) };
}
