"""Embedding networks and the readers of their files.

In: a file of weights. Out: an `Embedder` (curate/faces/embedder.py). `dlib_resnet` is built in, `mobilefacenet` reads a
checkpoint that the user supplies. To add an embedder, register its weights with template and calibration in weights.py,
write its network here, and name it in `curate/faces/models.py`.
"""
