"""Long descriptions of IPaddr; imported for meta-data and documentation only."""

LONGDESC = """
Brings an IPv4 address up on a network interface and takes it down again. When the address comes up,
gratuitous ARP tells the network: a burst at once, and more bursts 1.2 and 3 seconds later, because
older Linux hosts ignore changes of an ARP entry that is younger than a second, and packets get lost.

The address is looked for on the whole node. If it is configured with another prefix or on another
interface than declared, or its interface has no carrier, monitor reports a failure (1), never
"not running" (7), and start refuses to touch it. stop removes the address wherever it is configured,
and nothing else.

Needs the kernel's own interfaces only; neither ip(8) nor ifconfig(8) is called.
"""

PARAMETERS = {
    "ip": "The IPv4 address, for example 192.0.2.10.",
    "nic": """
The interface that gets the address, for example eth0. By default the interface of the route that
leads directly to the address: the longest prefix, and among equals the lowest metric. The spelling
eth0:web sets iflabel, too.
""",
    "cidr_netmask": """
The prefix length (24) or netmask (255.255.255.0). By default the prefix of the route that leads
directly to the address. The older name netmask is understood, too.
""",
    "broadcast": """
The broadcast address; + sets all host bits, - clears them. By default all host bits are set.
""",
    "iflabel": """
A label for the address, shown as INTERFACE:LABEL by older tools. Interface, colon and label together
have at most 15 characters.
""",
    "arp_count": """
How many pairs of gratuitous ARP packets (a request and a reply each) one burst has. 0 sends none.
""",
}
