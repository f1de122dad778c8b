"""What a service listens to: functions of its modules, methods of its objects, in one order."""

from types import ModuleType

from chassis.messaging.bus import ANY
from chassis.messaging.receipts import name_of
from chassis.service import Service, bindings_of, handlers_of, on
from contracts.complaints.commands import AcceptComplaint
from contracts.filing.events import EnterpriseReopened, FilingWithdrawn
from contracts.shared import CommandSettled, Resend


def module(name, *functions):
    made = ModuleType(name)
    for function in functions:
        function.__module__ = getattr(function, "imported_from", name)
        setattr(made, function.__name__, function)
    return made


def handler(name, *kinds):
    def handle(event, uow):
        """Do nothing."""

    handle.__name__ = name
    return on(*kinds)(handle)


class Counts:
    """An object with a handler."""

    @on(EnterpriseReopened)
    def count(self, event, uow):
        pass


def service(*sources):
    return type("Some", (Service,), {"name": "some", "handlers": sources})


def names(kind, *sources):
    return [name_of(each) for each in handlers_of(service(*sources)())[kind.type]]


def test_handlers_are_called_in_the_order_in_which_they_are_listed_and_written():
    first = module("first", handler("z", EnterpriseReopened), handler("a", EnterpriseReopened))
    second = module("second", handler("b", FilingWithdrawn, EnterpriseReopened))
    assert names(EnterpriseReopened, first, Counts(), second) == ["z", "a", "count", "b"]
    assert names(EnterpriseReopened, second, first) == ["b", "z", "a"]
    assert names(FilingWithdrawn, first, second) == ["b"]


def test_every_service_can_be_asked_to_send_again():
    assert names(Resend) == ["resend"]


def test_a_handler_that_another_module_imports_is_called_once():
    theirs = handler("theirs", EnterpriseReopened)
    theirs.imported_from = "first"
    first, second = module("first", theirs), module("second", theirs)
    assert names(EnterpriseReopened, first, second) == ["theirs"]


def test_an_unmarked_function_is_no_handler():
    def helper(uow):
        """Do nothing."""

    assert handlers_of(service(module("first", helper))()).keys() == {Resend.type}


def test_a_service_is_bound_to_its_own_commands_and_to_the_events_of_those_who_publish_them():
    some = service(
        module("first", handler("h", AcceptComplaint, EnterpriseReopened, CommandSettled))
    )
    assert bindings_of(some) == {
        ("some.commands", Resend.type),
        ("some.commands", AcceptComplaint.type),
        ("filing.events", EnterpriseReopened.type),
        (ANY, CommandSettled.type),
    }
