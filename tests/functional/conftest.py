"""Fixtures: the program, our certificates, and the real servers.

Servers are started once for all tests, on first use; a test keeps to
itself by addressing its messages to a recipient of its own ('unique').
"""

import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lib.dovecot import Dovecot             # noqa: E402
from lib.exim import Exim                   # noqa: E402
from lib.node_smtp import SmtpServer        # noqa: E402
from lib.onehop import Onehop, look_for_leaks            # noqa: E402
from lib.pki import Pki                     # noqa: E402
from lib.postfix import Postfix             # noqa: E402
from lib.python_smtp import Aiosmtpd        # noqa: E402
from lib.sink import Sink                   # noqa: E402


def pytest_configure(config):
    """What aiosmtpd says about itself is no concern of ours."""
    config.addinivalue_line("filterwarnings", "ignore::UserWarning:aiosmtpd")
    config.addinivalue_line("filterwarnings",
                            "ignore::DeprecationWarning:aiosmtpd")
    config.addinivalue_line("markers", "every_leak: look for leaks in each "
                            "test of the function")
    # A shell's background job ignores it, and so would the program.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def leaks(request):
    """Leaks are looked for in the first test of each function, as the others
    go the same ways with other values.  ONEHOP_THOROUGH=1 looks always."""
    call = getattr(request.node, "callspec", None)
    look_for_leaks(bool(
        os.environ.get("ONEHOP_THOROUGH") or call is None
        or request.node.get_closest_marker("every_leak")
        or not any(call.indices.values())))


@pytest.fixture
def onehop(tmp_path):
    """The program, with the test's own directory for its files."""
    return Onehop(tmp_path)


@pytest.fixture
def unique():
    """A word that no other test uses, good for a local part."""
    return "u" + uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def area():
    """A directory that every user may enter: servers drop privileges."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="onehop-servers-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def pki(area):
    """Our certification authority."""
    return Pki(area / "pki")


@pytest.fixture(scope="session")
def onward():
    """Where Postfix and Dovecot hand on what is not for them."""
    with Sink() as sink:
        yield sink


def needs_root():
    """Skips where a server cannot change its user."""
    if os.geteuid() != 0:
        pytest.skip("this server must be started by root")


@pytest.fixture(scope="session")
def dovecot(pki, area, onward):
    """Submission and LMTP."""
    needs_root()
    with Dovecot(pki, area / "dovecot", onward) as server:
        yield server


@pytest.fixture(scope="session")
def postfix(pki, area, dovecot, onward):
    """With SASL by Dovecot."""
    with Postfix(pki, area / "postfix", dovecot.sasl,
                 onward.port) as server:
        yield server


@pytest.fixture(scope="session")
def exim(pki, area):
    """The one with GnuTLS."""
    needs_root()
    with Exim(pki, area / "exim") as server:
        yield server


@pytest.fixture(scope="session")
def aiosmtpd(pki, area):
    """Python's."""
    with Aiosmtpd(pki, area / "aiosmtpd") as server:
        yield server


@pytest.fixture(scope="session")
def smtp_server(pki, area):
    """Node's."""
    with SmtpServer(pki, area / "smtp-server") as server:
        yield server


# What starts a real server.
SERVERS = {"dovecot", "binding_dovecot", "postfix", "exim", "aiosmtpd",
           "smtp_server"}
# What waits longest begins first.
LONGEST = ["test_load", "test_daemons", "test_torture"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Side by side, tests of the real servers stay in one process, so that
    each server is started once.  First, as pytest-xdist reads the groups in
    this hook, too."""
    for item in items:
        if SERVERS & {*item.fixturenames, *re.findall(r"\w+", item.name)}:
            item.add_marker(pytest.mark.xdist_group("servers"))
    items.sort(key=lambda item: item.path.stem not in LONGEST)
