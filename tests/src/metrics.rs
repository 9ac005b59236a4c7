//! Prometheus text, read back.

/// A scrape.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// A scrape's text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Samples as (name, labels, value).
    pub fn samples(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
        })
    }

    /// Sum over the series of `name` whose labels contain every one of `labels` (as `key="value"`).
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |series: &str| labels.iter().all(|label| series.contains(label));
        self.samples().filter(|(n, series, _)| *n == name && fits(series)).map(|(.., value)| value).sum()
    }

    /// Lines that are not Prometheus text: neither comment, nor `name{labels} number`, nor empty.
    #[must_use]
    pub fn broken(&self) -> Vec<&str> {
        let good = |line: &&str| {
            line.is_empty() || line.starts_with('#') || {
                let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
                value.is_some_and(|value| value.is_ok()) && line.starts_with("larder_")
            }
        };
        self.0.lines().filter(|line| !good(line)).collect()
    }
}
