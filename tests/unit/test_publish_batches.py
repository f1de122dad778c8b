"""What a relay sends goes out in publish batches: what could be returned holds back what follows
it."""

from types import SimpleNamespace as Having

import pytest

from chassis.rabbitmq.publisher import publish_batches, unbroken


def event(name):
    """Make an event, whose key is its first letter."""
    return Having(id=name, is_command=False, envelope=Having(partitionkey=name[0]))


def command(name):
    return Having(id=name, is_command=True, envelope=Having(partitionkey=name[0]))


def names(parted):
    return [[message.id for message in publish_batch] for publish_batch in parted]


def test_events_go_together_in_their_order():
    assert names(publish_batches([event("a1"), event("b1"), event("a2"), event("a3")])) == [
        ["a1", "b1", "a2", "a3"]
    ]


def test_what_follows_a_command_in_its_key_waits():
    sent = [event("a1"), command("a2"), event("b1"), event("a3"), command("a4"), event("a5")]
    assert names(publish_batches(sent)) == [["a1", "a2", "b1"], ["a3", "a4"], ["a5"]]


def test_what_is_returnable_goes_one_of_a_key_at_a_time():
    sent = [event("a1"), event("b1"), event("a2"), event("a3")]
    assert names(publish_batches(sent, returnable=True)) == [["a1", "b1"], ["a2"], ["a3"]]


@pytest.mark.parametrize(
    ("confirmed", "safe"),
    [
        ({"a1", "a2", "b1"}, ["a1", "b1", "a2"]),
        ({"a2", "b1"}, ["b1"]),  # a2 is sent again after a1
        ({"a1", "b1"}, ["a1", "b1"]),
        (set(), []),
    ],
)
def test_a_message_is_safe_only_after_those_of_its_key_before_it(confirmed, safe):
    publish_batch = [event("a1"), event("b1"), event("a2")]
    assert [message.id for message in unbroken(publish_batch, confirmed)] == safe
