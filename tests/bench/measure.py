"""The benchmark's measurements and its table; started by tests/bench/run.

    measure.py DIRECTORY      where onehop, launch and sink are
"""

import itertools
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

BULK = 100_000_000
HUGE = 1_000_000_000
USER, PASSWORD = "bench", "a password of the benchmark"
SENDER = "sender@example.org"
SMALL = f"""From: {SENDER}
To: r1@example.net
Subject: a small message
Date: Sat, 1 Jan 2022 00:00:00 +0000
Message-ID: <1@example.org>

Hello.
"""
BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")

CERTIFICATES = """set -e; cd "$1"
umask 077
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@"; }
printf '%s\\n' subjectAltName=DNS:localhost,IP:127.0.0.1 \\
    basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \\
    extendedKeyUsage=serverAuth subjectKeyIdentifier=hash \\
    authorityKeyIdentifier=keyid >extensions
new -x509 -days 30 -keyout ca.key -out ca.pem -subj '/CN=Benchmark CA' \\
    -addext basicConstraints=critical,CA:TRUE \\
    -addext keyUsage=critical,keyCertSign
new -keyout server.key -out server.csr -subj /CN=localhost
openssl x509 -req -in server.csr -days 30 -CA ca.pem -CAkey ca.key \\
    -CAcreateserial -extfile extensions -out server.pem
"""


class Run:
    """What one process took: milliseconds and KiB."""

    def __init__(self, line):
        wall, user, system, self.memory, self.status = map(int, line.split())
        self.wall = wall / 1000
        self.cpu = (user + system) / 1000


class Sink:
    """A server; 'words' are what it offers."""

    def __init__(self, place, *words):
        self.words = words
        self.path = place.directory / ("sink-" + "-".join(words))
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                [place.directory / "sink", place.directory / "server.pem",
                 place.directory / "server.key", *words], stdout=out)
        self.file = open(self.path, encoding="ascii")
        self.port = int(self.line())

    def line(self):
        """The next line of its output."""
        text = ""
        while not text.endswith("\n"):
            text += self.file.readline()
            if not text.endswith("\n"):
                if self.process.poll() is not None:
                    sys.exit("the sink has ended")
                time.sleep(0.001)
        return text

    def reports(self, count):
        """(turns, bytes, messages, recipients) of the next connections."""
        return [tuple(map(int, self.line().split())) for _ in range(count)]

    def stop(self):
        """Its end."""
        self.process.kill()
        self.process.wait()
        self.file.close()


class Place:
    """The directory with everything, and the commands to be measured."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.small = self.directory / "small"
        self.small.write_text(SMALL, "ascii")
        self.bulk = self.directory / "bulk"
        self.bundle = self.directory / "bundle.pem"
        subprocess.run(["sh", "-c", CERTIFICATES, "sh", directory],
                       check=True, stderr=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
        self.bundle.write_bytes(
            BUNDLE.read_bytes() + (self.directory / "ca.pem").read_bytes())
        self.launch(["cat"], "-p", BULK, "-o", self.bulk)

    def launch(self, command, *how):
        """Runs it; a Run for each time, and the seconds of all."""
        done = subprocess.run(
            [self.directory / "launch", *map(str, how), *command],
            stdout=subprocess.PIPE, check=True, text=True)
        lines = done.stdout.splitlines()
        runs = [Run(line) for line in lines[:-1]]
        if any(run.status for run in runs):
            sys.exit(f"{command[0]} failed:\n{done.stdout}")
        return runs, int(lines[-1]) / 1e6

    def config(self, program, sink):
        """A configuration file that both programs understand."""
        path = self.directory / f"{program}-{sink.port}.conf"
        starttls = "on" if "starttls" in sink.words else "off"
        tls = {"msmtp": f"tls on\ntls_starttls {starttls}",
               "onehop": "tls " + ("starttls" if starttls == "on"
                                   else "implicit")}[program]
        path.touch(0o600)
        path.write_text(
            f"account default\nhost 127.0.0.1\nport {sink.port}\n{tls}\n"
            f"tls_trust_file {self.bundle}\nauth plain\nuser {USER}\n"
            f"password \"{PASSWORD}\"\nfrom {SENDER}\n"
            "domain client.example.org\n", "ascii")
        return path

    def command(self, program, sink, recipients=1):
        """How a message is sent with it."""
        to = [f"r{n}@example.net" for n in range(1, recipients + 1)]
        if program == "onehop":
            return [self.directory / "onehop", "-C",
                    self.config(program, sink), *to]
        if program == "msmtp":
            return ["msmtp", "-C", self.config(program, sink), *to]
        return ["curl", "-s", "--crlf", "--cacert", self.bundle,
                "--user", f"{USER}:{PASSWORD}", "--mail-from", SENDER,
                *itertools.chain(*(("--mail-rcpt", r) for r in to)),
                f"smtps://127.0.0.1:{sink.port}", "-T"]


class Table:
    """Rows with medians and ranges."""

    HEAD = ("", "onehop", "msmtp", "curl", "ratio", "target", "met")

    def __init__(self):
        self.rows = []

    @staticmethod
    def spread(values):
        """Median and range."""
        if not values:
            return ""
        digits = 0 if min(values) >= 100 else 1 if min(values) >= 10 else 2
        return (f"{statistics.median(values):.{digits}f} "
                f"({min(values):.{digits}f}-{max(values):.{digits}f})")

    def add(self, what, onehop, msmtp=(), curl=(), most=None, least=None,
            against="msmtp"):
        """Compares medians; 'most' or 'least' is the ratio wanted."""
        ratio, target, met = "", "", ""
        other = {"msmtp": msmtp, "curl": curl}[against]
        if other:
            value = statistics.median(onehop) / statistics.median(other)
            ratio = f"{value:.2f} {against}"
        if most is not None:
            target = f"<= {most:.2f}"
            met = "yes" if value <= most else "NO"
        if least is not None:
            target = f">= {least:.1f}"
            met = "yes" if value >= least else "NO"
        self.rows.append((what, self.spread(onehop), self.spread(msmtp),
                          self.spread(curl), ratio, target, met))

    def add_limit(self, what, value, limit, other=""):
        """A number that has a limit of its own."""
        self.rows.append((what, f"{value:g}", str(other), "", "",
                          f"<= {limit:g}", "yes" if value <= limit else "NO"))

    def show(self):
        """Everything, in columns."""
        rows = [self.HEAD, *self.rows]
        width = [max(len(row[i]) for row in rows)
                 for i in range(len(self.HEAD))]
        for row in rows:
            print("  ".join(cell.ljust(w) for cell, w in
                            zip(row, width)).rstrip())


def alternate(place, commands, rounds, *how):
    """The same load on all alike: one after the other, again and again."""
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name] += place.launch(command, *how)[0]
    return runs


def measure_small(place, sink, table):
    """One message."""
    commands = {p: place.command(p, sink) for p in ("onehop", "msmtp")}
    runs = alternate(place, commands, 20, "-i", place.small)
    onehop, msmtp = runs["onehop"], runs["msmtp"]
    table.add("small message, CPU ms", [r.cpu for r in onehop],
              [r.cpu for r in msmtp], most=0.30)
    table.add("small message, wall ms", [r.wall for r in onehop],
              [r.wall for r in msmtp], most=0.12)
    table.add_limit("small message, peak MB",
                    max(r.memory for r in onehop) / 1000, 8,
                    f"{max(r.memory for r in msmtp) / 1000:g}")


def measure_bulk(place, sink, table):
    """100 MB, from a file and from a pipe."""
    for source, how in (("file", ("-i", place.bulk)),
                        ("pipe", ("-p", BULK))):
        curl = place.command("curl", sink) + [
            place.bulk if source == "file" else "-"]
        commands = {"onehop": place.command("onehop", sink), "curl": curl}
        runs = alternate(place, commands, 7, *how)
        runs["msmtp"] = place.launch(place.command("msmtp", sink), *how,
                                     "-n", 2)[0]
        rate = {name: [BULK / 1000 / r.wall for r in runs[name]]
                for name in runs}
        what = f"100 MB from a {source}"
        table.add(f"{what}, MB/s", rate["onehop"], rate["msmtp"],
                  rate["curl"], least=15)
        table.add("", rate["onehop"], curl=rate["curl"], least=1.3,
                  against="curl")
        table.add(f"{what}, CPU ms", *([r.cpu for r in runs[name]]
                                       for name in ("onehop", "msmtp",
                                                    "curl")))
    runs, _ = place.launch(place.command("onehop", sink), "-p", HUGE)
    table.add_limit("1 GB from a pipe, peak MB", runs[0].memory / 1000, 8)


def libraries(program):
    """Shared objects that the dynamic linker loads."""
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True,
                         check=True).stdout
    return sum("/" in line for line in out.splitlines())


def measure_start(place, table):
    """Doing nothing."""
    onehop = place.directory / "onehop"
    commands = {"onehop": [onehop, "--version"],
                "msmtp": ["msmtp", "--version"]}
    runs = alternate(place, commands, 40)
    table.add("--version, wall ms", [r.wall for r in runs["onehop"]],
              [r.wall for r in runs["msmtp"]], most=0.55)
    table.add_limit("shared libraries", libraries(onehop), 12,
                    libraries("/usr/bin/msmtp"))


def measure_many(place, sink, table):
    """Recipients and messages by the thousand."""
    for count in (1000, 10000):
        runs = alternate(place, {p: place.command(p, sink, count)
                                 for p in ("onehop", "msmtp")}, 2,
                         "-i", place.small)
        table.add(f"{count} recipients, wall ms",
                  *([r.wall for r in runs[p]] for p in ("onehop", "msmtp")))
    for jobs, counts in ((1, ((250, 25), (1000, 60))),
                         (50, ((250, 100), (1000, 200)))):
        for ours, theirs in counts:
            rates = []
            for program, count in (("onehop", ours), ("msmtp", theirs)):
                runs, seconds = place.launch(
                    place.command(program, sink), "-i", place.small,
                    "-n", count, "-j", jobs)
                rates.append([len(runs) / seconds])
            table.add(f"{ours} messages, {jobs} at once, 1/s", *rates)


def expected_turns(words):
    """What the dialogue needs at least; None where it depends."""
    if "pipelining" not in words:
        return None
    return 5 - ("chunking" in words) + 2 * ("starttls" in words)


def turns_of(place, program, sink):
    """For 1, 3 and 100 recipients."""
    result = []
    for count in (1, 3, 100):
        place.launch(place.command(program, sink, count), "-i", place.small)
        result.append(sink.reports(1)[0][0])
    return result


def measure_turns(place):
    """Round trips of the dialogue, the TLS handshake not counted."""
    print(f"\n{'turns for 1, 3, 100 recipients':34}{'onehop':14}"
          f"{'msmtp':14}{'target':8}met")
    for starttls, pipelining, chunking in itertools.product(
            ((), ("starttls",)), (("pipelining", "settle"), ()),
            (("chunking",), ())):
        words = starttls + pipelining + chunking
        sink = Sink(place, *words)
        onehop, msmtp = (turns_of(place, program, sink)
                         for program in ("onehop", "msmtp"))
        sink.stop()
        wanted = expected_turns(words)
        shown = " ".join(w for w in words if w != "settle")
        met = "" if wanted is None else \
            "yes" if set(onehop) == {wanted} else "NO"
        print(f"{('' if starttls else 'implicit ') + shown:34}"
              f"{' '.join(map(str, onehop)):14}"
              f"{' '.join(map(str, msmtp)):14}{wanted or '-':<8}{met}")


def main():
    """All of it."""
    place = Place(sys.argv[1])
    table = Table()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, "
          f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
          "median (range)\n", flush=True)
    sink = Sink(place, "pipelining", "chunking")
    measure_small(place, sink, table)
    measure_bulk(place, sink, table)
    measure_start(place, table)
    measure_many(place, sink, table)
    sink.stop()
    table.show()
    measure_turns(place)


if __name__ == "__main__":
    main()
