"""What the device remembers apart from its relays: passwords, names of the site, timeouts, network. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE_TIMEOUT_MS = 120_000  # the 2 minutes older units name on their status screen
MASK_COUNT = 5
FACTORY_ADDRESS = "192.168.168.168"  # in a user's report about a newer unit; older ones: unknown


@dataclass
class Settings:
    """One device's parameters. ``password`` None: no system password, hence nobody is asked for one.

    ``mask_addresses`` and ``mask_permits`` are the five IP security masks, mask 1 first; an empty address
    is a mask that is not defined.
    """

    user: str = ""
    password: str | None = field(default=None, repr=False)
    site_id: str = ""
    echo: bool = True
    confirm: bool = True
    automated: bool = False
    idle_timeout_ms: int = IDLE_TIMEOUT_MS
    baud: int = 9600
    buttons: bool = True
    modem_reset: str = "ATZ"
    modem_init: str = "AT&C1&D2S0=1"
    modem_hangup: str = ""
    address: str = FACTORY_ADDRESS
    mask: str = "255.255.255.0"
    gateway: str = ""
    dhcp: bool = False
    mask_addresses: list[str] = field(default_factory=lambda: [""] * MASK_COUNT)
    mask_permits: list[bool] = field(default_factory=lambda: [True] * MASK_COUNT)

    def admits(self, address: str) -> bool:
        """Whether IP security lets ``address`` in: the highest mask that matches decides (IPS-15 guide, 5.3.3.1).

        255 in a mask matches anything. An address that is not IPv4 matches no mask.
        """
        permitted = True
        for pattern, permit in zip(self.mask_addresses, self.mask_permits, strict=True):
            if pattern and _matches(pattern, address):
                permitted = permit
        return permitted


def _matches(pattern: str, address: str) -> bool:
    parts, wanted = address.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(w in ("255", p) for w, p in zip(wanted, parts, strict=True))
