//! What is exported, and the way it came.

/// What an export holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Logs,
    Metrics,
    Traces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Grpc,
}

impl Signal {
    pub const ALL: [Self; 3] = [Self::Logs, Self::Metrics, Self::Traces];

    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

impl Transport {
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// A path that exports are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub signal: Signal,
    pub transport: Transport,
}

impl Route {
    pub const ALL: [(&'static str, Self); 6] = [
        ("/v1/logs", Self::new(Signal::Logs, Transport::Http)),
        ("/v1/metrics", Self::new(Signal::Metrics, Transport::Http)),
        ("/v1/traces", Self::new(Signal::Traces, Transport::Http)),
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", Self::new(Signal::Logs, Transport::Grpc)),
        ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", Self::new(Signal::Metrics, Transport::Grpc)),
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Self::new(Signal::Traces, Transport::Grpc)),
    ];

    const fn new(signal: Signal, transport: Transport) -> Self {
        Self { signal, transport }
    }

    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == path).map(|(_, route)| route)
    }
}
