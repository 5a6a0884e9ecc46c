from dataclasses import replace

from aimanager_server.core.usage import Cost, UsageSource, add_cost, add_usage
from tests.support.upstream import USAGE


def test_sum_of_usages_has_the_less_reliable_source() -> None:
    assert add_usage(USAGE, replace(USAGE, source=UsageSource.MISSING)).source is UsageSource.MISSING


def test_unknown_cost_makes_the_sum_unknown() -> None:
    assert add_cost(None, Cost(1, 1)) is None
    assert add_cost(Cost(1, 1, estimated=True), Cost(2, 2, estimated=False)) == Cost(3, 3, estimated=True)
