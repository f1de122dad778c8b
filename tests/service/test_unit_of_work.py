"""What handlers ask of their unit of work."""

import pytest

from chassis.aggregate import Changed
from chassis.errors import NotFound
from contracts.filing.commands import WithdrawFiling
from contracts.filing.events import FilingSubmitted
from services.filing.model import Enterprise, Filing
from services.filing.service import Filings
from tests.service.sayings import TODAY, register, submit


@pytest.fixture
def filing(given):
    return given(Filings).facts(register())


@pytest.fixture
def uow(filing):
    with filing.store.write() as uow:
        uow.message = filing.message(submit())
        yield uow


def test_what_is_required_is_loaded(uow):
    assert uow.require(Enterprise, "shop").id == "shop"


def test_what_is_required_and_is_not_there_is_named(uow):
    with pytest.raises(NotFound, match=r"^There is no filing 404\.$"):
        uow.require(Filing, "404")


def test_what_is_required_is_as_the_asker_saw_it(uow):
    version = uow.require(Enterprise, "shop").version
    seen = [WithdrawFiling(enterprise_id="shop", filing_id="1", reason="", seen_version=n)
            for n in (version, version + 1)]  # fmt: skip
    assert uow.require(Enterprise, "shop", seen_by=seen[0]).version == version
    with pytest.raises(Changed):
        uow.require(Enterprise, "shop", seen_by=seen[1])


def test_an_event_that_is_recorded_comes_back_and_goes_out(uow):
    withdraw = WithdrawFiling(enterprise_id="shop", filing_id="1", reason="")
    assert uow.record(withdraw) is withdraw
    assert [message.payload for message in uow.outbox] == [withdraw]


def test_a_new_aggregate_comes_back_as_the_event_with_which_it_begins(uow):
    event = uow.add_new(Filing.submitted(submit(), None, TODAY))
    assert isinstance(event, FilingSubmitted)
    assert [message.payload for message in uow.outbox] == [event]


def test_the_state_of_a_batch_is_made_once_and_kept_until_the_end(filing, uow):
    messages = [uow.message]
    filing.service.before_batch(messages, uow)
    state = uow.state
    filing.service.before_batch(messages, uow)
    assert uow.state is state
