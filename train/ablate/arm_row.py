"""A row of the tables of an ablation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ArmRow:
    """One arm, over its seeds; the columns of table.parquet.

    Attributes:
        arm, seeds: name and number of trainings.
        photos, people: of the training data.
        a, a_low, a_high: A against the first arm with its 95% interval, %; no interval with fewer than two people.
        a_seed_min, a_seed_max: lowest and highest A of a single seed, %.
        distance: mean cosine distance of swap and source.
        gain, gain_low, gain_high: mean identity gain with its 95% interval.
        top1, pose_error, psnr, ssim: as in `train.judge.score_table.METRICS`; a share, degrees, dB, at most 1.
        t, t_steady: T against the first arm, of the first and of later forward passes, %.
        first_ms, steady_ms: time of these passes.
        macs, parameters: of the generator; multiply-adds per image.
        seconds, images_per_second: of the training steps, mean over seeds.
        memory_bytes: maximum on the GPU; 0 on the CPU.
    """

    arm: str
    seeds: int
    photos: int
    people: int
    a: float
    a_low: float | None
    a_high: float | None
    a_seed_min: float
    a_seed_max: float
    distance: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    top1: float | None
    pose_error: float | None
    psnr: float | None
    ssim: float | None
    t: float
    t_steady: float
    first_ms: float
    steady_ms: float
    macs: int
    parameters: int
    seconds: float
    images_per_second: float
    memory_bytes: int
