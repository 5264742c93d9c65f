"""Find and draw the limbs of people in a photo, with onnxruntime, OpenCV and numpy alone.

python examples/onnx_client.py MODEL.onnx PHOTO.jpg OUT.jpg

All that the program needs to know about the model is in the ONNX file's metadata. Peaks are joined into limbs where the
PAF agrees, best first. `bpnet_cli.decode` also joins limbs into people and finds peaks with sub-cell precision.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

if len(sys.argv) != 4:
    sys.exit("usage: python examples/onnx_client.py MODEL.onnx PHOTO.jpg OUT.jpg")
model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
if session.get_inputs()[0].name != "image":
    sys.exit(f"{model}: must be a file of bpnet export without --tao-layout, whose input is named image")
about = json.loads(session.get_modelmeta().custom_metadata_map["bpnet"])
stride, multiple, skeleton = about["stride"], about["input_multiple"], about["skeleton"]
size, names = about["spec"]["inference"], skeleton["keypoints"]

photo = cv2.imread(source)
if photo is None:
    sys.exit(f"{source}: can't be read as a photo")
height, width = size["input_height"], size["input_width"]
scale = height / photo.shape[0] if width is None else min(height / photo.shape[0], width / photo.shape[1])
resized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
height, width = (-(-side // multiple) * multiple for side in (height, width or resized.shape[1]))
canvas = np.full((height, width, 3), 127, np.uint8)
canvas[: resized.shape[0], : resized.shape[1]] = resized
image = np.ascontiguousarray(canvas[None, :, :, ::-1])  # OpenCV reads BGR, the network needs RGB
heatmaps, pafs = (maps[0] for maps in session.run(["heatmaps", "pafs"], {"image": image}))

# A peak is a cell above 0.1 that is the highest of its 3 x 3 neighbourhood. Peaks are (x, y) in cells.
peaks = []
for heatmap in cv2.split(heatmaps[..., :-1]):
    rows, columns = np.nonzero((heatmap == cv2.dilate(heatmap, np.ones((3, 3)))) & (heatmap > 0.1))
    peaks.append(np.column_stack([columns, rows]).astype(float))


def pixel(cell):
    """The centre of a cell (x, y) in pixels of the photo."""
    return tuple(round((value * stride + (stride - 1) / 2) / scale) for value in cell)


for limb, (start, end) in enumerate(skeleton["limbs"]):
    found = []
    for i, a in enumerate(peaks[names.index(start)]):
        for j, b in enumerate(peaks[names.index(end)]):
            x, y = np.linspace(a, b, 8).round().astype(int).T
            direction = (b - a) / max(np.linalg.norm(b - a), 1e-6)
            found.append((float((pafs[y, x, 2 * limb : 2 * limb + 2] @ direction).mean()), i, j, a, b))
    taken = set()
    for score, i, j, a, b in sorted(found, key=lambda one: -one[0]):
        if score > 0.05 and not taken & {("start", i), ("end", j)}:
            taken |= {("start", i), ("end", j)}
            cv2.line(photo, pixel(a), pixel(b), (0, 200, 255), 2)
            print(f"{start} - {end}: {pixel(a)} - {pixel(b)}, {score:.2f}")
if not cv2.imwrite(target, photo):
    sys.exit(f"{target}: can't be written")
