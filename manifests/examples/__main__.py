"""Write `demo.parquet`: `python -m manifests.examples`."""

from manifests.examples import DEMO, demo_manifest
from manifests.writer import write_table

if __name__ == "__main__":
    table = demo_manifest()
    write_table(DEMO, table, table.schema)
