"""Doing one step in its folder, safely beside other processes, alive or dead, that may be doing the same."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from pinchtune import store
from pinchtune.study.executors import Do, Ended
from pinchtune.study.executors.faults import Fault
from pinchtune.study.executors.folders import link
from pinchtune.study.executors.locks import locked, put_aside, sweep
from pinchtune.study.executors.warm import Warm
from pinchtune.study.graph import VERSIONS, Step
from pinchtune.study.keep import _MARKER as MARKER
from pinchtune.study.keep import holds_other, is_kept, keep
from pinchtune.study.steps import RUNNERS


def do(step: Step, context: Warm) -> None:
    """Do a step, unless another process has done it in the meantime.

    Raises:
        PinchError: the step's own error.
    """
    target = context.folder / step.name
    with locked(context.folder, step.name):
        if is_kept(target, step.key):
            return
        if holds_other(target, step.key):
            put_aside(target)
        if (target / MARKER).is_file():
            sweep(target)
        twin = context.twins.get(step.name)
        if twin is not None and link(context.folder / twin, target, step, context.graph):
            return
        _make(step, target, context)


def do_again(step: Step, context: Warm) -> None:
    """Do a step that is done, beside its result, which is there until the new one takes its place.

    Raises:
        PinchError: the step's own error.
    """
    target = context.folder / step.name
    with locked(context.folder, step.name):
        fresh = store.temporary_beside(target)
        try:
            _make(step, fresh, context)
            put_aside(target)
            os.replace(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _make(step: Step, target: Path, context: Warm) -> None:
    draft = store.Manifest(
        key=step.key,
        step=step.name,
        kind=step.kind,
        version=VERSIONS[step.kind],
        settings=step.settings,
        inputs={one: context.graph.steps[one].key for one in step.inputs},
    )
    keep(target, draft, lambda: RUNNERS[step.kind](step, target, context))


def attempt(step: Step, do_it: Do, context: Warm) -> Ended:
    """Do a step and say how it ended; every exception that is not the user's wish to stop is a failure of it alone."""
    began = time.monotonic()
    try:
        do_it(step, context)
    except Exception as error:
        fault = Fault.of(error)
        if fault.traceback is not None:
            context.cool()
        return Ended(step, time.monotonic() - began, fault, error)
    return Ended(step, time.monotonic() - began)
