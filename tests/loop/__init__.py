import pytest

pytest.register_assert_rewrite(
    "tests.loop.enterprises", "tests.loop.complaints", "tests.loop.insurance"
)
