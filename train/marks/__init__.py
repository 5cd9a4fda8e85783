"""Marks that label results as AI-made, and the check of files for them.

In: frames before encoding, encoded files, and the settings of a run (`marking`). Out: marked frames and files
(`marker`), and verdicts on files (`verify`). The marks are listed in `table.MARKS`: an invisible watermark, a visible
label, AIGC metadata and content credentials. To add a mark, write a class after `mark.FrameMark` or `mark.FileMark` and
add it to the table.

Marks are labels for honest users, platforms and viewers, not protection against tampering: the key of the watermark is
public, and metadata is lost in any re-encoding.
"""
