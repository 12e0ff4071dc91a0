"""The decision before a span exists is the one that the SDK's sampler makes."""

from random import Random

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from app.telemetry.sampler import Sampler


@pytest.mark.parametrize("name", [None, "always_on", "always_off", "traceidratio", "nonsense"])
@pytest.mark.parametrize("prefix", ["", "parentbased_"])
@pytest.mark.parametrize("rate", ["0", "0.1", "0.5", "1", "", "x", "1.5"])
def test_it_decides_as_the_sdk(name: str | None, prefix: str, rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"OTEL_TRACES_SAMPLER_ARG": rate} | ({"OTEL_TRACES_SAMPLER": prefix + name} if name else {})
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    ours, theirs, ids = Sampler(environ), TracerProvider(shutdown_on_exit=False).sampler, Random(1)
    for number in range(200):
        trace_id = ids.getrandbits(128) | 1
        parent = (None, 0, 1)[number % 3]
        context = Context()
        if parent is not None:
            remote = SpanContext(trace_id, 1, True, TraceFlags(parent))
            context = trace.set_span_in_context(NonRecordingSpan(remote), context)
        expected = theirs.should_sample(context, trace_id, "x").decision is Decision.RECORD_AND_SAMPLE
        assert ours.samples(trace_id, parent) is expected
