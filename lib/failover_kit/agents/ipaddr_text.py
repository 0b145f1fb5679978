"""Long descriptions of IPaddr; imported for meta-data and documentation only."""

LONGDESC = """
Brings an IPv4 or IPv6 address up on a network interface and takes it down again. When the address comes
up, the network is told (gratuitous ARP, unsolicited neighbour advertisements): a burst at once, and more
bursts 1.2 and 3 seconds later, because older Linux hosts ignore changes of an entry that is younger than
a second, and packets get lost.

The address is looked for on the whole node. If it is configured with another prefix or on another
interface than declared, or its interface is down, monitor reports a failure (1), never "not running" (7),
and start refuses to touch it. stop removes the address wherever it is configured, and nothing else: other
addresses of the subnet stay, whatever net.ipv4.conf.*.promote_secondaries says. A link-local IPv6
address is another address on each interface, and looked for on nic alone.

start of an IPv6 address returns when duplicate address detection has finished. When another host has
the address, it is taken away again and the error names that host's hardware address, if it answers.

reload-agent gives a running address another preferred_lft; all other reloadable parameters are read anew by
the next monitor or stop.

Needs the kernel's own interfaces only; neither ip(8) nor ifconfig(8) is called. Not for clones (cluster IP)
and not for LVS real servers: use ocf:heartbeat:IPaddr2 for these.
"""

PARAMETERS = {
    "ip": """
The IPv4 or IPv6 address, for example 192.0.2.10 or 2001:db8::10. Of the addresses nobody else can reach those of
the loopback network are accepted for trials (127.0.0.10, on lo), but not the host's own, 127.0.0.1.
""",
    "nic": """
The interface that gets the address, for example eth0; alternative names are understood. By default the
interface of the route that leads directly to the address: the longest prefix, and among equals the lowest
metric. The spelling eth0:web sets iflabel, too. Required for link-local IPv6 addresses.
""",
    "cidr_netmask": """
The prefix length (24, for IPv6 64) or IPv4 netmask (255.255.255.0). By default the prefix of the route that
leads directly to the address. The older name netmask is understood, too.
""",
    "broadcast": """
The IPv4 broadcast address; + sets all host bits, - clears them. By default all host bits are set.
""",
    "iflabel": """
A label for an IPv4 address, shown as INTERFACE:LABEL by older tools. Interface, colon and label together
have at most 15 characters.
""",
    "link_status": """
What it means that the interface has no carrier while the address is configured: a failure (monitor exits
1, start refuses), degraded (monitor exits 190, which Pacemaker shows and does not act on), or nothing.
""",
    "run_arping": """
Before the address is added, ask the network twice whether anybody has it (an ARP probe, for IPv6 a neighbour
solicitation), wait a second, and refuse to start if somebody answers; the error names the hardware address.
Costs one second of every takeover.
""",
    "arp_count": """
How many announcements one burst has: for IPv4 a gratuitous ARP request and reply each, for IPv6 an
unsolicited neighbour advertisement. 0 sends none.
""",
    "arp_interval": """
Milliseconds between the announcements of a burst. With 0 a burst goes out at once. start waits for the first
announcement only.
""",
    "arp_count_refresh": """
How many announcements each recurring monitor sends, for networks whose caches may hold a wrong entry after
both nodes had the address for a time. 0 sends none.
""",
    "preferred_lft": """
How many seconds the kernel may choose this address as the source of new connections. 0 keeps it from being
chosen while it still answers; the default is forever. A number in between means something for IPv6 only; after a
reload it counts from the reload.
""",
    "nodad": """
Do not let the kernel look for duplicates of an IPv6 address: start is faster by about a second, and two hosts
with one address go unnoticed.
""",
    "noprefixroute": """
Do not let the kernel add a route for the address's prefix.
""",
    "flush_routes": """
On stop, make the kernel forget cached routes, so that connections from this node itself to the address do
not go on over the loopback interface.
""",
    "kill_connections": """
On stop, end the TCP connections of the address at once instead of leaving them to time out; the clients get a
reset. Needs a kernel with CONFIG_INET_DIAG_DESTROY; without it stop logs a warning.
""",
    "network_namespace": """
The name of a network namespace (ip netns) in which the address is managed. It must exist for start; without
it the address counts as stopped.
""",
    "lvs_support": """
Exists in IPaddr2 and is refused here: setting it is an error that says which agent to use.
""",
}

EXAMPLE = {"ip": "192.0.2.220", "cidr_netmask": "24", "nic": "eth0"}

SEE_ALSO = ("ip-address(8)", "arping(8)")
