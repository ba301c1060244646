//! What grows with the number of releases, and how: the same number at several sizes, as rows and as a chart.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;

use super::table::{Table, Unit};

const PANEL: (u32, u32) = (360, 260);
const LINE: RGBColor = RGBColor(31, 111, 120);
const LIMIT: RGBColor = RGBColor(176, 62, 46);

/// The series that are drawn, each in a panel of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// CPU of one promotion.
    Promotion,
    /// Peak resident memory, with all releases in progress.
    UnderWay,
    /// Time from a window's opening until the last waiting release has moved.
    Opening,
    /// CPU from the opening until all releases have succeeded.
    OpeningCpu,
    /// Resident memory with settled releases.
    Settled,
    /// Time from a start with settled releases until ready.
    Ready,
}

impl Series {
    fn title(self) -> &'static str {
        match self {
            Self::Promotion => "CPU of a promotion, ms",
            Self::UnderWay => "resident at most, all in progress, MiB",
            Self::Opening => "a window opens: until the last has moved, s",
            Self::OpeningCpu => "a window opens: CPU until all have succeeded, s",
            Self::Settled => "resident with settled releases, MiB",
            Self::Ready => "a start with settled releases: until ready, s",
        }
    }
}

struct Point {
    size: usize,
    measured: f64,
    unit: Unit,
    budget: Option<f64>,
}

/// All series, each in the order of its sizes.
#[derive(Default)]
pub struct Growth {
    series: BTreeMap<Series, Vec<Point>>,
}

impl Growth {
    pub fn point(&mut self, series: Series, size: usize, measured: f64, unit: Unit, budget: Option<f64>) {
        let points = self.series.entry(series).or_default();
        points.push(Point {
            size,
            measured,
            unit,
            budget,
        });
        points.sort_by_key(|point| point.size);
    }

    /// One row per size, with its ratio to the smallest.
    pub fn tell(&self, table: &mut Table) {
        for (series, points) in self.series.iter().filter(|(_, points)| points.len() > 1) {
            table.section(&format!("growth: {}", series.title()));
            let least = &points[0];
            for point in points {
                let times = point.measured / least.measured;
                let name = format!(
                    "{} releases, {:.0} times as many: {times:.1} times",
                    point.size,
                    point.size as f64 / least.size as f64
                );
                table.row(&name, point.measured, point.unit, point.budget);
            }
        }
    }

    /// Writes an SVG.
    ///
    /// # Errors
    /// Nothing was measured at two sizes, or the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let drawn: Vec<_> = self
            .series
            .iter()
            .filter(|(_, points)| points.len() > 1)
            .collect();
        ensure!(
            !drawn.is_empty(),
            "a plot needs two sizes or more: --releases 100,1000"
        );
        let rows = drawn.len().div_ceil(2);
        let size = (PANEL.0 * 2, PANEL.1 * u32::try_from(rows)?);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        for ((series, points), panel) in drawn.into_iter().zip(area.split_evenly((rows, 2))) {
            draw(*series, points, &panel).context("a panel cannot be drawn")?;
        }
        area.present()
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

fn draw(
    series: Series,
    points: &[Point],
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<()> {
    let sizes = points.iter().map(|p| p.size as f64);
    let (least, most) = sizes.fold((f64::MAX, 0.0_f64), |(least, most), size| {
        (least.min(size), most.max(size))
    });
    let highest = points
        .iter()
        .flat_map(|p| [Some(p.measured), p.budget])
        .flatten()
        .fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption(series.title(), ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d((least * 0.8..most * 1.25).log_scale(), 0.0..highest * 1.15)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .y_labels(5)
        .x_label_formatter(&|size| format!("{size:.0}"))
        .draw()?;
    let measured = points.iter().map(|p| (p.size as f64, p.measured));
    chart.draw_series(LineSeries::new(measured.clone(), LINE.stroke_width(2)))?;
    chart.draw_series(measured.map(|at| Circle::new(at, 3, LINE.filled())))?;
    chart.draw_series(points.iter().map(|p| {
        let number = format!("{:.1}", p.measured);
        Text::new(
            number,
            (p.size as f64, p.measured + highest * 0.08),
            ("sans-serif", 11),
        )
    }))?;
    let allowed = points.iter().filter_map(|p| Some((p.size as f64, p.budget?)));
    chart.draw_series(allowed.map(|at| Cross::new(at, 4, LIMIT.stroke_width(2))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_panel_for_what_was_measured_at_two_sizes() {
        let mut growth = Growth::default();
        for (size, measured) in [(1000, 60.0), (100, 40.0)] {
            growth.point(Series::UnderWay, size, measured, Unit::Mebibytes, Some(64.0));
        }
        growth.point(Series::Ready, 100, 0.2, Unit::Seconds, None);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("growth.svg");
        growth.draw(&path).expect("a plot");
        let drawn = std::fs::read_to_string(path).expect("a file");
        assert!(drawn.contains(Series::UnderWay.title()), "{drawn}");
        assert!(!drawn.contains(Series::Ready.title()), "{drawn}");
        assert!(drawn.contains(">\n60.0") && drawn.contains(">\n40.0"), "{drawn}");
    }

    #[test]
    fn a_plot_of_one_size_is_refused() {
        let mut growth = Growth::default();
        growth.point(Series::Ready, 100, 0.2, Unit::Seconds, None);
        let refused = growth
            .draw(Path::new("/nonexistent/growth.svg"))
            .expect_err("one size");
        assert!(refused.to_string().contains("two sizes"), "{refused}");
    }
}
