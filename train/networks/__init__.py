"""The networks that swap faces and that judge the swaps; pixels and latents in, pixels, scores or losses out."""
