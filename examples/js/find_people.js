// Finds people in a photo and prints them as JSON, with Node.
//
//   bpnet export -m box --web page        writes the model, and the modules that are imported here
//   cd examples/js && npm install
//   node find_people.js ../../page photo.jpg
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as ort from "onnxruntime-web";
import sharp from "sharp";

const [folder, photo] = process.argv.slice(2);
if (!photo) {
  console.error("usage: node find_people.js FOLDER PHOTO; FOLDER is written by bpnet export --web FOLDER");
  process.exit(1);
}
const inFolder = (name) => resolve(folder, name);
const { decodePeaks } = await import(pathToFileURL(inFolder("pose.js")));
const { fit, inPhoto, letterbox } = await import(pathToFileURL(inFolder("input.js")));
const about = JSON.parse(await readFile(inFolder("model.json"), "utf8"));
const session = await ort.InferenceSession.create(await readFile(inFolder("model.onnx")));

const raw = await sharp(photo).rotate().toColourspace("srgb").ensureAlpha().raw().toBuffer({ resolveWithObject: true });
const picture = { data: raw.data, height: raw.info.height, width: raw.info.width };
const size = fit(picture.height, picture.width, about);
const image = new ort.Tensor("uint8", letterbox(picture, size), [1, size.height, size.width, 3]);
const { peaks, pafs } = await session.run({ image }, ["peaks", "pafs"]);
const people = decodePeaks(peaks, pafs, about.skeleton, about.stride, about.spec.inference.decode);
console.log(JSON.stringify(inPhoto(people, picture, size, about), null, 1));
