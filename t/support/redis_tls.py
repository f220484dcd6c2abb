"""A real Redis with TLS for tests."""

import subprocess

import pytest
from support.outside import find_program
from support.program import free_port


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """The paths of a certificate for 127.0.0.1 and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "c.pem", folder / "k.pem"
    command = [find_program("openssl", "openssl"), "req", "-x509", "-nodes", "-days", "2"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def make_tls(make_redis, certificate):
    """`server = make_tls(option=value)` starts a Redis with TLS on `server.tls_port`."""
    cert, key = certificate

    def make(**options):
        port = free_port()
        files = {"tls_cert_file": cert, "tls_key_file": key, "tls_ca_cert_file": cert}
        server = make_redis(tls_port=port, **(files | options))
        server.tls_port, server.files = port, files
        return server

    return make
