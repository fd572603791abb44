"""bench/components.c in CocoIndex: components with one target state each, whose sink does nothing."""

from typing import Any, Collection, Sequence

import cocoindex as coco

import timed

GENERATIONS = 1000


def apply(context: Any, actions: Sequence[Any]) -> None:
    pass


class Nothing:
    sink = coco.TargetActionSink.from_fn(apply)

    def reconcile(
        self, key: coco.StableKey, desired: Any, records: Collection[int], may_be_missing: bool, /
    ) -> Any:
        if coco.is_non_existence(desired):
            return coco.TargetReconcileOutput(action=None, sink=self.sink, tracking_record=coco.NON_EXISTENCE)
        if not may_be_missing and records and all(r == desired for r in records):
            return None
        return coco.TargetReconcileOutput(action=desired, sink=self.sink, tracking_record=desired)


nothing = coco.register_root_target_states_provider("bench/nothing", Nothing())


@coco.fn(memo=True)
def item(v: int) -> None:
    coco.declare_target_state(nothing.target_state(v // GENERATIONS, v))


@coco.fn
async def main(n: int, generation: int) -> None:
    await coco.mount_each(item, ((i, i * GENERATIONS + generation) for i in range(n)))


if __name__ == "__main__":
    o = timed.options("n", "generation")
    timed.update("components", o.db, main, int(o.n), int(o.generation))
