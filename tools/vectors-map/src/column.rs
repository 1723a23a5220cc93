//! The column of places, in blocks, in the order of the vectors.

use crate::axes::Axes;
use crate::neighbours::{Map, Work};
use cluster::blocks::PlacedBlock;
use cluster::vector::check;
use compute::kmeans::Metric;
use pipe::crew::Hand;
use std::io::Write;
use std::sync::Arc;

/// What says where a vector lies.
pub enum Places {
    /// The plane of the principal axes.
    Plane(Axes),
    /// Landmarks.
    Among(Map),
}

impl Places {
    /// Appends a line for each row; one that is no vector has no place.
    pub fn write(&self, rows: &[f32], dim: usize, work: &mut Work, out: &mut Vec<u8>) {
        match self {
            Places::Plane(axes) => {
                let place = |row| check(row, Metric::Euclidean).is_ok().then(|| axes.place(row));
                rows.chunks_exact(dim).for_each(|row| write(place(row), out));
            }
            Places::Among(map) => map.place(rows, work, |place| write(place, out)),
        }
    }
}

fn write(place: Option<[f64; 2]>, out: &mut Vec<u8>) {
    let Some(place) = place else { return out.extend_from_slice(b"nan\tnan\n") };
    let [x, y] = place.map(|value| value as f32 + 0.0);
    writeln!(out, "{x}\t{y}").expect("writing to memory cannot fail");
}

/// Writes lines for blocks, on one thread.
pub struct Writer {
    places: Arc<Places>,
    dim: usize,
    work: Work,
}

impl Writer {
    /// Of vectors of so many values.
    pub fn new(places: Arc<Places>, dim: usize) -> Writer {
        Writer { places, dim, work: Work::default() }
    }
}

impl Hand for Writer {
    type Job = PlacedBlock;
    type Done = Vec<u8>;

    fn work(&mut self, block: PlacedBlock) -> Vec<u8> {
        let mut text = Vec::new();
        self.places.write(block.block.view(0).values, self.dim, &mut self.work, &mut text);
        text
    }
}
