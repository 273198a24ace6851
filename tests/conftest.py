"""Fixtures: `server` is shared by the tests of a file, `fresh_server` is one test's own, `account` is new each time."""

import contextlib
import shutil

import pytest

from harness import server as harness_server


def pytest_collection_modifyitems(items):
    if not harness_server.binary().exists():
        pytest.exit(f"no server to test at {harness_server.binary()}: make build, or set MANSIO_BIN", returncode=4)
    if harness_server.is_sanitized():
        for item in items:
            if item.get_closest_marker("plain"):
                item.add_marker(pytest.mark.skip(reason="needs the binary as users run it"))


def pytest_configure(config):
    config.figures = []


def pytest_terminal_summary(terminalreporter):
    for line in terminalreporter.config.figures:
        terminalreporter.write_line(line)


@pytest.fixture
def figure(request):
    """figure("cycles=200 lost=0"): a line that stands at the end of the run, whether the test fails or not."""
    return lambda text: request.config.figures.append(f"{request.node.nodeid.partition('::')[0]}: {text}")


@pytest.fixture(scope="module")
def server(request):
    """A running server with the domain example.test; a file may set SETTINGS for it."""
    one = harness_server.Server(getattr(request.module, "SETTINGS", None))
    try:
        one.start()
        one.add_domain()
        yield one
    finally:
        one.close()


@pytest.fixture
def fresh_server():
    """Makes running servers with settings of the test's own: fresh_server({"smtp": {...}}). Stopped at its end."""
    with contextlib.ExitStack() as made:
        def make(settings=None, **options):
            one = harness_server.Server(settings, **options)
            made.callback(one.close)
            one.start()
            one.add_domain()
            return one

        yield make


@pytest.fixture
def account(server):
    return server.add_account()


@pytest.fixture(scope="module")
def template(request, tmp_path_factory):
    """A store that is made once for a file, by its class Template; `folder` is where it lies."""
    root = tmp_path_factory.mktemp("template")
    yield request.module.Template(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def stopped(request, template):
    """A server that does not run, over a copy of the template."""
    with harness_server.Server.over_copy(template.folder, request.module.SETTINGS) as server:
        yield server


@pytest.fixture
def forgetful(fresh_server):
    """Expunged mail is forgotten at once, files of bodies are small, so that there is something to compact; one shard."""
    return fresh_server({"server": {"shards": 1}, "store": {"undelete_window": "0ms", "segment_size": "1MB"}})
