"""The domain, in numpy and OpenCV only: skeletons, people, the map grid, target maps and their decoding."""
