"""What the peers share: their command line, and one update, whose seconds alone are printed (with CLOCK=cpu in the
environment those of the processor, in all threads)."""

import argparse
import os
import time
from typing import Any, Callable

import cocoindex as coco


def options(*names: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("db", *names):
        parser.add_argument("--" + name, required=True)
    return parser.parse_args()


def update(name: str, db: str, main: Callable[..., Any], *args: Any) -> None:
    os.environ["COCOINDEX_DB"] = db
    app = coco.App(name, main, *args)
    clock = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter
    begun = clock()
    app.update_blocking()
    print(clock() - begun)
