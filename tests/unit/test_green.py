"""Green threads that are ended: none is left that waits for something."""

import eventlet

from chassis.runtime import green
from tests import PATIENCE


def waiting(begun, on_its_way_out):
    try:
        begun.send()
        eventlet.event.Event().wait()
    finally:
        on_its_way_out()


def begin(on_its_way_out):
    begun = green.Event()
    thread = green.spawn(waiting, begun, on_its_way_out)
    begun.wait()
    return thread


def test_what_a_thread_still_puts_away_is_waited_for():
    done = []
    threads = [begin(lambda: (green.pause(0.01), done.append(1))) for _ in range(3)]
    green.end(*threads)
    assert done == [1, 1, 1]
    assert all(thread.dead for thread in threads)


def test_one_that_waits_for_ever_on_its_way_out_is_ended_too(monkeypatch):
    monkeypatch.setattr(green, "WAY_OUT", 0.01)
    thread = begin(eventlet.event.Event().wait)
    with eventlet.Timeout(PATIENCE):
        green.end(thread)
    assert thread.dead


def test_one_that_has_ended_or_not_begun_is_no_hindrance():
    over, early = green.spawn(int), green.spawn(int)
    over.wait()
    with eventlet.Timeout(PATIENCE):
        green.end(over, early)
        green.end()
    assert over.dead
    assert early.dead
