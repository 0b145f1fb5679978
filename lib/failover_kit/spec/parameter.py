"""Declarations: what a resource agent may be told and what it can do.

From one ``Parameter`` come its check, its metadata, its haresources position and its mention in
every message. Plain classes with slots: a monitor runs this module thousands of times a day, and
dataclasses or enum alone would double what the interpreter itself costs.
"""

from failover_kit.spec.values import CHECKS, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Checked = str | int | bool


class Parameter:
    """One setting. ``required`` ones are its identity: without them the resource cannot exist."""

    __slots__ = (
        "aliases", "any_text", "check", "choices", "default", "identity", "kind", "maximum", "minimum", "name",
        "reloadable", "required", "secret", "shortdesc", "unique_group", "unit",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        shortdesc: str,
        kind: str = "string",
        required: bool = False,
        identity: bool = False,
        default: str = "",
        unique_group: str = "",
        reloadable: bool = False,
        secret: bool = False,
        any_text: bool = False,
        minimum: int | None = None,
        maximum: int | None = None,
        unit: str = "",
        choices: "tuple[str, ...]" = (),
        aliases: "tuple[str, ...]" = (),
        check: "Callable[[str], Checked] | None" = None,
    ) -> None:
        """``aliases`` are older names still accepted; ``check`` replaces the check of ``kind``.

        ``unit`` is what the number counts, as people read it: seconds, milliseconds.
        ``identity`` is for what says which resource this is, though it may be left out: with a wrong one
        a default would mean another resource.
        ``any_text`` is for names of files: Linux allows every byte in them but 0, a newline too.
        """
        self.name = name
        self.shortdesc = shortdesc
        self.kind = kind
        self.required = required
        self.identity = required or identity
        self.default = default
        self.unique_group = unique_group
        self.reloadable = reloadable
        self.secret = secret
        self.any_text = any_text
        self.minimum = minimum
        self.maximum = maximum
        self.unit = unit
        self.choices = choices
        self.aliases = aliases
        self.check = check or CHECKS[kind]

    def parse(self, text: str) -> "Checked":
        """The checked value of ``text``; ValueError says what is wrong with it."""
        if text != text.strip():
            raise ValueError("has blanks around it; remove them")
        if not self.any_text and not text.isprintable():
            raise ValueError("contains characters that cannot be printed")
        if self.choices and text not in self.choices:
            raise ValueError("is not one of " + ", ".join(self.choices))
        value = self.check(text)
        if isinstance(value, int) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise ValueError(f"is below {self.minimum}")
            if self.maximum is not None and value > self.maximum:
                raise ValueError(f"is above {self.maximum}")
        return value

    def shown(self, text: str) -> str:
        """``text`` as a message quotes it: secrets never do."""
        return "'***'" if self.secret else quoted(text)


class Action:
    """One verb with its advised times in seconds; ``interval_s`` and ``depth`` are for monitors."""

    __slots__ = ("depth", "interval_s", "name", "timeout_s")

    def __init__(self, name: str, timeout_s: int, interval_s: int = 0, depth: int | None = None) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.interval_s = interval_s
        self.depth = depth


class Problem:
    """One thing wrong with one parameter; ``str()`` is the sentence."""

    __slots__ = ("parameter", "text")

    def __init__(self, parameter: Parameter, text: str) -> None:
        self.parameter = parameter
        self.text = text

    def __str__(self) -> str:
        return self.text


class Values:
    """Checked parameters, read by type: an agent never sees unchecked text."""

    __slots__ = ("_given", "_secret", "_values")

    def __init__(self, values: "Mapping[str, Checked]", given: "set[str]", secret: "set[str]") -> None:
        self._values = values
        self._given = given
        self._secret = secret

    def given(self, name: str) -> bool:
        """Whether the parameter was set (and valid), rather than left to its default."""
        return name in self._given

    def text(self, name: str) -> str:
        return str(self._values[name])

    def number(self, name: str) -> int:
        return int(self._values[name])

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def __repr__(self) -> str:
        shown = (f"{name}={'***' if name in self._secret else value!r}" for name, value in self._values.items())
        return f"Values({', '.join(shown)})"


def check_all(parameters: "Sequence[Parameter]", raw: "Mapping[str, str]") -> "tuple[Values, list[Problem]]":
    """Check ``raw`` (name to text) against the declarations and report every problem at once.

    The values returned are complete: a parameter that is missing, empty or wrong has its default
    (an empty default of a typed parameter is 0, False or ""). Whether problems matter is for
    the caller to say; a stop goes on with a wrong ``options``, a start does not.
    """
    values: dict[str, Checked] = {}
    given: set[str] = set()
    problems: list[Problem] = []
    for parameter in parameters:
        text = _raw_text(parameter, raw)
        if text:
            try:
                values[parameter.name] = parameter.parse(text)
                given.add(parameter.name)
                continue
            except ValueError as error:
                fact = str(error).replace(text, "***") if parameter.secret else str(error)
                message = f"{parameter.name}: {parameter.shown(text)} {fact}"
                problems.append(Problem(parameter, message))
        elif parameter.required:
            problems.append(Problem(parameter, f"{parameter.name}: is required but not set"))
        values[parameter.name] = parameter.parse(parameter.default) if parameter.default else _nothing(parameter)
    secret = {parameter.name for parameter in parameters if parameter.secret}
    return Values(values, given, secret), problems


def wrong_parameters(
    values: Values, problems: "Sequence[Problem]", consistency: "Callable[[Values], list[str]] | None"
) -> "list[str]":
    """Every sentence about wrong parameters, also about what they cannot mean together.

    With a required parameter wrong nothing is said about their relations: the others would be held
    against a default that nobody wrote.
    """
    found = [str(problem) for problem in problems]
    if consistency is not None and not any(problem.parameter.required for problem in problems):
        found += consistency(values)
    return found


def _raw_text(parameter: Parameter, raw: "Mapping[str, str]") -> str:
    for name in (parameter.name, *parameter.aliases):
        text = raw.get(name)
        if text:
            return text
    return ""


def _nothing(parameter: Parameter) -> "Checked":
    if parameter.kind == "boolean":
        return False
    return 0 if parameter.kind in ("integer", "prefix", "address_prefix") else ""
