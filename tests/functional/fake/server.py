"""Listens, and plays one script for each connection that comes."""

import os
import socket
import threading

from . import steps
from .connection import Connection, Gone, Unexpected


class FakeServer:
    """`where`: an address, "localhost 127.0.0.1" (a name that has other
    addresses too), "unix", "closed" (nobody listens), or "full" (the queue
    is full, SYNs are dropped). After `stop()`: `connections` in order,
    `errors` as text."""

    def __init__(self, scripts, settings, where="127.0.0.1", directory=None,
                 seconds=10, read_size=65536, receive_buffer=0, port=0):
        self.scripts = scripts
        self.settings = settings
        self.seconds = seconds
        self.read_size = read_size
        self.connections = []
        self.errors = []
        self.workers = []
        self.fillers = []
        self.stopping = False
        self.path = None
        self.port = port
        words = where.split()
        self.host = words[0] if words[0] not in ("closed", "full") \
            else "127.0.0.1"
        self.listener = self._listen(words[-1], directory, receive_buffer)
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        if words[0] == "full":
            self._fill_queue()
        elif words[0] == "closed":
            self.listener.close()
        else:
            self.acceptor.start()

    def _listen(self, address, directory, receive_buffer):
        if address == "unix":
            self.path = os.path.join(directory, "smtp.sock")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.path)
            self.host = self.path
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family)
            if receive_buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                    receive_buffer)
            if self.port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address if "." in address or ":" in address
                           else "127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
        listener.listen(0 if address == "full" else 16)
        return listener

    def _fill_queue(self):
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.stopping:
                sock.close()
                return
            number = len(self.connections)
            connection = Connection(sock, self.seconds, self.read_size,
                                    self.settings.get("boundary"))
            self.connections.append(connection)
            if number >= len(self.scripts):
                self.errors.append(f"connection {number + 1} was not expected")
                connection.reset()
                continue
            worker = threading.Thread(
                target=self._play, args=(connection, self.scripts[number]),
                daemon=True)
            self.workers.append(worker)
            worker.start()

    def _play(self, connection, script):
        try:
            steps.play(connection, script, self.settings)
        except Gone:
            pass
        except Unexpected as error:
            self.errors.append(str(error))
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(f"the server failed: {error!r}")
        finally:
            if not connection.closed:
                connection.close()

    def stop(self):
        """Ends everything; nothing that was still queued is served."""
        self.stopping = True
        for connection in self.connections:
            connection.stopping = True
        if self.acceptor.is_alive():
            # shutdown() wakes the accept() of the other thread.
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.acceptor.join(5)
        self.listener.close()
        for filler in self.fillers:
            filler.close()
        for worker in self.workers:
            worker.join(self.seconds)
            if worker.is_alive():
                self.errors.append("a script did not end")
