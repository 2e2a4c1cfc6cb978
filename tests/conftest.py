"""What holds for every test: no display, no network, and the same random numbers."""

import os
import random
import socket
import sys

import pytest

os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Refuse connections to other machines."""
    connect = socket.socket.connect

    def connect_here(self, address):
        elsewhere = self.family in (socket.AF_INET, socket.AF_INET6)
        if elsewhere and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests use no network: {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


@pytest.fixture(autouse=True)
def _same_random_numbers():
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
