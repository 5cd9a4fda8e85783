"""What marks a result as AI-made: invisible watermark, visible label, metadata, content credentials; and the check.

These are labels, not tamper-proofing: who wants to remove them can. The watermark's key is in this source, metadata is
lost in any re-encoding. They serve honest users, platforms and viewers.
"""
