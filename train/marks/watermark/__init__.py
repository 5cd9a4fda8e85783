"""Invisible watermark: a 32-bit ID in the luma of a picture, read back after resizing, cropping and compression.

Additive spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", 1997) on a canonical grid
of 256 x 256 cells that spans the whole picture, so that resizing needs no search. The code words of the ID (`code`)
modulate 4,096 keyed frequencies (`carriers`) with the amplitude that the local activity hides (`writer`). Crops of up
to a fifth of the width and of the height are found by a pilot (`registration`); the mirrored picture is tried too
(`reader`). A face cut out of a frame, rotations and larger crops are not detected.

The mark is a label, not protection against tampering: the key is public, so anyone can remove or forge the mark.
"""
