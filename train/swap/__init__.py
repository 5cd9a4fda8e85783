"""Swapping: puts the identity of source photos on the faces of photos and videos, and marks every result as AI-made.

In: a `SwapRequest` (`plan`), that is a checkpoint, source photos and a target. Out: marked photos and a report, or a
marked video (`run`). Faces are detected (`detection`), chosen (`reference`, `consent`) and swapped (`swapper`, `paste`)
in batches, by one code for photos and video frames. Add a photo format in `photo_files/`, a video container in
`video_writer`, a mark in `train/marks/`.
"""
