//! For measurements: rows that stay on the GPU, and the kernels one by one.

#![doc(hidden)]

use crate::device::{Array, Failure, Stream};
use crate::kernels::{self, Found, Proposed};
use crate::kmeans::{Cuda, DeviceSums};
use crate::modules::CANDIDATES;
use compute::kmeans::unit_exponent;

/// A stage of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Scales and rounds rows.
    Prepare,
    /// The tensor cores' part.
    Propose,
    /// Decides what was proposed.
    Decide,
    /// Adds rows to sums.
    Sums,
}

/// Rows in the memory of a GPU.
pub struct Resident<'a> {
    stream: Stream,
    cuda: &'a Cuda,
    n: usize,
    rows: Array<f32>,
    proposed: Proposed,
    found: Found,
    reranked: Array<u32>,
    sums: DeviceSums,
}

impl Cuda {
    /// Brings rows onto the GPU. Fails where the GPU does.
    pub fn resident(&self, rows: &[f32]) -> Result<Resident<'_>, Failure> {
        let (device, n) = (self.device(), rows.len() / self.centroids().dim);
        let shape = self.shape(n);
        Ok(Resident {
            stream: device.stream()?,
            cuda: self,
            n,
            rows: device.array_of(rows)?,
            proposed: Proposed {
                rounded: device.array(shape.padded() * shape.dim_padded())?,
                row_norms: device.array(n)?,
                windows: device.array(shape.padded())?,
                counts: device.array(shape.padded())?,
                ids: device.array(shape.padded() * CANDIDATES)?,
            },
            found: Found { cluster: device.array(n)?, distance: device.array(n)? },
            reranked: device.array(1)?,
            sums: self.sums(unit_exponent(self.centroids()))?,
        })
    }
}

impl Resident<'_> {
    /// Runs a stage (those before it must have run) and waits. Fails where the GPU does.
    pub fn run(&self, stage: Stage) -> Result<(), Failure> {
        let (stream, shape, cuda) = (&self.stream, self.cuda.shape(self.n), self.cuda);
        // SAFETY: all arrays live as long as `self`, and `wait` returns before this does.
        unsafe {
            match stage {
                Stage::Prepare => kernels::prepare(stream, shape, &self.rows, cuda.rounded(), &self.proposed),
                Stage::Propose => kernels::propose(stream, shape, cuda.rounded(), &self.proposed),
                Stage::Decide => kernels::decide(
                    stream,
                    shape,
                    &self.rows,
                    cuda.exact(),
                    &self.proposed,
                    &self.found,
                    &self.reranked,
                ),
                Stage::Sums => {
                    let norms = &self.proposed.row_norms;
                    kernels::sums_add(stream, shape, &self.rows, &self.found, norms, None, self.sums.kernel())
                }
            }?;
        }
        stream.wait()
    }

    /// The clusters found. Fails where the GPU does.
    pub fn clusters(&self) -> Result<Vec<u32>, Failure> {
        let mut clusters = vec![0; self.n];
        // SAFETY: both live until `wait` has returned; a failure to queue leaves nothing to wait for.
        unsafe { self.stream.download(&self.found.cluster, &mut clusters)? };
        self.stream.wait()?;
        Ok(clusters)
    }
}
