"""Find and draw the limbs of people in a photo, with ai-edge-litert, OpenCV and numpy alone.

python examples/litert_client.py MODEL.tflite PHOTO.jpg OUT.jpg

MODEL.tflite is from `bpnet export --with-peaks`. All that the program must know about the model is in the zip
archive at the end of the file. Peaks are joined into limbs where the PAF agrees, best first.
"""

import json
import sys
import zipfile

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

if len(sys.argv) != 4:
    sys.exit("usage: python examples/litert_client.py MODEL.tflite PHOTO.jpg OUT.jpg")
model, source, target = sys.argv[1:]
about = json.loads(zipfile.ZipFile(model).read("bpnet.json"))
stride, multiple, skeleton = about["stride"], about["input_multiple"], about["skeleton"]
size, names = about["spec"]["inference"], skeleton["keypoints"]
run = Interpreter(model).get_signature_runner()
if "peaks" not in run.get_output_details():
    sys.exit(f"{model}: has no output named peaks; export it again with --with-peaks")

photo = cv2.imread(source)
if photo is None:
    sys.exit(f"{source}: can't be read as a photo")
height, width = size["input_height"], size["input_width"]
scale = height / photo.shape[0] if width is None else min(height / photo.shape[0], width / photo.shape[1])
resized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
height, width = (-(-side // multiple) * multiple for side in (height, width or resized.shape[1]))
canvas = np.full((height, width, 3), 127, np.uint8)
canvas[: resized.shape[0], : resized.shape[1]] = resized
found = run(image=np.ascontiguousarray(canvas[None, :, :, ::-1]))  # OpenCV reads BGR, the network needs RGB
pafs, peaks = found["pafs"][0], [rows[rows[:, 2] > 0, :2] for rows in found["peaks"][0]]

for limb, (start, end) in enumerate(skeleton["limbs"]):
    pairs = []
    for i, a in enumerate(peaks[names.index(start)]):
        for j, b in enumerate(peaks[names.index(end)]):
            cells = (np.linspace(a, b, 8) - (stride - 1) / 2) / stride  # from pixels of the input to cells
            x, y = cells.round().astype(int).clip(0, (pafs.shape[1] - 1, pafs.shape[0] - 1)).T
            direction = (b - a) / max(np.linalg.norm(b - a), 1e-6)
            pairs.append((float((pafs[y, x, 2 * limb : 2 * limb + 2] @ direction).mean()), i, j, a / scale, b / scale))
    taken = set()
    for score, i, j, a, b in sorted(pairs, key=lambda one: -one[0]):
        if score > 0.05 and not taken & {("start", i), ("end", j)}:
            taken |= {("start", i), ("end", j)}
            a, b = (tuple(round(float(value)) for value in point) for point in (a, b))
            cv2.line(photo, a, b, (0, 200, 255), 2)
            print(f"{start} - {end}: {a} - {b}, {score:.2f}")
if not cv2.imwrite(target, photo):
    sys.exit(f"{target}: can't be written")
