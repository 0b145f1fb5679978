"""``python3 -m failover_kit.emulator``."""

import sys

from failover_kit.emulator.main import main

if __name__ == "__main__":
    sys.exit(main())
