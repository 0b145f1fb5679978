"""The pair under Pacemaker, scene by scene: ``python tests/pacemaker [SCENE…]`` (``make pacemaker``), as root.

The first scene, from failoverd to Pacemaker, is always played. Exit codes: 0 every scene passed, 1 not so, 2 usage
or something is missing here.
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
    from pacemaker.pair import missing, pair
    from pacemaker.scenes import SCENES

    names = [scene.name for scene in SCENES]
    unknown = [name for name in argv if name not in names]
    if unknown or (lacking := missing()):
        print(f"no scene {unknown[0]}; there are {', '.join(names)}" if unknown else lacking, file=sys.stderr)
        return 2
    chosen = [scene for scene in SCENES if not argv or scene.name in (names[0], *argv)]
    with pair() as there:
        for scene in chosen:
            begin_ms = boottime_ms()
            print(f"{scene.name}: {scene.expectation} ...", flush=True)
            try:
                scene.play(there)
                proofs = there.prove()
            except (SceneFailed, CommandTimeout, CommandMissing) as error:
                print(f"  FAILED: {error}")
                print("\n".join(there.trouble()))
                return 1
            gap = there.stage.gap(begin_ms)
            print(f"  passed in {(boottime_ms() - begin_ms) / 1000:.1f} s, client's longest wait {gap.ms} ms")
            print(f"  {'; '.join(proofs)}", flush=True)
    print(f"all {len(chosen)} scenes passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
