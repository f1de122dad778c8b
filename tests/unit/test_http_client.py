"""What is spoken to outside: public addresses only, however they are written or wrapped."""

import pytest

from chassis.http import client
from chassis.http.client import Answer, Forbidden, HttpClient, Place, judge, meant

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "::1", "fd00::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "2002:7f00:1::", "2002:a00:1::1",
    "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::c0a8:101", "::127.0.0.1",
]  # fmt: skip
NOWHERE = [
    "0.0.0.0", "::", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1",
    "255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::",
    "::ffff:0.0.0.0",
]  # fmt: skip
ODD = ["100.64.0.1", "240.0.0.1", "fec0::1", "4000::1", "1::1", "localhost", ""]
PUBLIC = [
    "93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
    "2002:101:101::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE + NOWHERE + ODD)
def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(Forbidden):
        judge(address, private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_spoken_to(address):
    judge(address, private=False)


@pytest.mark.parametrize("address", INSIDE)
def test_one_inside_is_spoken_to_where_that_is_allowed(address):
    judge(address, private=True)


@pytest.mark.parametrize("address", NOWHERE)
def test_one_of_a_link_or_of_many_is_never_spoken_to(address):
    with pytest.raises(Forbidden):
        judge(address, private=True)


def test_an_address_within_an_address_is_what_is_meant():
    wrapped = ["::ffff:1.2.3.4", "2002:102:304::", "64:ff9b::102:304", "::1.2.3.4"]
    assert {str(meant(address)) for address in wrapped} == {"1.2.3.4"}
    assert str(meant("2001:0:4136:e378:8000:63bf:3fff:fdd2")) == "192.0.2.45"  # RFC 4380


@pytest.mark.parametrize(
    "url",
    [
        "http://tax.example/", "ftp://tax.example/", "https://", "https:///x", "tax.example",
        "https://user:secret@tax.example/", "https://tax.example/#part", "https://tax.example:0/",
        "https://tax.example:99999/", "https://tax.example/\n", "https://tax.example/a b",
        "https://tax.example\\@evil.example/", "https://稅務.example/", "https://[::1/", "",
        "https://tax.example/" + "x" * 2000, "https://tax_%41.example/",
    ],
)  # fmt: skip
def test_a_url_that_may_mislead_is_refused(url):
    with pytest.raises(Forbidden):
        Place.parse(url, private=False)


def test_a_url_is_read_as_it_is_spoken_to():
    place = Place.parse("https://Tax.Example:8443/events?a=1", private=False)
    assert (place.host, place.port, place.target) == ("tax.example", 8443, "/events?a=1")
    assert place.named == "tax.example:8443"
    assert Place.parse("https://[2606:4700::1111]", private=False).named == "[2606:4700::1111]"


@pytest.fixture
def names(monkeypatch):
    """What names mean from now on: each look-up takes the next of a name's meanings."""
    meanings = {}
    monkeypatch.setattr(client, "addresses_of", lambda host, _port: meanings[host].pop(0))
    return meanings


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "127.1"])
def test_a_number_that_is_an_address_is_judged_as_what_it_means(host):
    with pytest.raises(Forbidden, match=r"not a public address|cannot be found"):
        HttpClient().check(f"https://{host}/")


def test_every_address_of_a_name_is_judged(names):
    names["tax.example"] = [["1.1.1.1"], ["1.1.1.1", "10.0.0.1"], []]
    HttpClient().check("https://tax.example/")
    with pytest.raises(Forbidden, match=r"leads to 10\.0\.0\.1"):
        HttpClient().check("https://tax.example/")
    with pytest.raises(Forbidden, match="cannot be found"):
        HttpClient().check("https://tax.example/")


def test_an_address_that_has_come_to_be_inside_is_not_posted_to(names):
    names["tax.example"] = [["1.1.1.1"], ["127.0.0.1"]]
    HttpClient().check("https://tax.example/")
    answer = HttpClient().post("https://tax.example/", b"{}", {})
    words = "The URL leads to 127.0.0.1, which is not a public address."
    assert answer == Answer(error=words)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120), (" 7 ", 7), ("0", 0), ("9" * 400, float("inf")),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00", 0),
        ("", None), ("-5", None), ("1.5", None), ("nan", None), ("inf", None), ("1e9", None),
        ("٣٠", None), ("²", None), ("soon", None), ("3600, 3600", None), ("\x00", None),
        ("Wed, 21 Oct 20150000000 07:28:00 GMT", None), ("Wed, 21 Oct 2015 99:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999", None), ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct " + "9" * 5000 + " 07:28:00 GMT", None), (", , , ,", None),
    ],
)  # fmt: skip
def test_a_pause_that_is_asked_for_is_read_or_is_none(said, seconds):
    assert client._seconds(said) == seconds
