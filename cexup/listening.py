"""The end of a listener: who has connected is served, and who has not waits until nobody listens any more."""

import ctypes
import socket
import struct
import sys

# A filter as the kernel reads it: code, steps if so, steps if not, operand. Source: linux/filter.h and bpf_common.h.
NOBODY_NEW = (
    (0x30, 0, 0, 13),  # take the flags of the segment: byte 13 of a TCP header (RFC 9293);
    (0x45, 0, 1, 0x02),  # is SYN among them,
    (0x06, 0, 0, 0),  # drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep the whole of it
)
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it


def let_nobody_connect(listener: socket.socket) -> None:
    """Have the kernel drop what begins a connection to this TCP listener; one that has begun is completed.

    That is so for every process that listens with it, from then on.

    Closed under load a listener resets whoever connects between the last look at its queue and its closing. Whoever is
    not heard asks again a second later, as with any packet that is lost, and is refused then, or finds a new server.
    Without effect on a Unix socket, and where there is no Linux.

    Raises:
        OSError: the kernel takes no filter.
    """
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in NOBODY_NEW))
    program = struct.pack("@HP", len(NOBODY_NEW), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
