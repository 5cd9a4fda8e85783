"""The format "folder": image files, one folder per person, as `ImageFolder(out / "faces")` reads.

Names are those of the photos, changed where they would not be valid on every file system, or not unique on those that
ignore case (see `manifests.file_names`); `faces.csv` maps each file to its image_id and identity. With masks,
`masks/<identity>/<name>.png` beside `faces/<identity>/<name>.jpg`.
"""

from curate.export.faces import FaceNames, batches, write_image
from curate.export.request import Advance, Exported, ExportPlan
from manifests.csv_rows import CsvWriter
from manifests.output import atomic, sync_file_system


def export_folder(export_plan: ExportPlan, advance: Advance) -> Exported:
    """Write the faces, then the list of them."""
    request = export_plan.request
    names = FaceNames()
    with (
        atomic(request.out / "faces.csv") as partial,
        open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as index,
    ):
        table = CsvWriter(index, ["file", "image_id", "identity"])
        for batch in batches(export_plan.dataset, export_plan.faces, advance):
            for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                name = names.add(row["identity"], row["image_id"])
                write_image(request.out / "faces" / f"{name}.jpg", crop)
                if request.masks:
                    write_image(request.out / "masks" / f"{name}.png", mask)
                table.write([f"faces/{name}.jpg", row["image_id"], row["identity"]])
        # Once for all files: thousands of small ones would otherwise wait for the disk one by one.
        sync_file_system(request.out)
    return Exported(export_plan.faces.num_rows, names.people, export_plan.faces.num_rows)
