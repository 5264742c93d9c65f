/**
 * The page: runs the model on a photo, a film or the camera, and draws the people.
 * `?device=wasm` runs without WebGPU, and `?photo=FILE` shows a photo that lies beside the page.
 */
import { fit, inPhoto, letterbox } from "./input.js";
import { decodePeaks } from "./pose.js";

const RUNTIME = "./node_modules/onnxruntime-web/dist/";
const element = (id) => document.getElementById(id);
const canvas = element("picture"), film = element("film"), query = new URLSearchParams(location.search);
const context = canvas.getContext("2d", { willReadFrequently: true });
const model = {};  // ort, session, device, about
let turn = 0;  // of the newest thing that the reader asked for; what belongs to an earlier turn ends
let busy = Promise.resolve();  // the runtime runs one picture at a time

/** An error whose text is for the reader of the page. */
class Problem extends Error {}

function say(text, isBad = false) {
  element("status").textContent = text;
  element("status").classList.toggle("bad", isBad);
}

/** Run `work`; where it fails, say why. */
async function tell(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    say(error instanceof Problem ? error.message : `Something went wrong: ${error.message ?? error}`, true);
  }
}

async function fetched(name, kind) {
  const answer = await fetch(name).catch(() => null);
  if (!answer?.ok) throw new Problem(`${name} is not beside this page. Write the folder by bpnet export --web.`);
  return answer[kind]();
}

/** The runtime on a device: the file for WebGPU also runs without it, but is twice as large. */
async function start(device, data) {
  const name = device === "webgpu" ? "ort.webgpu.bundle.min.mjs" : "ort.wasm.bundle.min.mjs";
  const ort = await import(RUNTIME + name).catch(() => {
    throw new Problem("The runtime is missing. Run “npm install” in this page's folder, then reload the page.");
  });
  const options = { executionProviders: device === "webgpu" ? ["webgpu", "wasm"] : ["wasm"], logSeverityLevel: 3 };
  Object.assign(model, { ort, device, session: await ort.InferenceSession.create(data, options) });
  await run({ data: new Uint8ClampedArray(64 * 64 * 4), height: 64, width: 64 });  // the first run prepares memory
}

async function load() {
  say("Loading the model…");
  model.about = await fetched("model.json", "json");
  const data = new Uint8Array(await fetched("model.onnx", "arrayBuffer"));
  const hasGpu = query.get("device") !== "wasm" && (await navigator.gpu?.requestAdapter().catch(() => null));
  let note = hasGpu || query.get("device") === "wasm" ? "" : " This browser has no WebGPU, so the processor computes.";
  if (hasGpu) {
    await start("webgpu", data).catch((error) => {
      if (error instanceof Problem) throw error;
      console.warn(error);
      note = " WebGPU can't run this model, so the processor computes.";
    });
  }
  if (!hasGpu || note) await start("wasm", data);
  element("device").textContent = model.device === "webgpu" ? "WebGPU" : "WASM";
  for (const id of ["file", "camera"]) element(id).disabled = false;
  element("choose").classList.remove("off");
  say(`Choose a photo or a film, or use the camera.${note}`);
}

/** The people in a picture (RGBA), in its pixels, and how many milliseconds the network took. */
async function run(picture) {
  const size = fit(picture.height, picture.width, model.about), { ort, session, about } = model;
  const image = new ort.Tensor("uint8", letterbox(picture, size), [1, size.height, size.width, 3]);
  const begin = performance.now(), { peaks, pafs } = await session.run({ image }, ["peaks", "pafs"]);
  const network = performance.now() - begin;
  const people = decodePeaks(peaks, pafs, about.skeleton, about.stride, about.spec.inference.decode);
  return { people: inPhoto(people, picture, size, about), network };
}

/** Show one picture with its people. source: a bitmap or the playing film; height, width: its pixels. */
async function show(source, height, width) {
  const begin = performance.now();
  if (canvas.height !== height || canvas.width !== width) Object.assign(canvas, { height, width });
  const buffer = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  buffer.drawImage(source, 0, 0, width, height);
  const { people, network } = await run(buffer.getImageData(0, 0, width, height));
  context.drawImage(buffer.canvas, 0, 0);
  people.forEach(draw);
  for (const id of ["picture", "figures", "json"]) element(id).hidden = false;
  canvas.setAttribute("aria-label", `The picture with ${people.length} people`);
  element("count").textContent = people.length;
  element("network").textContent = `${network.toFixed(0)} ms`;
  element("whole").textContent = `${(performance.now() - begin).toFixed(0)} ms`;
  element("people").textContent = JSON.stringify(people, null, 1);
}

function draw({ keypoints }) {
  const { keypoints: names, limbs } = model.about.skeleton, least = model.about.spec.inference.min_drawn_score ?? 0;
  const wide = Math.max(2, Math.hypot(canvas.width, canvas.height) / 200);
  const seen = (name) => keypoints[names.indexOf(name)];
  const hue = (i) => `hsl(${(360 * i) / limbs.length} 95% 58%)`;
  const lines = limbs.map(([a, b], i) => ({ a: seen(a), b: seen(b), colour: hue(i) }));
  context.lineCap = "round";
  for (const [colour, width] of [["rgb(0 0 0 / 0.6)", 1.8 * wide], [null, wide]]) {
    for (const line of lines) {
      if (!(line.a?.score >= least && line.b?.score >= least)) continue;
      context.strokeStyle = colour ?? line.colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(line.a.x + 0.5, line.a.y + 0.5);
      context.lineTo(line.b.x + 0.5, line.b.y + 0.5);
      context.stroke();
    }
  }
  context.fillStyle = "white";
  for (const point of keypoints) {
    if (!(point?.score >= least)) continue;
    context.beginPath();
    context.arc(point.x + 0.5, point.y + 0.5, 0.7 * wide, 0, 7);
    context.fill();
  }
}

function stop() {
  film.pause();
  film.srcObject?.getTracks().forEach((track) => track.stop());
  film.srcObject = null;
  if (film.src) URL.revokeObjectURL(film.src);
  film.removeAttribute("src");
  element("stop").disabled = true;
}

async function showPhoto(blob, name) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => {
    throw new Problem(`${name} can't be read as a photo or film by this browser.`);
  });
  say(`${name}…`);
  await show(bitmap, bitmap.height, bitmap.width);
  say(`${name}: done.`);
}

/** Show the newest frame of the playing `film`, again and again, until it ends or something else is asked for. */
async function follow(name, own) {
  await film.play().catch(() => {
    if (own === turn) throw new Problem(`${name} can't be played by this browser.`);
  });
  element("stop").disabled = false;
  say(`${name} is running.`);
  while (own === turn && !film.ended) {
    if (film.videoWidth) await show(film, film.videoHeight, film.videoWidth);
    await new Promise(requestAnimationFrame);
  }
  stop();
  say(`${name}: done.`);
}

async function openCamera(own) {
  if (!navigator.mediaDevices) throw new Problem("Browsers give cameras only to pages from https or http://localhost.");
  film.srcObject = await navigator.mediaDevices.getUserMedia({ video: true }).catch((error) => {
    if (error.name !== "NotAllowedError") throw new Problem(`No camera can be used (${error.message}).`);
    throw new Problem("The browser does not let this page use the camera. Allow it in the page's settings.");
  });
  await follow("The camera", own);
}

async function openFile(file, own) {
  if (!file.type.startsWith("video/")) return showPhoto(file, file.name);
  film.src = URL.createObjectURL(file);
  return follow(file.name, own);
}

/** Do `work` after what runs now has ended. */
function ask(work) {
  const own = ++turn;
  busy = busy.then(() => own === turn && tell(() => work(own)));
}

element("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) ask((own) => openFile(file, own));
});
element("camera").addEventListener("click", () => ask(openCamera));
element("stop").addEventListener("click", () => turn++);
ask(async () => {
  await load();
  const photo = query.get("photo");
  if (photo) await showPhoto(await fetched(photo, "blob"), photo);
});
