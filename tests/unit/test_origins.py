"""Whose word is taken for where a request comes from, and which pages may use the API."""

import pytest

from chassis.addresses import networks_of, origins_of
from chassis.http.proxies import Proxies


def asked(peer, forwarded="", proto=""):
    return {
        "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": forwarded,
        "HTTP_X_FORWARDED_PROTO": proto,
    }


def test_the_word_of_somebody_who_is_no_proxy_is_ignored():
    environ = asked("203.0.113.9", "198.51.100.1", "https")
    for proxies in (Proxies(), Proxies(networks_of("10.0.0.0/8"))):
        assert proxies.client_of(environ) == "203.0.113.9"
        assert not proxies.is_encrypted(environ)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1, 10.0.0.9", "198.51.100.1"),
        ("10.0.0.8,10.0.0.9", "10.0.0.8"),
        ("", "10.0.0.7"),
        ("what?", "what?"),
    ],
)
def test_the_client_is_the_last_whom_no_proxy_of_ours_is(forwarded, client):
    proxies = Proxies(networks_of("10.0.0.0/8, ::1"))
    assert proxies.client_of(asked("10.0.0.7", forwarded)) == client
    assert proxies.is_encrypted(asked("10.0.0.7", proto="https"))
    assert not proxies.is_encrypted(asked("10.0.0.7", proto="http"))


@pytest.mark.parametrize("text", ["10.0.0.300", "10.0.0.1/8", "proxy"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r"network|address|host bits"):
        networks_of(text)


@pytest.mark.parametrize(
    "text", ["*", "pages.example.org", "https://a.example/", "ftp://a.example"]
)
def test_what_is_no_origin_is_refused(text):
    with pytest.raises(ValueError, match="is not an origin"):
        origins_of(text)
