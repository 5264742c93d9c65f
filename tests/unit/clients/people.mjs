// Reads the cases of test_clients.py from stdin; for each, prints the people of `decodePeaks`, a line each.
// node people.mjs POSE.js < CASES
import { readFileSync } from "node:fs";

const { decodePeaks } = await import(`data:text/javascript;base64,${readFileSync(process.argv[2]).toString("base64")}`);
const bytes = readFileSync(0);
let place = 0;

function read(Kind, count) {
  const values = new Kind(bytes.buffer.slice(bytes.byteOffset + place, bytes.byteOffset + place + 4 * count));
  place += 4 * count;
  return values;
}

while (place < bytes.length) {
  const [keypoints, limbs, stride, rows, height, width, max_peaks, limb_samples, min_keypoints] = read(Int32Array, 9);
  const ends = Array.from({ length: limbs }, () => Array.from(read(Int32Array, 2), String));
  const skeleton = { name: "test", keypoints: Array.from({ length: keypoints }, (_, i) => String(i)), limbs: ends };
  const [peak_threshold, limb_threshold, merge_distance, person_threshold] = read(Float32Array, 4);
  const peaks = { data: read(Float32Array, keypoints * rows * 3), dims: [1, keypoints, rows, 3] };
  const pafs = { data: read(Float32Array, height * width * 2 * limbs), dims: [1, height, width, 2 * limbs] };
  read(Float32Array, height * width * (keypoints + 1));
  const options = { max_peaks, limb_samples, min_keypoints, peak_threshold, limb_threshold, merge_distance, person_threshold };
  const people = decodePeaks(peaks, pafs, skeleton, stride, options);
  const rowOf = (point) => (point ? [point.x, point.y, point.score] : [null, null, null]);
  console.log(JSON.stringify(people.map((person) => [person.score, ...person.keypoints.map(rowOf)])));
}
