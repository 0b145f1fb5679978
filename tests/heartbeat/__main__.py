"""Our parts under Heartbeat, and on to failoverd: ``python tests/heartbeat [SCENE…]`` (``make heartbeat``).

As root. The scenes named and those that lead to them; without names all. Exit codes: 0 all passed, 1 not so,
2 usage or something is missing here.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lib"), str(HERE.parent)]


def main(argv: list[str]) -> int:
    """Play the scenes named, or all."""
    from failover_kit.rehearsal.stage import SceneFailed
    from failover_kit.spec.deadline import boottime_ms
    from failover_kit.spec.process import CommandMissing, CommandTimeout
    from heartbeat.pair import missing, pair
    from heartbeat.scenes import SCENES, chosen

    names = [scene.name for scene in SCENES]
    unknown = [name for name in argv if name not in names]
    if unknown or (lacking := missing()):
        print(f"no scene {unknown[0]}; there are {', '.join(names)}" if unknown else lacking, file=sys.stderr)
        return 2
    scenes = chosen(argv)
    with pair() as there:
        for scene in scenes:
            begin_ms = boottime_ms()
            print(f"{scene.name}: {scene.expectation} ...", flush=True)
            there.stage.begin()
            try:
                scene.play(there)
                proofs = there.prove()
            except (SceneFailed, CommandTimeout, CommandMissing) as error:
                print(f"  FAILED: {error}")
                print("\n".join(there.trouble()))
                return 1
            gap = there.stage.gap(begin_ms)
            print(f"  passed in {(boottime_ms() - begin_ms) / 1000:.1f} s, client's longest wait {gap.ms} ms")
            print(f"  {'; '.join([*proofs, *there.stage.measured.facts])}", flush=True)
    print(f"all {len(scenes)} scenes passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
