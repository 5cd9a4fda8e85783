"""Invisible watermark: a 32-bit ID in the luma of a picture, read back after compression, scaling, crops and turns.

Additive spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", 1997). The code words of the
ID (`code`) modulate 4,096 keyed frequencies (`carriers`) of a square tile that spans the short side of the picture and
is repeated along the long one, with the amplitude that the local activity hides (`writer`). The tile is found again by
a pilot (`registration`): turned by any angle, scaled, mirrored, in a crop, in a frame or in a screenshot; and in parts
of a picture (`windows`), where it fills only one. The picture as it is and its mirror image are read first (`reader`),
without a search.

The mark is a label, not protection against tampering: the key is public, so the mark can be removed or forged.
NumPy and OpenCV only, so that a detector needs no deep-learning framework.
"""
