//! The text that Prometheus reads: its own format, or OpenMetrics 1.0.

use std::fmt::Write;

use crate::series::Cell;
use crate::{Exemplar, Family, Series, SeriesKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.
    Prometheus,
    /// <https://github.com/prometheus/OpenMetrics>, version 1.0.0.
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// OpenMetrics has no counter without `_total`.
    Unknown,
}

/// Families as text, one after the other.
pub struct Exposition {
    format: Format,
    out: String,
    /// Labels of the first version's families.
    constant: Vec<(String, String)>,
    name: String,
    kind: Kind,
}

impl Exposition {
    /// `constant`: labels that every series of the first version's names carries.
    pub fn new(format: Format, constant: Vec<(String, String)>) -> Self {
        Self { format, out: String::with_capacity(64 << 10), constant, name: String::new(), kind: Kind::Gauge }
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    /// Begins a family; a counter's name ends in `_total`.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let is_open = self.format == Format::OpenMetrics;
        // A counter of the first version breaks the naming rule; OpenMetrics knows it as of unknown type.
        let kind = if is_open && kind == Kind::Counter && !name.ends_with("_total") { Kind::Unknown } else { kind };
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Unknown if is_open => "unknown",
            Kind::Unknown => "untyped",
        };
        let family = if is_open && kind == Kind::Counter { name.trim_end_matches("_total") } else { name };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        line(&mut self.out, format_args!("# HELP {family} {help}"));
        line(&mut self.out, format_args!("# TYPE {family} {word}"));
        name.clone_into(&mut self.name);
        self.kind = kind;
    }

    /// One sample of the family begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels = self.labels(labels.iter().copied(), None);
        line(&mut self.out, format_args!("{}{labels} {value}", self.name));
    }

    /// All series of a tenant that facts moved.
    pub fn series(&mut self, series: &Series, tenant: u32) {
        for family in Family::ALL.iter().copied() {
            let kind = if family.is_histogram() { Kind::Histogram } else { Kind::Counter };
            let found = series.of(tenant, family);
            self.of_facts(family, family.name(), kind, &found);
            if family.has_odd_name() {
                // Both names are of unknown type in OpenMetrics: as a counter the second would be the first's only sample.
                let kind = if self.format == Format::OpenMetrics { Kind::Unknown } else { kind };
                self.of_facts(family, &format!("{}_total", family.name()), kind, &found);
            }
        }
    }

    fn of_facts(&mut self, family: Family, name: &str, kind: Kind, found: &[(&SeriesKey, &Cell)]) {
        self.family(name, kind, family.help());
        for (key, cell) in found {
            if family.is_histogram() {
                self.histogram(family, key, cell);
            } else {
                self.counter(family, key, cell);
            }
        }
    }

    fn counter(&mut self, family: Family, key: &SeriesKey, cell: &Cell) {
        let labels = self.labels_of(family, key, None);
        let value = scaled(cell.values.first().copied().unwrap_or(0), family.unit().digits());
        let exemplar = self.exemplar(family, cell.exemplar.as_ref());
        let name = &self.name;
        line(&mut self.out, format_args!("{name}{labels} {value}{exemplar}"));
        if self.format == Format::OpenMetrics && self.kind == Kind::Counter {
            let created = scaled(cell.created_at.max(0).unsigned_abs(), 3);
            line(&mut self.out, format_args!("{}_created{labels} {created}", name.trim_end_matches("_total")));
        }
    }

    fn histogram(&mut self, family: Family, key: &SeriesKey, cell: &Cell) {
        let (sum, counts) = cell.values.split_first().map_or((0, &[][..]), |(sum, counts)| (*sum, counts));
        let digits = family.unit().digits();
        let mut total = 0_u64;
        for (place, count) in counts.iter().enumerate() {
            total += count;
            let bound = match family.bounds().get(place) {
                Some(bound) => self.bound(*bound, digits),
                None => "+Inf".to_owned(),
            };
            let holds = |exemplar: &&Exemplar| {
                let lower = place.checked_sub(1).and_then(|before| family.bounds().get(before));
                lower.is_none_or(|lower| exemplar.value > *lower)
                    && family.bounds().get(place).is_none_or(|upper| exemplar.value <= *upper)
            };
            let exemplar = self.exemplar(family, cell.exemplar.as_ref().filter(holds));
            let labels = self.labels_of(family, key, Some(&bound));
            line(&mut self.out, format_args!("{}_bucket{labels} {total}{exemplar}", self.name));
        }
        let labels = self.labels_of(family, key, None);
        line(&mut self.out, format_args!("{}_sum{labels} {}", self.name, scaled(sum, digits)));
        line(&mut self.out, format_args!("{}_count{labels} {total}", self.name));
        if self.format == Format::OpenMetrics {
            let created = scaled(cell.created_at.max(0).unsigned_abs(), 3);
            line(&mut self.out, format_args!("{}_created{labels} {created}", self.name));
        }
    }

    /// OpenMetrics wants bounds as floats.
    fn bound(&self, bound: u64, digits: u32) -> String {
        let text = scaled(bound, digits);
        if self.format == Format::OpenMetrics && !text.contains('.') { format!("{text}.0") } else { text }
    }

    fn exemplar(&self, family: Family, exemplar: Option<&Exemplar>) -> String {
        let may = self.format == Format::OpenMetrics && matches!(self.kind, Kind::Counter | Kind::Histogram);
        // A label set of an exemplar has at most 128 characters.
        match exemplar.filter(|exemplar| may && exemplar.session.chars().count() <= 100) {
            Some(exemplar) => {
                let session = escaped(&exemplar.session);
                let value = scaled(exemplar.value, family.unit().digits());
                format!(" # {{session_id=\"{session}\"}} {value} {}", scaled(exemplar.at.max(0).unsigned_abs(), 3))
            }
            None => String::new(),
        }
    }

    fn labels_of(&self, family: Family, key: &SeriesKey, bound: Option<&str>) -> String {
        self.labels(family.labels().iter().copied().zip(key.values()), bound)
    }

    fn labels<'a>(&'a self, labels: impl Iterator<Item = (&'a str, &'a str)>, bound: Option<&'a str>) -> String {
        let constant =
            self.constant.iter().filter(|_| self.name.starts_with("ai_")).map(|(name, value)| (name.as_str(), value.as_str()));
        let mut out = String::new();
        for (name, value) in labels.chain(constant).chain(bound.map(|bound| ("le", bound))) {
            out.push(if out.is_empty() { '{' } else { ',' });
            // Writing to a string cannot fail.
            let _ = write!(out, "{name}=\"{}\"", escaped(value));
        }
        if !out.is_empty() {
            out.push('}');
        }
        out
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// An integer of 10^-digits as a decimal, exact.
fn scaled(value: u64, digits: u32) -> String {
    if digits == 0 {
        return value.to_string();
    }
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let rest = format!("{rest:0width$}", width = digits as usize);
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_as_exact_decimals() {
        for (value, digits, text) in
            [(0, 9, "0"), (1, 9, "0.000000001"), (1_500_000_000, 9, "1.5"), (17, 0, "17"), (250, 3, "0.25"), (60_000, 3, "60")]
        {
            assert_eq!(scaled(value, digits), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Exposition::new(Format::Prometheus, Vec::new());
        text.family("a_total", Kind::Counter, "x\ny\\");
        text.sample(&[("p", "C:\\a\"b\"\n")], 1);
        assert_eq!(text.finish(), "# HELP a_total x\\ny\\\\\n# TYPE a_total counter\na_total{p=\"C:\\\\a\\\"b\\\"\\n\"} 1\n");
    }
}
