"""insightface's model packs.

In: a pack's name and its files in the model folder. Out: a SCRFD detector and an ArcFace embedder in torch.
`insightface` is the table of packs and their files, `networks` loads them, `download` fetches them, `parity` compares
them with onnxruntime and insightface. To add a pack, add its entry to `insightface.PACKS`.
"""
