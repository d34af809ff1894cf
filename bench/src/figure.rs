//! The figure of growth: seconds and memory against users, side by side.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

/// What was measured of one program.
#[derive(Debug, Clone)]
pub struct Series {
    /// The program.
    pub name: String,
    /// From few users to many.
    pub points: Vec<Point>,
}

/// One sync.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Users of the org.
    pub users: f64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Peak memory, in MiB.
    pub mib: f64,
}

const COLOURS: [RGBColor; 3] = [RGBColor(0, 95, 204), RGBColor(204, 85, 0), RGBColor(90, 90, 90)];

/// Writes the figure as SVG, on white so that it is readable on dark pages too.
pub fn write(path: &Path, series: &[Series]) -> Result<()> {
    let root = SVGBackend::new(path, (960, 400)).into_drawing_area();
    let drawn = root.fill(&WHITE).map_err(anyhow::Error::from).and_then(|()| {
        let (left, right) = root.split_horizontally(480);
        panel(&left, "Seconds", series, |point| point.seconds)?;
        panel(&right, "Peak memory (MiB)", series, |point| point.mib)?;
        root.present().map_err(anyhow::Error::from)
    });
    drawn.with_context(|| format!("drawing {}", path.display()))
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    series: &[Series],
    value: fn(&Point) -> f64,
) -> Result<()> {
    let points = || series.iter().flat_map(|one| &one.points);
    let widest = points().map(|point| point.users).fold(1.0, f64::max);
    let highest = points().map(value).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..widest, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("Users")
        .x_labels(5)
        .x_label_formatter(&|users| format!("{users:.0}"))
        .draw()?;
    for (one, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let line = one.points.iter().map(|point| (point.users, value(point)));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?
            .label(one.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_names_its_programs_and_both_panels() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("growth.svg");
        let point = |users, seconds, mib| Point { users, seconds, mib };
        let series = [Series {
            name: "idsync".to_owned(),
            points: vec![point(10_000.0, 1.0, 60.0), point(100_000.0, 9.0, 80.0)],
        }];
        write(&path, &series).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        for text in ["idsync", "Seconds", "Peak memory (MiB)", "Users", "100000"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }
}
