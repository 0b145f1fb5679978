#!/usr/bin/python3
"""A filesystem in memory, served over raw /dev/fuse, that can be told to fall silent: a test's server.

    fuse_server.py STATE source directory [-o …]

mounts and goes on in the background (as mount.nfs is called, after STATE). It writes its pid to
STATE/pid, and answers nothing any more once STATE/silent exists. Protocol: linux/fuse.h.
"""

import ctypes
import errno
import os
import struct
import sys
import time

ENTRY_S = struct.Struct("<QQQQII")
ATTRIBUTES = struct.Struct("<6Q10I")
DIRECTORY, FILE = 0o040755, 0o100644
NO_ANSWER = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET


class Nodes:
    def __init__(self):
        self.modes = {1: DIRECTORY}
        self.data = {}
        self.names = {}

    def attributes(self, node):
        size = len(self.data.get(node, b""))
        return ATTRIBUTES.pack(node, size, 1, 0, 0, 0, 0, 0, 0, self.modes[node], 1, 0, 0, 0, 4096, 0)

    def entry(self, node):
        return ENTRY_S.pack(node, 0, 0, 0, 0, 0) + self.attributes(node)

    def make(self, parent, name, mode):
        node = len(self.modes) + 1
        self.modes[node] = mode
        self.names[parent, name] = node
        return node


def answer(nodes, opcode, node, body):
    """The body of an answer, or an errno."""
    opened = struct.pack("<QII", 0, 0, 0)
    if opcode == 26:  # INIT
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 8, 6, 65536, 1, 0, 0, 0, *[0] * 7)
    if opcode == 1:  # LOOKUP
        found = nodes.names.get((node, body.rstrip(b"\0")))
        return nodes.entry(found) if found else errno.ENOENT
    if opcode in (3, 4):  # GETATTR, SETATTR
        if opcode == 4:
            nodes.data[node] = b""
        return struct.pack("<QII", 0, 0, 0) + nodes.attributes(node)
    if opcode == 9:  # MKDIR
        return nodes.entry(nodes.make(node, body[8:].rstrip(b"\0"), DIRECTORY))
    if opcode == 35:  # CREATE
        return nodes.entry(nodes.make(node, body[16:].rstrip(b"\0"), FILE)) + opened
    if opcode == 16:  # WRITE
        _, offset, size = struct.unpack_from("<QQI", body)
        nodes.data[node] = nodes.data.get(node, b"")[:offset] + body[40 : 40 + size]
        return struct.pack("<II", size, 0)
    if opcode == 15:  # READ
        _, offset, size = struct.unpack_from("<QQI", body)
        return nodes.data.get(node, b"")[offset : offset + size]
    if opcode == 17:  # STATFS
        return struct.pack("<5Q4I6I", 1000, 500, 500, 100, 50, 4096, 255, 4096, 0, *[0] * 6)
    if opcode in (14, 27):  # OPEN, OPENDIR
        return opened
    if opcode in (18, 20, 25, 28, 29, 30, 38):  # RELEASE, FSYNC, FLUSH, READDIR, RELEASEDIR, FSYNCDIR, DESTROY
        return b""
    return errno.ENOSYS


def serve(fd, state):
    nodes = Nodes()
    while True:
        try:
            request = os.read(fd, 1 << 17)
        except OSError:
            return  # unmounted or aborted
        while os.path.exists(f"{state}/silent"):
            time.sleep(0.05)
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in NO_ANSWER:
            continue
        result = answer(nodes, opcode, node, request[40:])
        error, body = (0, result) if isinstance(result, bytes) else (-result, b"")
        try:
            os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except OSError:
            pass  # the one who asked was interrupted


def main(state, source, directory):
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(directory), b"fuse", 0, data) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with open(f"{state}/pid", "w") as file:
        file.write(str(os.getpid()))
    serve(fd, state)


if __name__ == "__main__":
    main(*sys.argv[1:4])
