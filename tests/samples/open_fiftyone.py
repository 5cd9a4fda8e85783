"""Open a FiftyOneDataset with the package fiftyone, in a database in memory, and print what it holds as JSON.

A program of its own, run as `python open_fiftyone.py FOLDER` by a Python that has fiftyone and mongomock: fiftyone
needs a MongoDB server, which mongomock stands in for.
"""

import json
import os
import sys

os.environ |= {
    "FIFTYONE_DATABASE_URI": "mongodb://localhost:27017",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_DO_NOT_TRACK": "1",
}

import mongoengine
import mongomock.codec_options
import pymongo
from mongomock.store import ServerStore

mongomock.codec_options.is_supported = lambda options: None
STORE = ServerStore()
connect = mongoengine.connect


class Client(mongomock.MongoClient):
    """A client whose data all clients of this process share."""

    _closed = False
    _topology = None

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(_store=STORE)


pymongo.MongoClient = Client
mongoengine.connect = lambda db, *_, **__: connect(db, mongo_client_class=Client)

import fiftyone  # noqa: E402

dataset = fiftyone.Dataset.from_dir(dataset_dir=sys.argv[1], dataset_type=fiftyone.types.FiftyOneDataset, name="opened")
sample = dataset.first()
print(
    json.dumps(
        {
            "samples": len(dataset),
            "people": sorted(dataset.distinct("ground_truth.label")),
            "tags": sorted(dataset.distinct("tags")),
            "exists": all(os.path.isfile(path) for path in dataset.values("filepath")),
            "image_id": sample.image_id,
            "sharpness": sample.sharpness,
            "mask": list(sample.mask.get_mask().shape),
        }
    )
)
