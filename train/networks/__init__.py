"""Networks: target pixels and latents -> swapped pixels, scores or losses.

`face_generator` is the interface of generators, `registry` their table; `simswap`, `compact`, `people` and
`latent_diffusion` are the generators, built of `convolutions` and `identity_injection`. `discriminator` is their
adversary. To add a generator, add a file here with a decorated class (see `registry`), and a recipe that names it.
"""
