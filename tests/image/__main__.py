"""``make image-check``: does what the Dockerfile says, and runs what comes out, without an engine.

``--bare``: as where there are no user namespaces, in a folder instead of a root.
Exit status 1 if a step fails, or if the image is not what it has to be.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.image import base, contents, recipe, trial
from tests.image.bare import Bare
from tests.image.perform import Performer
from tests.image.room import Room, StepFailed, missing

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "build" / "image"


def main() -> int:
    began = time.monotonic()
    os.umask(0o022)  # as in a container
    kind: type[Room] | type[Bare] = Room
    lacking = missing()
    if "--bare" in sys.argv[1:] or lacking is not None:
        kind = Bare
        print(f"Without user namespaces, in a folder instead: {lacking or 'as told'}")
    try:
        check(kind)
    except (recipe.NotUnderstood, base.NoBase, StepFailed, trial.Failed) as error:
        print(f"\nFailed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll as it has to be, after {time.monotonic() - began:.0f} s.")
    return 0


def check(kind: type[Room] | type[Bare]) -> None:
    """Raises what tells why not."""
    stages = recipe.read(PROJECT / "Dockerfile", base.ENVIRONMENT)
    performer = Performer(FOLDER, PROJECT, kind)
    image = performer.perform(stages)
    settings = stages[-1].settings
    print("\nWhat is in it")
    found = list(contents.problems(image.root, settings, performer.base_paths, PROJECT))
    if found:
        raise trial.Failed("\n   ".join(found))
    print("\nRun with a root that can be written to, to see that it is not")
    trial.run(image, settings, writable=True)
    if image.isolated:
        print("\nRun with a root that can only be read")
        trial.run(image, settings, writable=False)
    print("\nNot checked, for want of an engine:")
    for one in [*map(_untouched, stages), *image.unchecked]:
        print(f"   {one}")


def _untouched(stage: recipe.Stage) -> str:
    wanted = base.python_named(stage.base)
    here = "" if wanted == base.VERSION else f", and Python {wanted}: here it is {base.VERSION}"
    return f"the image {stage.base}{here}"


if __name__ == "__main__":
    sys.exit(main())
