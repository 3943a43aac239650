//! Curves as SVG.

use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::Curve;
use crate::Outcome;

/// A plot's texts, and where it begins and ends.
#[derive(Debug)]
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// The horizontal range; it is logarithmic.
    pub(super) range: Range<f64>,
    pub(super) height: Height,
}

/// The vertical axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Height {
    /// From nothing to everything.
    Share,
    /// From nothing to a little above the greatest value.
    Linear,
    /// Logarithmic.
    Logarithmic,
}

const SIZE: (u32, u32) = (800, 440);

/// Colours that are told apart by those who do not tell red from green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

impl Plot<'_> {
    pub(super) fn draw(&self, curves: &[Curve], file: &Path) -> Outcome {
        let values = || curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y);
        let (least, greatest) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
        match self.height {
            Height::Share => self.draw_over(0.0..1.0, curves, file),
            Height::Linear => self.draw_over(0.0..greatest * 1.1, curves, file),
            Height::Logarithmic => self.draw_over((least * 0.8..greatest * 1.2).log_scale(), curves, file),
        }
    }

    fn draw_over<Y>(&self, height: Y, curves: &[Curve], file: &Path) -> Outcome
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(said)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(self.range.clone().log_scale(), height)
            .map_err(said)?;
        chart.configure_mesh().x_desc(self.x).y_desc(self.y).light_line_style(WHITE).draw().map_err(said)?;
        for (curve, colour) in curves.iter().zip(COLOURS) {
            let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
            let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2));
            chart.draw_series(line).map_err(said)?.label(&curve.name).legend(legend);
        }
        let labels = &mut chart.configure_series_labels();
        labels.border_style(BLACK.mix(0.2)).background_style(WHITE.mix(0.8)).draw().map_err(said)?;
        area.present().map_err(said)
    }
}

/// The library's errors borrow what they are about.
fn said(error: impl std::fmt::Display) -> crate::Failure {
    format!("a plot cannot be drawn: {error}").into()
}
