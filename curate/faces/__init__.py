"""Face models: photos -> faces, aligned crops, embeddings and label maps.

In: decoded photos, uint8 (H, W, 3) RGB. Out: `faces.Faces` with crops and embeddings; label maps of crops by `segment`.
`models` selects, identifies and loads the networks; `weights` is the table of their files, licences and preprocessing.
To add a detector, see `detectors/`; an embedder, `embedders/`; a file of weights, register it in weights.py.
"""
