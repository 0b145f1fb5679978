"""The thread for what may block: it outlives every exception, and nobody's failure is silent."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from failover_kit.manager.offloop import Worker
from failover_kit.manager.store import Store

WAIT_S = 60


def bug(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_the_thread_outlives_what_was_submitted_and_says_so(error: BaseException) -> None:
    said: list[str] = []
    worker = Worker("metrics", said.append)
    done = threading.Event()
    worker.submit(lambda: bug(error))
    worker.submit(done.set)
    assert done.wait(WAIT_S), "what was handed over after a bug never had its turn"
    worker.close()
    worker._thread.join(WAIT_S)
    assert len(said) == 1
    assert said[0].startswith(f"this is a bug in failover-kit: {type(error).__name__} in test_offloop.py:")
    assert "on the thread of metrics, which goes on" in said[0]


def test_the_same_bug_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    """By default on stderr, which systemd keeps; each metrics interval would repeat it."""
    worker = Worker("metrics")
    for number in range(50):
        worker.submit(lambda number=number: bug(ValueError(f"attempt {number}")))  # type: ignore[misc]
    worker.submit(lambda: bug(KeyError("another")))
    worker.close()
    worker._thread.join(WAIT_S)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" in test")[0].rpartition(" ")[2] for line in lines] == ["ValueError", "KeyError"]


def test_whoever_is_told_may_be_broken_too(capfd: pytest.CaptureFixture[str]) -> None:
    def deaf(_text: str) -> None:
        raise RuntimeError("deaf")

    worker = Worker("log", deaf)
    done = threading.Event()
    worker.submit(lambda: bug(ValueError("no")))
    worker.submit(done.set)
    assert done.wait(WAIT_S)
    worker.close()
    worker._thread.join(WAIT_S)
    assert "ValueError" in capfd.readouterr().err


def test_what_run_raises_is_its_callers_and_the_thread_goes_on(tmp_path: Path) -> None:
    """A bug in the write of the record reaches the shell, which ends failoverd: what is durable is not known."""
    store = Store(str(tmp_path))

    async def story() -> None:
        with pytest.raises(ZeroDivisionError):
            await store._worker.run(lambda: 1 // 0)
        assert await store._worker.run(lambda: 7) == 7

    asyncio.run(story())
    store.close()
    store._worker._thread.join(WAIT_S)
