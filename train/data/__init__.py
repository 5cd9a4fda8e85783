"""The data of a training, from a curated dataset to batches of pairs.

`faces`: the kept faces of the manifest. `latents`: their embeddings, read or computed once. `pairs`: which faces form
batch i, a pure function of the seed and i. `loader`: the pixels, masks and matrices of a batch, decoded ahead. To add
a tensor to the batches, add a field to `loader.Batch` and fill it in `PairLoader.assemble`.
"""
