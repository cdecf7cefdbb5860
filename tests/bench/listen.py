"""Messages per second through `onehop --listen` and through Exim as the relay
of a container, both into one smtp-sink, with smtp-source as load; started by
tests/bench/run listen.

    listen.py DIRECTORY       where onehop is
"""

import os
import pathlib
import platform
import pwd
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
POSTFIX = TOP / "build/servers/postfix/usr"
EXIM = TOP / "build/servers/exim4-daemon-light/usr/sbin/exim4"
TOOLS = {"LD_LIBRARY_PATH": str(POSTFIX / "lib/postfix")}
OWNER = "mail"
SESSIONS = 50
ROUNDS = 3
# Name, messages, bytes of each, options of smtp-source.
LOADS = [("a connection for each message", 600, 2000, []),
         ("many messages in a connection", 1500, 2000, ["-d"]),
         ("the same, of 100 kB", 300, 100_000, ["-d"])]

# What such containers have: a smarthost, nothing else.  A message goes on as
# soon as it is there, also when a connection brings many.
EXIM_CONFIG = """
exim_path = {exim}
exim_user = {user}
exim_group = {group}
primary_hostname = relay.test
spool_directory = {top}/spool
log_file_path = {top}/log/%slog
pid_file_path = {top}/exim.pid
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
daemon_startup_sleep = 1s
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = check_rcpt
begin acl
check_rcpt:
  accept hosts = 127.0.0.1
begin routers
smarthost:
  driver = manualroute
  route_list = * 127.0.0.1::{sink}
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  hosts_try_fastopen =
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("it takes too long")
        time.sleep(0.002)


def greets(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Sink:
    """Postfix's, which counts what it has taken."""

    def __init__(self, directory):
        self.port = free_port()
        self.path = directory / "sink.out"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                [POSTFIX / "sbin/smtp-sink", "-u", OWNER, "-c",
                 f"127.0.0.1:{self.port}", "1000"], stdout=out, env=TOOLS)
        wait_for(lambda: greets(self.port))

    def count(self):
        with open(self.path, "rb") as file:
            file.seek(max(0, self.path.stat().st_size - 200))
            found = re.findall(rb"mesg=(\d+)", file.read())
        return int(found[-1]) if found else 0


class Onehop:
    name = "onehop"

    def __init__(self, program, directory, sink):
        self.port = free_port()
        config = directory / "onehop.conf"
        config.touch(0o600)
        config.write_text(f"host 127.0.0.1\nport {sink.port}\ntls none\n"
                          f"logfile {directory}/onehop.log\n"
                          "listen_connections 200\nlisten_per_client 200\n"
                          "listen_messages 100000\n", "ascii")
        self.process = subprocess.Popen(
            [program, "-C", config, f"--listen=127.0.0.1:{self.port}"],
            stderr=subprocess.DEVNULL)
        wait_for(lambda: greets(self.port))


class Exim:
    """'runs' is how and how often the daemon looks through its queue."""

    name = "Exim"

    def __init__(self, directory, sink, runs="-q10s"):
        self.port = free_port()
        owner = pwd.getpwnam(OWNER)
        program = directory / "exim"
        shutil.copy(EXIM, program)
        for name in ("spool", "log"):
            (directory / name).mkdir()
            os.chown(directory / name, owner.pw_uid, owner.pw_gid)
        config = directory / "exim.conf"
        config.write_text(EXIM_CONFIG.format(
            exim=program, user=owner.pw_uid, group=owner.pw_gid,
            top=directory, port=self.port, sink=sink.port), "ascii")
        self.argv = [program, "-C", config, "-bdf", runs]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        wait_for(lambda: greets(self.port))


def measure(relay, sink, count, size, options):
    """Messages per second: answered, and at the sink."""
    before = sink.count()
    start = time.monotonic()
    subprocess.run(
        [POSTFIX / "sbin/smtp-source", *options, "-s", str(SESSIONS), "-m",
         str(count), "-l", str(size), "-f", "a@example.org", "-t",
         "b@example.net", f"127.0.0.1:{relay.port}"], check=True, env=TOOLS)
    answered = time.monotonic() - start
    wait_for(lambda: sink.count() >= before + count)
    return count / answered, count / (time.monotonic() - start)


def main(build):
    with tempfile.TemporaryDirectory(dir=build, prefix="listen-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        sink = Sink(directory)
        relays = [Onehop(pathlib.Path(build) / "onehop", directory, sink),
                  Exim(directory, sink)]
        try:
            print(f"{platform.machine()}, {os.cpu_count()} processors, load "
                  f"{os.getloadavg()[0]:.1f}, {SESSIONS} sessions, medians of "
                  f"{ROUNDS}\nmessages per second{'onehop':>25}{'Exim':>9}"
                  f"{'ratio':>8}")
            for words, count, size, options in LOADS:
                rates = {relay.name: [] for relay in relays}
                for _ in range(ROUNDS):
                    for relay in relays:
                        rates[relay.name].append(
                            measure(relay, sink, count, size, options))
                print(words)
                for which, what in enumerate(("answered", "at the sink")):
                    ours, theirs = (
                        statistics.median(r[which] for r in rates[n.name])
                        for n in relays)
                    print(f"  {what:<32}{ours:10.0f}{theirs:9.0f}"
                          f"{ours / theirs:8.2f}")
        finally:
            for process in [*relays, sink]:
                process.process.terminate()
                process.process.wait()


if __name__ == "__main__":
    main(sys.argv[1])
