"""Checkpoints that TensorFlow 2.21 wrote, by file name: zlib, then base 64.

`ONE` is of `tf.compat.v1.train.Saver`, `TWO_SHARDS` of two SaveV2 and MergeV2Checkpoints, `SLICED`
of SaveV2 with a slice "4 0,2", `V1` of a Saver with write_version V1.
"""

import base64
import zlib
from pathlib import Path

ONE = {
    "checkpoint": ("eNrLzU9JzYlPzkhNzi7Iz8wriS9ILMmwUlDKBYnrAQVLlLgSc3Lic7GpK0ZTCAB3iRyG"),
    "model.ckpt.data-00000-of-00001": (
        "eNrtzq1uAkEUhuGPH4FArEBAguACKpAodoprUsElQK8AWYEYHBIJNV0JSQUSxQ7UINoEiVyJRJJUDO+UBM0FcJKT"
        "Z75s9pxj44Z7MTnlJBtLcph+zGrp78/rmm7zjv+/tfyfQnnvdavwj02lxjO9kZrYRIMGu9jFHvZwgAO0aHGMY5zg"
        "BKc4RZnrLQk5Ic9xjktc4gpX6NDhDne4xz0e8IAZZnjEY7iLuYa5J/KJfMZz2Neht1IRi1jCEpaxjBFGWMEKVrGK"
        "dayjZa4N92KCDh1mmKHYI/ZEGG30lS/kR8Onz/dH3V19vX0v5C+Iae+q"
    ),
    "model.ckpt.index": (
        "eNqN1VtIFFEYB/Azs7O7R5nNndnVzfBhM6M1sHXV8dJN0OyK+SBlSxfbXdZL7LqyF0ssWozFIsV6MLKSUrN6SApz"
        "ITItM5EefCmlqyGGGIVENwoy6zsrSD2dmYcZON/vfGf4/gODkAozy1jMIBxjL3N5bH5LJl4iciKLFSaVNJlgbWEU"
        "gsfjwtELi0aVSSEFrGdVSC04PO5ql/MIxpESY4wyYakgN+4kUgpOd7W/FjOiSkRQ4oyC9OJDfQdSxkbOgAKGZTbS"
        "UDAtlfbp/1xGnFBhc5VhXaQba0w2cVJw/conSKmprPJnZuAoERlT4Ihc0RFEKwSfw1PtNLtstU5vaao5z+Z3VOz0"
        "eN1mt6emsqq81O20VcE5C70k2JasOK/mDYKFQjcAHZsJ2zUGgda1AGjfUYVXQ+9aCHSrtf4T0DQK3QVU5x0aBJpO"
        "ofuBBh2PNgLNoFAn0EsHps4BlSjUDdR8uDMeJf03Y0smZV8A9tlb8m1wRBaFHgPasE68qTGI2RQaYsB+zs2bBJtD"
        "sU3E6i/4UniDSBtzC7GDb/KvQF9a0G3EFm6z/wRLS7qLWFOzLqShv0M3sQONK2rB0rIOE3txs5cDSwu7n9hQescq"
        "sLS0h4k92PZsDCwt4VFi4zre3QBLi3ic2K9ZPcUyMp4gdvX1E1oZGU8TW2R5WsfTZzZL7LX59gqUJP77KafTAv9O"
        "NrauYc/ICPw3sfev3pmTEXiIBdszkFggI/AmYudid/TICLyF2Of64rsyAm8j9mVf9F4ZgXcRu9zgeCwj8G5imx+s"
        "NcsIPEzspsG0HBmB9xN7KL7uLU+fwzCxJcmJ0Tx9DqPE7gkrzDx9DuPEpo4MzfP0OUwQe1w3ZeXpc5gm9ltR4ghP"
        "n8MsseUhx3akNvj8Xqj7sHrxPwrfLGu6x0o/ene/R8q4APwyszEXKTOR8i2liZW0nac+IrgSWIRmOIR61QhxZMHn"
        "e6UmT4bcHn5pv40YRQ1q0C6udQX9+kYtbtXGIOpV8it4Oimw5fVfi1MxWw=="
    ),
}
TWO_SHARDS = {
    "model.ckpt.data-00000-of-00002": ("eNpjYGiwZ2BgcGAGEixADAAMqwEH"),
    "model.ckpt.data-00001-of-00002": ("eNpjYFjgwMBwAIgfOAAAEEwDAQ=="),
    "model.ckpt.index": (
        "eNpjYGDjYJJi4mBkYORP5GAUYhFi4mDS4DCNtHlqysAomAQVYpZg1OAxjXsbO42BUTSZg1mIA6QOiBkVOICqS5wX"
        "r2IAAkYQcfmeOIJz4NPCDQyMTCkMQXChw8cfzQ7nSOFjIAKE/27oVil1vw0AT/MX9Q=="
    ),
}
SLICED = {
    "model.ckpt.data-00000-of-00001": ("eNpjYGiwZ2BgcAAABIMBAA=="),
    "model.ckpt.index": (
        "eNpjYGDjYJRi4mBk4OFnKM/Iz0llYGRkbGjiYBRiEWLiYNLgMI20eWrKwMoHloQKs1ixcDEJMDEAASOIkE7hCoJz"
        "DnxauIGBkamCwRUu5F4/eboXRzgfAxEg/HdDt0qp+20A+08T8g=="
    ),
}
V1 = {
    "checkpoint": ("eNrLzU9JzYlPzkhNzi7Iz8wriS9ILMmwUlDKBYnrAQVLlLgSc3Lic7GpK0ZTCAB3iRyG"),
    "model.ckpt": (
        "eNpjYBDnEuXi52JMFGIRYuJgkWBUYuJiALIYGThkGRIZGBkZG+qFpEHyQHEpIS0BBjBosAcSDkDkAOIxgohdCZKH"
        "4JwDnxZuYGBkYmTwggt1/rx4xp8jho+BCBD+u6FbpdT9NgD15hK7"
    ),
}


def unpack(files: dict[str, str], folder: Path) -> Path:
    """Write `files` into `folder`; the prefix of the checkpoint."""
    for name, text in files.items():
        (folder / name).write_bytes(zlib.decompress(base64.b64decode(text)))
    return folder / "model.ckpt"
