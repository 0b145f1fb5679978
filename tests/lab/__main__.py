"""``python3 tests/lab``: see ``main``."""

import os
import sys

if __name__ == "__main__":
    tests = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path[:0] = [tests, os.path.join(os.path.dirname(tests), "lib")]
    from lab.main import main

    sys.exit(main(sys.argv[1:]))
