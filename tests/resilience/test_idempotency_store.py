from aimanager_server.core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.resilience.idempotency_store import OVERHEAD_BYTES, Answers, size_of
from tests.support.calls import FakeClock


def answer(*parts: Part) -> GenerateResult:
    head = ResponseMetadata("1", "mock/latest", "mock", "mock-large")
    return GenerateResult(head, Message(Role.ASSISTANT, parts), Finished(FinishReason.STOP))


def test_an_answer_is_kept_for_its_time() -> None:
    clock = FakeClock()
    answers = Answers(10, 10**6, 60, clock)
    answers.put(b"key", 7, answer(Text("hi")))

    assert answers.get(b"key") == (7, answer(Text("hi")))
    clock.advance(60)
    assert answers.get(b"key") is None
    assert answers.get(b"other") is None


def test_the_least_recently_used_goes_first() -> None:
    answers = Answers(2, 10**6, 60, FakeClock())
    answers.put(b"a", 1, answer())
    answers.put(b"b", 2, answer())
    assert answers.get(b"a")

    answers.put(b"c", 3, answer())

    assert answers.get(b"b") is None
    assert answers.get(b"a")
    assert answers.get(b"c")


def test_bytes_are_bounded() -> None:
    answers = Answers(100, 3 * OVERHEAD_BYTES, 60, FakeClock())

    for number in range(10):
        answers.put(bytes([number]), number, answer())

    assert sum(answers.get(bytes([number])) is not None for number in range(10)) == 3


def test_an_answer_larger_than_all_memory_is_not_kept_and_evicts_nothing() -> None:
    answers = Answers(10, 4096, 60, FakeClock())
    answers.put(b"small", 1, answer(Text("hi")))

    answers.put(b"large", 2, answer(Text("x" * 5000)))

    assert answers.get(b"large") is None
    assert answers.get(b"small")


def test_no_entries_means_nothing_is_kept() -> None:
    answers = Answers(0, 10**6, 60, FakeClock())

    answers.put(b"a", 1, answer())

    assert answers.get(b"a") is None


def test_every_part_counts_towards_the_size() -> None:
    parts: tuple[Part, ...] = (
        Text("abcd", b"12"),
        Reasoning("abcd"),
        ToolCall("1", "f", "{}"),
        Attachment("image/png", data=b"12345"),
        Attachment("image/png", uri="https://example.com/a.png"),
        ToolResult("1", "f", "abcd"),
    )

    assert size_of(answer(*parts)) == OVERHEAD_BYTES + 2 + 16 + 16 + 8 + 5 + 16
