"""Checked values: one function per kind of parameter, from text to a value or a ValueError.

The message of the ValueError is the second half of a sentence ("is not an IPv4 address; write it
like 192.0.2.10"): the caller puts the parameter and its value in front. No kind looks at the host:
these are the checks that must give the same answer on every node.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# resource-agents' ocf_is_true() takes exactly the first list for true and everything else for
# false. We take the obvious counterparts for false and call the rest a mistake.
TRUE_WORDS = ("yes", "true", "1", "YES", "TRUE", "True", "ja", "on", "ON")
FALSE_WORDS = ("no", "false", "0", "NO", "FALSE", "False", "nein", "off", "OFF")

# IFNAMSIZ in include/uapi/linux/if.h is 16, the closing NUL included. Alternative names
# (ALTIFNAMSIZ, 128) are accepted for looking an interface up, never for labels.
LABEL_LIMIT = 15
INTERFACE_LIMIT = 127


def shown(text: str) -> str:
    r"""``text`` as it may stand in a message: one line, what cannot be printed as octal (newline: \012)."""
    if text.isprintable():
        return text
    import os

    return "".join(
        sign if sign.isprintable() else "".join(f"\\{byte:03o}" for byte in os.fsencode(sign)) for sign in text
    )


# How much of a value a message quotes. Whole, one absurd value would push the other problems out of the reason.
QUOTE_LIMIT = 100
# A 64-bit number has no more digits. int() itself takes 4300 and then raises an error that is no sentence.
DIGITS_LIMIT = 19


def quoted(text: str) -> str:
    """``text`` as a message quotes it: between quotes, and shortened when it is very long."""
    if len(text) <= QUOTE_LIMIT:
        return f"'{shown(text)}'"
    return f"'{shown(text[:QUOTE_LIMIT])}'... ({len(text)} characters)"


def is_number(text: str) -> bool:
    """Whether ``text`` is digits of ASCII alone, and not more of them than a number of the kernel has."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_LIMIT


def ipv4_bytes(text: str) -> bytes:
    """The four bytes of a dotted quad; ValueError for anything else, leading zeros included."""
    parts = text.split(".")
    if len(parts) != 4:
        raise ValueError("is not an IPv4 address; write it like 192.0.2.10")
    numbers = []
    for part in parts:
        # "010" is 8 to inet_aton(3) and 10 to people: refused, as inet_pton(3) does.
        plain = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
        if not plain or len(part) > 3 or int(part) > 255:
            raise ValueError("is not an IPv4 address; write it like 192.0.2.10")
        numbers.append(int(part))
    return bytes(numbers)


def address_bytes(text: str) -> bytes:
    """Four or sixteen bytes of an IPv4 or IPv6 address; ValueError for anything else, a zone included."""
    if ":" not in text:
        return ipv4_bytes(text)
    import _socket

    try:
        return _socket.inet_pton(_socket.AF_INET6, text)
    except OSError:
        hint = "; name the interface as nic, not behind %" if "%" in text else ", like 2001:db8::10"
        raise ValueError(f"is not an IPv6 address{hint}") from None


def check_string(text: str) -> str:
    return text


def check_integer(text: str) -> int:
    digits = text[1:] if text[:1] == "-" else text
    if not is_number(digits):
        raise ValueError("is not a whole number")
    return int(text)


def check_boolean(text: str) -> bool:
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError("is neither yes nor no")


def check_ipv4(text: str) -> str:
    """An IPv4 unicast address in its usual spelling."""
    first = ipv4_bytes(text)[0]
    if first in {0, 127} or first >= 224:
        raise ValueError("is not an address a network interface can serve to others")
    return text


def check_address(text: str) -> str:
    """An IPv4 or IPv6 unicast address; IPv6 in the kernel's spelling (RFC 5952)."""
    if ":" not in text:
        return check_ipv4(text)
    address = address_bytes(text)
    mapped = address[:12] == bytes(10) + b"\xff\xff"
    if address[0] == 0xFF or mapped or address[:15] == bytes(15):
        raise ValueError("is not an address a network interface can serve to others")
    import _socket

    return _socket.inet_ntop(_socket.AF_INET6, address)


def check_prefix(text: str) -> int:
    """A prefix length, from CIDR bits (24) or from a dotted mask (255.255.255.0)."""
    if "." not in text:
        if is_number(text) and 1 <= int(text) <= 32:
            return int(text)
        raise ValueError("is neither a prefix length (1 to 32) nor a mask like 255.255.255.0")
    mask = int.from_bytes(ipv4_bytes(text), "big")
    inverse = mask ^ 0xFFFFFFFF
    if mask == 0 or inverse & (inverse + 1):
        raise ValueError("is not a network mask: its one bits must come first and without a hole")
    return 32 - inverse.bit_length()


def check_address_prefix(text: str) -> int:
    """A prefix length of either family; as a dotted mask for IPv4. Which family is not for this check."""
    if is_number(text) and 32 < int(text) <= 128:
        return int(text)
    return check_prefix(text)


def check_broadcast(text: str) -> str:
    """A broadcast address, or + (all host bits one) or - (all host bits zero) as ip(8) has it."""
    if text not in ("+", "-"):
        ipv4_bytes(text)
    return text


def check_interface(text: str) -> str:
    """An interface name; ``name:label``, the spelling of alias interfaces, is accepted."""
    name, colon, label = text.partition(":")
    bad = name in {"", ".", ".."} or "/" in text or ":" in label or len(name) > INTERFACE_LIMIT
    if bad or any(sign.isspace() for sign in text) or (colon and not label):
        raise ValueError("is not the name of a network interface")
    try:
        ipv4_bytes(name)
    except ValueError:
        return text
    raise ValueError("is an address, not the name of a network interface")


def check_label(text: str) -> str:
    if "/" in text or ":" in text or any(sign.isspace() for sign in text):
        raise ValueError("is not a label: no blank, colon or slash, please")
    if len(text) > LABEL_LIMIT - 2:
        raise ValueError(f"is too long: interface, colon and label may have {LABEL_LIMIT} characters together")
    return text


def check_path(text: str) -> str:
    """An absolute path, without its trailing slashes. The root itself is refused."""
    if not text.startswith("/"):
        raise ValueError("is not an absolute path; begin it with /")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("contains '..'; write the path without it")
    if not parts:
        raise ValueError("is the root directory, which cannot be a cluster resource")
    return "/" + "/".join(parts)


def check_filename(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("is not a plain file name; leave the directory out")
    return text


CHECKS: "dict[str, Callable[[str], str | int | bool]]" = {
    "string": check_string,
    "integer": check_integer,
    "boolean": check_boolean,
    "address": check_address,
    "ipv4": check_ipv4,
    "prefix": check_prefix,
    "address_prefix": check_address_prefix,
    "broadcast": check_broadcast,
    "interface": check_interface,
    "label": check_label,
    "path": check_path,
    "filename": check_filename,
}
