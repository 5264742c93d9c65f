// The input of the network for raw RGBA pixels: prints the size as JSON, and writes the input to a file.
// node input.mjs INPUT.js '{"height": ..., "width": ..., "about": ...}' PIXELS TARGET
import { readFileSync, writeFileSync } from "node:fs";

const { fit, letterbox } = await import(`data:text/javascript;base64,${readFileSync(process.argv[2]).toString("base64")}`);
const { height, width, about } = JSON.parse(process.argv[3]);
const size = fit(height, width, about);
writeFileSync(process.argv[5], letterbox({ data: readFileSync(process.argv[4]), height, width }, size));
console.log(JSON.stringify(size));
