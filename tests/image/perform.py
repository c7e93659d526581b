"""Performs the steps of stages, each stage in a root of its own, and says each as it goes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tests.image import base, context
from tests.image.bare import Bare
from tests.image.recipe import Copy, NotUnderstood, Run, Stage, Step
from tests.image.room import Room, StepFailed

# How packages are reached is the machine's affair, as proxies and mirrors are an engine's.
REACHING = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"}
REACHING |= {"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
PIP_FILES = {Path("/etc/pip.conf"): "etc", Path("~/.config/pip/pip.conf"): "root/.config/pip"}


class Performer:
    """``folder`` is for all that comes into being; ``project`` is what is to be built."""

    def __init__(self, folder: Path, project: Path, kind: type[Room] | type[Bare]) -> None:
        self._folder = folder
        self._kind = kind
        self._context = folder / "context"
        self._project = project
        self._roots: dict[str, Path] = {}
        # What the last stage began with.
        self.base_paths: set[Path] = set()

    def perform(self, stages: list[Stage]) -> Room | Bare:
        """The root of the last one. Raises StepFailed, NotUnderstood, NoBase."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._send_context()
        *before, last = stages
        for stage in before:
            # All in one place, one after the other: paths in what is built may name it.
            made = self._stage(stage).root
            self._roots[stage.name] = made.rename(self._folder / stage.name)
        return self._stage(last)

    def _send_context(self) -> None:
        for path in context.files(self._project):
            target = self._context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._project / path, target, follow_symlinks=False)
        print(f"\n   context: {base.size_mb(self._context):.1f} MB")

    def _stage(self, stage: Stage) -> Room | Bare:
        print(f"\nFROM {stage.base} AS {stage.name}")
        slim = base.is_slim(stage.base)
        root = self._folder / "root"
        base.make(root, slim=slim)
        room = self._kind(root, base.places(slim=slim))
        room.run(["ldconfig", "-X"], base.ENVIRONMENT)
        print(
            f"   in its place: Python {base.VERSION} of this machine,"
            f" {'and nothing else' if slim else 'its compiler, its libraries'}"
        )
        self.base_paths = {path.relative_to(root) for path in root.rglob("*")}
        reach = {} if slim else _reach(root)
        for step in stage.steps:
            began = time.monotonic()
            print(step.text, flush=True)
            self._step(step, room, reach)
            print(f"   {time.monotonic() - began:.1f} s", flush=True)
        return room

    def _step(self, step: Step, room: Room | Bare, reach: Mapping[str, str]) -> None:
        if isinstance(step, Run):
            try:
                room.run(step.argv, {**step.environment, **reach}, step.directory)
            except StepFailed as error:
                raise StepFailed(f"{step.text}\n{error}") from None
        elif isinstance(step, Copy):
            self._copy(step, room.root)
        else:
            _inside(room.root, step.directory).mkdir(parents=True, exist_ok=True)

    def _copy(self, step: Copy, root: Path) -> None:
        origin = self._context if step.origin is None else self._roots[step.origin]
        for source in step.sources:
            found = _inside(origin, source)
            target = _inside(root, step.target)
            if not found.exists():
                where = "the context (.dockerignore?)" if step.origin is None else step.origin
                raise NotUnderstood(f"{step.text}: there is no {source} in {where}")
            if found.is_dir():
                shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True)
            else:
                if step.into:
                    target = target / found.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, target, follow_symlinks=False)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _reach(root: Path) -> dict[str, str]:
    """Variables for a base that has to reach packages; the files that matter are put into it."""
    for source, place in PIP_FILES.items():
        if source.expanduser().exists():
            (root / place).mkdir(parents=True, exist_ok=True)
            shutil.copy2(source.expanduser(), root / place)
    found = {
        name: value
        for name, value in os.environ.items()
        if name in REACHING or name.lower().endswith("_proxy")
    }
    for name in CERTIFICATES:
        if name in found and not _inside(root, found[name]).exists():
            target = _inside(root, found[name])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found[name], target)
    return found
