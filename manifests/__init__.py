"""The contract between `curate` and `simswap`: the files of a curated dataset, their schema, a reader and a writer.

`schema`: every column. `layout`: paths and `dataset.json`. `reader.Dataset`: tables, embeddings and pixels of a
directory. `writer`: atomic Parquet files with the same bytes for the same rows. `landmarks`: conventions of
coordinates, crop templates and mask classes. Depends on numpy and pyarrow only. To add a column, add a `Column` to
`schema`; the reader, the writer and the documentation follow.
"""
