"""What an agent is: its declarations, its handlers, and the call a handler receives."""

import sys

from failover_kit.spec.parameter import check_all, wrong_parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from failover_kit.spec.deadline import Deadline
    from failover_kit.spec.parameter import Action, Parameter, Values

    Handler = Callable[["Call"], int]

# Debian's resource-agents creates it (tmpfiles.d/resource-agents.conf) and calls it HA_RSCTMP;
# Pacemaker does not export the variable, so the agents need the constant.
STATE_DIR = "/run/resource-agents"


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
# A file name has 255 bytes at most (NAME_MAX); an agent's name, ".<pid>" and our own prefix want theirs.
_NAME_LIMIT = 180


def state_path(agent: "Agent", name: str, environ: "Mapping[str, str]") -> str:
    """Where the agent keeps the small file ``name``; a long name is cut, and made unique again by a checksum.

    Byte by byte, so that no two names become one (of "a€" by characters "a%20ac", as of "a ac"), and one name
    is the same in all locales.
    """
    data = name.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    plain = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in data)
    if len(plain) > _NAME_LIMIT:
        from binascii import crc32

        plain = f"{plain[: _NAME_LIMIT - 9]}-{crc32(plain.encode('ascii')):08x}"
    return f"{environ.get('HA_RSCTMP') or STATE_DIR}/failover-kit-{agent.name}-{plain}"


class Call:
    """One run of one action: everything a handler may know about its surroundings."""

    __slots__ = ("_environ", "agent", "deadline", "instance", "level", "probe", "values")

    def __init__(
        self,
        agent: "Agent",
        values: "Values",
        deadline: "Deadline",
        *,
        level: int = 0,
        probe: bool = False,
        instance: str = "default",
        environ: "Mapping[str, str] | None" = None,
    ) -> None:
        """``level`` is OCF_CHECK_LEVEL; ``probe`` a monitor asked once, before anything is started."""
        self.agent = agent
        self.values = values
        self.deadline = deadline
        self.level = level
        self.probe = probe
        self.instance = instance
        self._environ = environ or {}

    def meta(self, name: str) -> str:
        """What the cluster manager says of the resource (``OCF_RESKEY_CRM_meta_<name>``); "" when nothing."""
        return self._environ.get(f"OCF_RESKEY_CRM_meta_{name}", "")

    def state_path(self, name: str) -> str:
        """Where this agent keeps the small file ``name`` until the next boot."""
        return state_path(self.agent, name, self._environ)

    def write_state(self, name: str, text: str) -> None:
        """Write the small file ``name``, whole or not at all: we may be killed at any moment."""
        import os

        path = self.state_path(name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        aside = f"{path}.{os.getpid()}"
        try:
            with open(aside, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(aside, path)
        except OSError:
            # A full filesystem still has room for an empty file, and for another one at each attempt.
            if os.path.lexists(aside):
                os.unlink(aside)
            raise

    def remove_state(self, name: str) -> None:
        """Take the small file ``name`` away. One that is not there is none also where nothing can be taken away:
        on a filesystem that has become read-only, unlink(2) says EROFS before it looks.
        """
        import os

        path = self.state_path(name)
        if os.path.lexists(path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def log(self, level: str, text: str) -> None:
        """Tell the administrator; ``level`` is info, warning or error."""
        from failover_kit.ocf.log import write

        write(f"{self.agent.name}({self.instance})", level, text, self._environ)


class Agent:
    """A resource agent. ``text_module`` holds the long descriptions and is imported for meta-data only."""

    __slots__ = (
        "actions", "consistency", "handlers", "name", "parameters", "positional_names", "positional_separator",
        "shortdesc", "text_module", "version",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        version: str,
        shortdesc: str,
        text_module: str,
        parameters: "Sequence[Parameter]",
        actions: "Sequence[Action]",
        handlers: "Mapping[str, Handler]",
        positional: "Sequence[str]",
        positional_separator: str = "",
        consistency: "Callable[[Values], list[str]] | None" = None,
    ) -> None:
        """``positional`` is the order of haresources arguments.

        ``consistency`` names what is wrong *between* parameters that are right one by one; it looks at
        no host.

        With ``positional_separator`` they stand in one argument (``192.0.2.1/24/eth0``), else in
        one each (``Filesystem::/dev/sda1::/mnt::xfs``).
        """
        self.name = name
        self.version = version
        self.shortdesc = shortdesc
        self.text_module = text_module
        self.parameters = parameters
        self.actions = actions
        self.handlers = handlers
        self.positional_names = positional
        self.positional_separator = positional_separator
        self.consistency = consistency

    def parameter(self, name: str) -> "Parameter":
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"{self.name} has no parameter {name}")

    def positional(self, args: "Sequence[str]") -> "dict[str, str]":
        """Parameters by name from haresources arguments, checked; ValueError with all that is wrong."""
        found = self.assign(args)
        wrong = wrong_parameters(*check_all(self.parameters, found), self.consistency)
        if wrong:
            raise ValueError(f"{self.name}: " + "; ".join(wrong))
        return found

    def assign(self, args: "Sequence[str]") -> "dict[str, str]":
        """Which haresources argument is which parameter, unchecked; ValueError when there are too many.

        An optional argument may be left out when the next one cannot be mistaken for it:
        Heartbeat's own IPaddr takes ``ip/24/192.0.2.255`` for address, mask and broadcast.
        """
        words = list(args)
        if self.positional_separator:
            if len(words) > 1:
                raise ValueError(f"{self.name}: one argument expected, got {len(words)}: {' '.join(words)}")
            words = words[0].split(self.positional_separator) if words else []
        names = list(self.positional_names)
        found: dict[str, str] = {}
        for word in words:
            while len(names) > 1 and self._skips(names[0], names[1], word):
                names.pop(0)
            if not names:
                raise ValueError(f"{self.name}: '{word}' is one argument too many")
            name = names.pop(0)
            if word:
                found[name] = word
        return found

    def _skips(self, name: str, following: str, word: str) -> bool:
        """Whether ``word`` is not for ``name`` but surely for ``following``; free text is sure of nothing."""
        if self.parameter(following).kind == "string":
            return False
        return not self._fits(name, word) and self._fits(following, word)

    def _fits(self, name: str, word: str) -> bool:
        try:
            self.parameter(name).parse(word)
        except ValueError:
            # Empty words leave an argument to its default: they fit everywhere but in required ones.
            return not word and not self.parameter(name).required
        return True
