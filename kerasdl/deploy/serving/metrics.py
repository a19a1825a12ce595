"""What the server counts, in the form that Prometheus reads. Each server has a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of a server."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, processor time, open files
        self.requests = Counter("kerasdl_requests", "Requests by path and status.", ["path", "status"],
                                registry=self.registry)
        self.seconds = Histogram("kerasdl_predict_seconds", "From the first byte of a request to its answer.",
                                 buckets=SECONDS, registry=self.registry)
        self.batches = Histogram("kerasdl_batch_examples", "Examples in a batch.", buckets=SIZES,
                                 registry=self.registry)
        self.model = Histogram("kerasdl_model_seconds", "What the model took for a batch.", buckets=SECONDS,
                               registry=self.registry)
        self.waiting = Gauge("kerasdl_waiting_examples", "Examples that wait for the model.", registry=self.registry)

    def batch(self, size: int, seconds: float) -> None:
        """Count a batch."""
        self.batches.observe(size)
        self.model.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
