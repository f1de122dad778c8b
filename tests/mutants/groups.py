"""What else is changed in small places, beside the models: which files, and which tests notice."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FAILED_IN_TIME, NONE_FAILED, TIMED_OUT = "failed", "none failed", "timed out"
"""How a change may end: a test failed, none did, or they took too long."""


@dataclass(frozen=True)
class Group:
    """Files that are changed, and the tests that must notice: those that run fast first."""

    files: tuple[str, ...]
    tests: tuple[str, ...]

    def sources(self):
        """Return the paths of the files, within the repository."""
        found = [path for name in self.files for path in sorted(REPOSITORY.glob(name))]
        assert found, self.files
        return [path.relative_to(REPOSITORY) for path in found]

    def suite(self):
        """Return the paths of the files with tests."""
        found = [path for name in self.tests for path in sorted(REPOSITORY.glob(name))]
        assert found, self.tests
        return [str(path.relative_to(REPOSITORY)) for path in found]


SERVICE_TESTS = (
    "tests/service/test_failure.py",
    "tests/service/test_reactions.py",
    "tests/service/test_sharing.py",
    "tests/service/test_storage_trouble.py",
    "tests/service/test_retention.py",
    "tests/service/test_interleavings.py",
    "tests/service/test_receipts.py",
    "tests/service/test_relay.py",
)
GROUPS = {
    "permissions": Group(
        ("services/gateway/access/permissions.py", "services/gateway/resources/roles.py"),
        ("tests/api/test_roles.py", "tests/api/test_privacy.py"),
    ),
    "sealing": Group(
        ("chassis/sealing.py",),
        ("tests/unit/test_sealing.py", "tests/unit/test_identities.py"),
    ),
    "figures": Group(
        ("services/gateway/read_models/statistics.py",),
        ("tests/unit/test_figures.py", "tests/api/test_figures.py"),
    ),
    "sending": Group(
        ("services/gateway/webhooks/dispatcher.py",),
        ("tests/api/test_webhooks.py", "tests/api/test_failing_webhooks.py"),
    ),
    "chassis-receiving": Group(
        (
            "chassis/messaging/consumer.py",
            "chassis/messaging/batching.py",
            "chassis/messaging/processor.py",
            "chassis/messaging/handling.py",
            "chassis/messaging/crash_guard.py",
            "chassis/messaging/retries.py",
            "chassis/messaging/parked.py",
            "chassis/messaging/replay.py",
            "chassis/messaging/receipts.py",
        ),
        SERVICE_TESTS,
    ),
    "chassis-sending": Group(
        (
            "chassis/messaging/relay.py",
            "chassis/messaging/outbox.py",
            "chassis/storage/retention.py",
            "chassis/messaging/bus.py",
        ),
        SERVICE_TESTS,
    ),
    "resources": Group(
        ("services/gateway/resources/*.py",),
        ("tests/api/test_openapi.py", "tests/api/test_operations.py", "tests/api/test_refusals.py"),
    ),
    "handlers-filing": Group(
        ("services/filing/*.py", "services/filing/handlers/*.py"),
        ("tests/service/test_filing.py", "tests/service/test_liaison.py"),
    ),
    "handlers-inspection": Group(
        ("services/inspection/*.py", "services/inspection/handlers/*.py"),
        (
            "tests/service/test_inspection.py",
            "tests/service/test_visits.py",
            "tests/service/test_notices.py",
            "tests/service/test_numbers.py",
            "tests/service/test_patrol_plans.py",
            "tests/service/test_complaint_checks.py",
        ),
    ),
    "handlers-complaints": Group(
        ("services/complaints/*.py", "services/complaints/handlers/*.py"),
        (
            "tests/service/test_complaints.py",
            "tests/service/test_complaint_clocks.py",
            "tests/service/test_complaint_checks.py",
        ),
    ),
    "handlers-insurance": Group(
        ("services/insurance/*.py", "services/insurance/handlers/*.py"),
        ("tests/service/test_insurance.py",),
    ),
}
