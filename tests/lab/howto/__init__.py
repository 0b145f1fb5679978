"""The story of the reference HOWTO, played in the lab from its first step to its last: ``python3 tests/lab howto``.

``files`` has the texts that go onto the machines, ``readings`` what is read from them and ``proofs`` what follows
from the storage network's frames; these three are pure. ``pair`` commands the machines, ``switch``, ``prepare``,
``configure`` and ``scenes`` are the steps, ``story`` is their order and ``main`` the command line.
"""
