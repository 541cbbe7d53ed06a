"""A TCP proxy in front of PostgreSQL, for tests of network partitions."""

import ctypes
import errno
import socket
import struct
import threading
from pathlib import Path

# A socket filter that drops every segment, its acknowledgments included. Source: linux/filter.h, asm-generic/socket.h.
DROP_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27


class Proxy:
    """Forwards from a port of 127.0.0.1 to PostgreSQL's Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.target = str(folder / ".s.PGSQL.5432")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def block(self) -> None:
        """Drop every segment from the clients: their connections do not work and do not end."""
        code = ctypes.create_string_buffer(DROP_ALL)
        program = struct.pack("@HP", 1, ctypes.addressof(code))
        self._set(SO_ATTACH_FILTER, program)

    def unblock(self) -> None:
        self._set(SO_DETACH_FILTER, struct.pack("@I", 0))

    def _set(self, option: int, value: bytes) -> None:
        for sock in self._sockets():
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, value)
            except OSError as error:
                if error.errno != errno.EBADF:  # a thread has just closed it
                    raise

    def close(self) -> None:
        for sock in self._sockets():
            sock.close()

    def _sockets(self) -> list[socket.socket]:
        return [self.listener, *(client for client in self.clients if client.fileno() != -1)]

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self.listener.accept()
            except OSError:  # `close`
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            self.clients.append(client)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:  # one end is closed: close the other end too
            pass
        source.close()
        target.close()
