"""`python -m flatshot.demo [DIRECTORY]`: the whole road on a checkpoint that it writes itself."""

import sys
from pathlib import Path

from flatshot.cli.main import run
from flatshot.demo.tiny import write_tiny_checkpoint


def main() -> int:
    """Write a tiny checkpoint, make its models, and show what came out."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
    write_tiny_checkpoint(out)
    regular = ["--use_regular_nms", "--max_detections", "auto"]
    steps = [
        ["export", str(out), "-o", str(out), *regular],
        ["convert", str(out / "tflite_graph.pb"), "-o", str(out / "detect.tflite")],
        ["convert", str(out), "-o", str(out / "detect_cut.tflite"), "--cut", *regular],
        ["inspect", str(out / "detect.tflite")],
    ]
    for step in steps:
        print(f"\n$ flatshot {' '.join(step)}", flush=True)
        if code := run(step):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
