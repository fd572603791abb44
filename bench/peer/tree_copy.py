"""bench/tree_copy.c in CocoIndex: every file below a directory, in upper case, at the same place below another."""

import pathlib

import cocoindex as coco
from cocoindex.connectors import localfs

import timed


@coco.fn(memo=True)
async def copy(file: localfs.File, source: str, out: localfs.DirTarget) -> None:
    content = await file.read()
    out.declare_file(file.file_path.path.relative_to(source), content.upper(), create_parent_dirs=True)


@coco.fn
async def main(source: str, out: str) -> None:
    target = await localfs.mount_dir_target(pathlib.Path(out))
    files = localfs.walk_dir(pathlib.Path(source), recursive=True)
    await coco.mount_each(copy, files.items(), source, target)


if __name__ == "__main__":
    o = timed.options("source", "out")
    timed.update("tree_copy", o.db, main, o.source, o.out)
