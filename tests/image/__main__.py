"""``make image-check``: does what the Dockerfile says, and runs what comes out, without an engine.

Exit status 1 if a step fails, or if the image is not what it has to be.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.image import base, contents, recipe, room, trial
from tests.image.perform import Performer

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "build" / "image"


def main() -> int:
    began = time.monotonic()
    os.umask(0o022)  # as in a container
    lacking = room.missing()
    if lacking is not None:
        print(f"No user namespaces here: {lacking}")
        return 1
    try:
        check()
    except (recipe.NotUnderstood, base.NoBase, room.StepFailed, trial.Failed) as error:
        print(f"\nFailed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll as it has to be, after {time.monotonic() - began:.0f} s.")
    return 0


def check() -> None:
    """Raises what tells why not."""
    stages = recipe.read(PROJECT / "Dockerfile", base.ENVIRONMENT)
    performer = Performer(FOLDER, PROJECT)
    image = performer.perform(stages)
    settings = stages[-1].settings
    print("\nWhat is in it")
    found = list(contents.problems(image.root, settings, performer.base_paths, PROJECT))
    if found:
        raise trial.Failed("\n   ".join(found))
    print("\nRun with a root that can be written to, to see that it is not")
    trial.run(image, settings, writable=True)
    print("\nRun with a root that can only be read")
    trial.run(image, settings, writable=False)
    print("\nNot checked, for want of an engine:")
    for stage in stages:
        print(f"   the image {stage.base}")


if __name__ == "__main__":
    sys.exit(main())
