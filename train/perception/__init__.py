"""Training of the built-in face segmenter, whose weights are part of `curate`.

In: photos with CelebAMask-HQ label maps (`celebamask`). Out: a safetensors file for `curate.faces.segment`. Run
`python -m train.perception.segmenter`. `recipe` has the architecture and the phases of the schedule, `training` the
loop, `augmentation` the crops, `iou` the scores. To add a degradation, add it to `augmentation.degrade`.
"""
