"""Face detectors: photos -> `Faces`.

In: a batch of photos, uint8 (H, W, 3) RGB of any sizes. Out: boxes, five landmarks and scores, flat over the batch.
`mtcnn` is built in, `scrfd` reads an insightface pack. To add a detector, implement `detector.Detector` in a module
here and select it in `curate/faces/models.py`.
"""
