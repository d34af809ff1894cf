//! What came out of a measurement, and the table of all.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was done.
    pub work: String,
    /// What idsync needed.
    pub idsync: String,
    /// What it is compared with, where it is.
    pub beside: String,
    /// idsync's figure as a multiple of the other.
    pub ratio: Option<f64>,
    /// What must hold.
    pub bar: String,
    /// Whether it does; nothing where there is no bar.
    pub is_met: Option<bool>,
    /// Every single figure.
    pub samples: Value,
}

impl Finding {
    /// A figure without a bar.
    pub fn plain(work: impl Into<String>, idsync: impl Into<String>) -> Self {
        Self {
            work: work.into(),
            idsync: idsync.into(),
            beside: String::new(),
            ratio: None,
            bar: String::new(),
            is_met: None,
            samples: Value::Null,
        }
    }

    /// The same, which must hold.
    #[must_use]
    pub fn with_bar(mut self, bar: impl Into<String>, is_met: bool) -> Self {
        self.bar = bar.into();
        self.is_met = Some(is_met);
        self
    }

    /// The same, as a multiple of something else.
    #[must_use]
    pub fn beside(mut self, beside: impl Into<String>, ratio: f64) -> Self {
        self.beside = beside.into();
        self.ratio = Some(ratio);
        self
    }

    /// The same, with every single figure.
    #[must_use]
    pub fn with_samples(mut self, samples: impl Into<Value>) -> Self {
        self.samples = samples.into();
        self
    }
}

/// All findings for people.
pub fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["work", "idsync", "beside", "ratio", "bar", "met"]);
    for finding in findings {
        table.add_row([
            finding.work.clone(),
            finding.idsync.clone(),
            finding.beside.clone(),
            finding
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            finding.bar.clone(),
            match finding.is_met {
                Some(true) => "yes".to_owned(),
                Some(false) => "NO".to_owned(),
                None => String::new(),
            },
        ]);
    }
    table.to_string()
}

/// The one in the middle.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median([9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn a_bar_that_was_missed_stands_out() {
        let shown = table(&[
            Finding::plain("a", "2 s")
                .beside("1 s", 2.0)
                .with_bar("at most 1.3", false),
            Finding::plain("b", "1 ms").with_bar("under 2 ms", true),
        ]);
        assert!(shown.contains("| NO"), "{shown}");
        assert!(shown.contains("2.00") && shown.contains("yes"), "{shown}");
    }
}
