"""Asks one target after the other, and each again where that helps, while the caller has seen nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..core.attempts import AttemptRecord as Try
from ..core.errors import GatewayError
from ..core.handler import Clock, Handler
from ..core.request import Call, Target
from ..core.response import ResponseStream
from ..resilience.retry_budget import Budgets
from ..resilience.retry_policy import Next, Policy, Retry, Stand, Verdict, decide, heirs
from ..telemetry.metrics import Metrics
from .attempt_log import of_answer, of_failure
from .hedging import Hedge


class Attempt:
    """Gets the first answer that begins; where all fail, raises the first fault with every attempt listed."""

    def __init__(
        self,
        policy: Policy,
        budgets: Budgets,
        metrics: Metrics,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        hedge: Hedge | None = None,
    ) -> None:
        self._policy = policy
        self._budgets = budgets
        self._metrics = metrics
        self._clock = clock
        self._pause = pause
        self._random = random
        self._hedge = hedge

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """The first answer that begins."""
        course = _Course(call)
        while True:
            reply = await self._answer_at_target(course, proceed)
            if reply is not None:
                return reply
            self._metrics.fallbacks.labels(course.target.provider).inc()
            course.move()

    async def _answer_at_target(self, course: _Course, proceed: Handler) -> ResponseStream | None:
        """The target's answer, None where the next is to be asked. Raises the first fault where nobody is."""
        target, ledger = course.target, course.call.usage_ledger
        budget = self._budgets.of(course.call, target.provider)
        if not ledger.requests_sent[target.key]:
            budget.earn()
        asked = narrowed(course.call, target, course.rest)
        tries = 0
        while True:
            tries += 1
            sent, began = ledger.requests_sent[target.key], self._clock()
            try:
                reply = await self._ask(asked, course.rest, tries, proceed)
            except GatewayError as fault:
                took = self._clock() - began
                course.failed(fault, took)
                was_sent = ledger.requests_sent[target.key] > sent
                verdict = self._verdict(fault, course, tries, took, affordable=not was_sent or budget.affordable)
            else:
                return course.answered(reply, self._clock() - began)
            if not isinstance(verdict, Retry):
                if isinstance(verdict, Next):
                    return None
                raise course.first_fault()
            if was_sent:
                budget.spend()
                self._metrics.retries.labels(target.provider).inc()
            with asked.upstream_timer.measure():
                await self._pause(verdict.wait)

    async def _ask(self, asked: Call, rest: tuple[Target, ...], tries: int, proceed: Handler) -> ResponseStream:
        if self._hedge is None or not rest or tries > 1 or asked.streaming:
            return await proceed(asked)
        return await self._hedge(asked, narrowed(asked, rest[0], rest[1:]), proceed)

    def _verdict(self, fault: GatewayError, course: _Course, tries: int, took: float, *, affordable: bool) -> Verdict:
        call, place = course.call, course.target.key
        course.rest = heirs(fault, course.target, course.rest)
        stand = Stand(
            # What lies inside sends by itself too, with another key or for a repair; so did an earlier answer.
            tries=max(tries, call.usage_ledger.requests_sent[place]),
            heirs=len(course.rest),
            left=call.deadline - self._clock(),
            affordable=affordable,
            breaks=call.usage_ledger.interruptions[place],
            took=took,
        )
        return decide(fault, stand, self._policy, self._random())


class _Course:
    """One call's way along its targets."""

    __slots__ = ("_first", "_tried", "call", "rest", "target")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.target, *others = call.targets
        self.rest = tuple(others)
        self._tried: list[Try] = []
        self._first: GatewayError | None = None

    def move(self) -> None:
        """Go on to the next target."""
        self.target, *others = self.rest
        self.rest = tuple(others)

    def failed(self, fault: GatewayError, seconds: float) -> None:
        """Take note of a failure."""
        self._first = self._first or fault
        tries = of_failure(fault, self.target, seconds)
        self._tried.extend(tries)
        asked = {(one.provider, one.model) for one in tries}
        self.rest = tuple(target for target in self.rest if target.key not in asked)

    def answered(self, reply: ResponseStream, seconds: float) -> ResponseStream:
        """The reply, its head saying how it came about."""
        tries = of_answer(reply, self.target, seconds)
        return reply.with_metadata(replace(reply.metadata, attempts=(*self._tried, *tries)))

    def first_fault(self) -> GatewayError:
        """The fault to report: later ones only say that the way out was blocked too."""
        assert self._first is not None
        self._first.attempts = tuple(self._tried)
        return self._first


def narrowed(call: Call, target: Target, rest: tuple[Target, ...]) -> Call:
    """The question to one target, with `rest` still to turn to.

    A provider that is to stream shows early whether it answers at all; only then can its first content be late. It is
    asked to, where silence would end in another target's answer, or could last for minutes.
    """
    patience = target.timeouts
    watched = bool(rest) or patience.is_explicit
    shows_more = watched or patience.set_by_caller or target.prefers_streaming
    prefers_stream = shows_more and target.can_stream and not call.streaming
    first_token = patience.first_token if watched and (call.streaming or prefers_stream) else None
    if call.targets == (target,) and (prefers_stream, first_token) == (call.stream_upstream, call.first_token_timeout):
        return call
    return replace(call, targets=(target,), stream_upstream=prefers_stream, first_token_timeout=first_token)
