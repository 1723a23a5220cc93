//! The kernels, and one launcher each: it holds every length against what the kernel touches.

use crate::device::{Argument, Array, Failure, Geometry, Stream};
use crate::modules::{CANDIDATES, PROPOSE_SHARED, STEP, TILE, TOTALS};
use compute::kmeans::Metric;

/// Lanes that share a row where sums have 16 partial sums.
const LANES: usize = 16;

/// How rows meet centroids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
}

impl Shape {
    pub(crate) fn dim_padded(&self) -> usize {
        self.dim.next_multiple_of(STEP)
    }

    /// Rows, padded.
    pub(crate) fn padded(&self) -> usize {
        self.n.next_multiple_of(TILE)
    }

    fn metric(&self) -> Argument {
        Argument::from(match self.metric {
            Metric::Cosine => 0_u32,
            Metric::Euclidean => 1,
        })
    }

    /// Norms of centroids are read under the cosine only.
    fn norms(&self) -> usize {
        if self.metric == Metric::Cosine { self.k } else { 0 }
    }
}

fn whole(value: usize) -> Argument {
    Argument::from(u32::try_from(value).expect("counts are below 2^32"))
}

/// Centroids as they are, in the memory of a GPU.
pub(crate) struct Centroids {
    pub(crate) values: Array<f32>,
    pub(crate) norms: Array<f64>,
}

impl Centroids {
    fn assert(&self, shape: Shape) {
        assert!(self.values.len() >= shape.k * shape.dim, "centroids");
        assert!(self.norms.len() >= shape.norms(), "norms");
    }
}

/// A nearest centroid for each row, as two columns.
pub(crate) struct Found {
    pub(crate) cluster: Array<u32>,
    pub(crate) distance: Array<f64>,
}

impl Found {
    fn assert(&self, n: usize) {
        assert!(self.cluster.len() >= n && self.distance.len() >= n, "found");
    }
}

/// # Safety
/// No array is touched or freed before the stream's next `wait`.
#[cfg(test)]
pub(crate) unsafe fn assign_naive(
    stream: &Stream,
    shape: Shape,
    rows: &Array<f32>,
    centroids: &Centroids,
    found: &Found,
) -> Result<(), Failure> {
    assert!(rows.len() >= shape.n * shape.dim, "rows");
    centroids.assert(shape);
    found.assert(shape.n);
    let geometry = Geometry { blocks: shape.n.div_ceil(128), threads: 128, shared: 0 };
    let arguments = &mut [
        rows.argument(),
        centroids.values.argument(),
        centroids.norms.argument(),
        whole(shape.n),
        whole(shape.k),
        whole(shape.dim),
        shape.metric(),
        found.cluster.argument(),
        found.distance.argument(),
    ];
    // SAFETY: a thread reads its row and all centroids and writes its place, n of each; threads past n return. The rest
    // is the caller's promise.
    unsafe { stream.launch("kmeans_assign_naive_f64", geometry, arguments) }
}

/// Ranks, `n x k`, and row norms.
///
/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn rank_naive(
    stream: &Stream,
    shape: Shape,
    rows: &Array<f32>,
    centroids: &Centroids,
    ranks: &Array<f64>,
    row_norms: &Array<f64>,
) -> Result<(), Failure> {
    assert!(rows.len() >= shape.n * shape.dim, "rows");
    assert!(ranks.len() >= shape.n * shape.k && row_norms.len() >= shape.n, "ranks and norms");
    centroids.assert(shape);
    let geometry = Geometry { blocks: (shape.n * shape.k).div_ceil(128), threads: 128, shared: 0 };
    let arguments = &mut [
        rows.argument(),
        centroids.values.argument(),
        centroids.norms.argument(),
        whole(shape.n),
        whole(shape.k),
        whole(shape.dim),
        shape.metric(),
        ranks.argument(),
        row_norms.argument(),
    ];
    // SAFETY: a thread reads a row and a centroid and writes a rank, n k of them; threads past those return. The rest
    // is the caller's promise.
    unsafe { stream.launch("kmeans_rank_naive_f64", geometry, arguments) }
}

/// What rounding the centroids has shown (see `lib/kernels/kmeans_assign.cu`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub(crate) exponent: i32,
    pub(crate) reach: f32,
    pub(crate) error: f32,
    pub(crate) rest: f32,
}

/// Centroids as the tensor cores take them.
pub(crate) struct Rounded {
    /// Padded on both sides.
    pub(crate) values: Array<u16>,
    pub(crate) halves: Array<f32>,
    /// Of all centroids; `dim` values, whatever the metric.
    pub(crate) middle: Array<f32>,
    pub(crate) limits: Limits,
}

/// What lies between the kernels, for rows of one launch.
pub(crate) struct Proposed {
    pub(crate) rounded: Array<u16>,
    pub(crate) row_norms: Array<f64>,
    pub(crate) windows: Array<f32>,
    pub(crate) counts: Array<u32>,
    pub(crate) ids: Array<u32>,
}

impl Proposed {
    fn assert(&self, shape: Shape) {
        let padded = shape.padded();
        assert!(self.rounded.len() >= padded * shape.dim_padded(), "rounded rows");
        assert!(self.row_norms.len() >= shape.n && self.windows.len() >= padded, "norms and windows");
        assert!(self.counts.len() >= padded && self.ids.len() >= padded * CANDIDATES, "candidates");
    }
}

/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn prepare(
    stream: &Stream,
    shape: Shape,
    rows: &Array<f32>,
    to: &Rounded,
    proposed: &Proposed,
) -> Result<(), Failure> {
    assert!(rows.len() >= shape.n * shape.dim, "rows");
    assert_eq!(to.middle.len(), shape.dim, "the middle");
    assert!((-126..=126).contains(&to.limits.exponent), "a scale that 32-bit floats have");
    proposed.assert(shape);
    let geometry = Geometry { blocks: shape.padded() / LANES, threads: 256, shared: 0 };
    let arguments = &mut [
        rows.argument(),
        to.middle.argument(),
        whole(shape.n),
        whole(shape.padded()),
        whole(shape.dim),
        whole(shape.dim_padded()),
        shape.metric(),
        Argument::from(to.limits.exponent),
        Argument::from(to.limits.reach),
        Argument::from(to.limits.error),
        Argument::from(to.limits.rest),
        proposed.rounded.argument(),
        proposed.row_norms.argument(),
        proposed.windows.argument(),
    ];
    // SAFETY: 16 lanes a row, 16 rows a block; rows past n are not read, norms past n not written, and everything else
    // is padded. The rest is the caller's promise.
    unsafe { stream.launch("kmeans_prepare_f16", geometry, arguments) }
}

/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn propose(stream: &Stream, shape: Shape, to: &Rounded, proposed: &Proposed) -> Result<(), Failure> {
    assert_eq!(to.values.len(), shape.k.next_multiple_of(TILE) * shape.dim_padded(), "rounded centroids");
    assert_eq!(to.halves.len(), shape.k, "halves");
    proposed.assert(shape);
    let geometry = Geometry { blocks: shape.padded() / TILE, threads: 256, shared: PROPOSE_SHARED };
    let arguments = &mut [
        proposed.rounded.argument(),
        to.values.argument(),
        to.halves.argument(),
        proposed.windows.argument(),
        whole(shape.k),
        whole(shape.dim_padded()),
        proposed.counts.argument(),
        proposed.ids.argument(),
    ];
    // SAFETY: a block reads 128 padded rows and all padded centroids and writes 128 counts and their candidates; halves
    // past k are not read. The shared memory is what the kernel lays out, allowed when the device was opened. The rest
    // is the caller's promise.
    unsafe { stream.launch("kmeans_propose_f16", geometry, arguments) }
}

/// `reranked` takes one more for each row with several candidates.
///
/// # Safety
/// No array is touched or freed before the stream's next `wait`, and the candidates are those of [`propose`] for these
/// rows.
pub(crate) unsafe fn decide(
    stream: &Stream,
    shape: Shape,
    rows: &Array<f32>,
    centroids: &Centroids,
    proposed: &Proposed,
    found: &Found,
    reranked: &Array<u32>,
) -> Result<(), Failure> {
    assert!(rows.len() >= shape.n * shape.dim, "rows");
    assert_eq!(reranked.len(), 1);
    centroids.assert(shape);
    proposed.assert(shape);
    found.assert(shape.n);
    let geometry = Geometry { blocks: shape.n.div_ceil(LANES), threads: 256, shared: 0 };
    let arguments = &mut [
        rows.argument(),
        centroids.values.argument(),
        centroids.norms.argument(),
        proposed.row_norms.argument(),
        proposed.counts.argument(),
        proposed.ids.argument(),
        whole(shape.n),
        whole(shape.k),
        whole(shape.dim),
        shape.metric(),
        found.cluster.argument(),
        found.distance.argument(),
        reranked.argument(),
    ];
    // SAFETY: 16 lanes read a row and its candidates, which are below k; lanes past n return. The rest is the caller's
    // promise.
    unsafe { stream.launch("kmeans_decide_f64", geometry, arguments) }
}

/// `scores`: 16 x 8 for each 16 rows and 8 centroids, added to what they are.
///
/// # Safety
/// No array is touched or freed before the stream's next `wait`.
#[cfg(test)]
pub(crate) unsafe fn probe(
    stream: &Stream,
    rows: &Array<u16>,
    centroids: &Array<u16>,
    dim_padded: usize,
    scores: &Array<f32>,
) -> Result<(), Failure> {
    let blocks = scores.len() / 128;
    assert!(dim_padded.is_multiple_of(16) && scores.len() == blocks * 128);
    assert_eq!((rows.len(), centroids.len()), (blocks * 16 * dim_padded, blocks * 8 * dim_padded));
    let geometry = Geometry { blocks, threads: 32, shared: 0 };
    let arguments = &mut [rows.argument(), centroids.argument(), whole(dim_padded), scores.argument()];
    // SAFETY: a warp reads its 16 rows and 8 centroids, and reads and writes its 128 scores. The rest is the caller's
    // promise.
    unsafe { stream.launch("kmeans_probe_f16", geometry, arguments) }
}

/// Sums of clusters as whole numbers.
pub(crate) struct Sums {
    pub(crate) exponent: i32,
    pub(crate) coordinates: Array<u64>,
    pub(crate) totals: Array<u64>,
    /// One: rows that the sums could not take.
    pub(crate) outliers: Array<u32>,
}

/// `weights`: one a row, or none where all are 1.
///
/// # Safety
/// No array is touched or freed before the stream's next `wait`, and every cluster found is below `shape.k` or none.
pub(crate) unsafe fn sums_add(
    stream: &Stream,
    shape: Shape,
    rows: &Array<f32>,
    found: &Found,
    row_norms: &Array<f64>,
    weights: Option<&Array<u64>>,
    sums: &Sums,
) -> Result<(), Failure> {
    assert!(rows.len() >= shape.n * shape.dim && row_norms.len() >= shape.n, "rows and norms");
    assert!(weights.is_none_or(|weights| weights.len() >= shape.n), "weights");
    assert_eq!((sums.coordinates.len(), sums.totals.len()), (shape.k * shape.dim, shape.k * TOTALS), "sums");
    assert_eq!(sums.outliers.len(), 1);
    found.assert(shape.n);
    let geometry = Geometry { blocks: shape.n.div_ceil(8), threads: 256, shared: 0 };
    let arguments = &mut [
        rows.argument(),
        found.cluster.argument(),
        found.distance.argument(),
        row_norms.argument(),
        weights.map_or(Argument::NULL, Array::argument),
        whole(shape.n),
        whole(shape.dim),
        shape.metric(),
        Argument::from(sums.exponent),
        sums.coordinates.argument(),
        sums.totals.argument(),
        sums.outliers.argument(),
    ];
    // SAFETY: a warp reads its row and adds to its cluster's places, which are below k; warps past n return. The rest
    // is the caller's promise.
    unsafe { stream.launch("kmeans_sums_add_i64", geometry, arguments) }
}

/// Rows from which centroids are drawn.
pub(crate) struct Seeded {
    pub(crate) rows: Array<f32>,
    pub(crate) row_norms: Array<f64>,
    pub(crate) squares: Array<f64>,
    pub(crate) weights: Array<u64>,
}

impl Seeded {
    fn assert(&self, shape: Shape) {
        assert_eq!(self.rows.len(), shape.n * shape.dim, "rows");
        assert_eq!(
            (self.row_norms.len(), self.squares.len(), self.weights.len()),
            (shape.n, shape.n, shape.n),
            "columns"
        );
    }
}

/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn seed_norms(stream: &Stream, shape: Shape, seeded: &Seeded) -> Result<(), Failure> {
    seeded.assert(shape);
    let geometry = Geometry { blocks: shape.n.div_ceil(LANES), threads: 256, shared: 0 };
    let arguments =
        &mut [seeded.rows.argument(), whole(shape.n), whole(shape.dim), shape.metric(), seeded.row_norms.argument()];
    // SAFETY: 16 lanes read a row and write its norm; lanes past n return. The rest is the caller's promise.
    unsafe { stream.launch("kmeans_seed_norms_f64", geometry, arguments) }
}

/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn seed_nearer(
    stream: &Stream,
    shape: Shape,
    seeded: &Seeded,
    centroid: &Centroids,
) -> Result<(), Failure> {
    seeded.assert(shape);
    assert_eq!(shape.k, 1, "one centroid");
    centroid.assert(shape);
    let geometry = Geometry { blocks: shape.n.div_ceil(LANES), threads: 256, shared: 0 };
    let arguments = &mut [
        seeded.rows.argument(),
        seeded.row_norms.argument(),
        centroid.values.argument(),
        centroid.norms.argument(),
        whole(shape.n),
        whole(shape.dim),
        shape.metric(),
        seeded.squares.argument(),
    ];
    // SAFETY: 16 lanes read a row and the centroid and write the row's square; lanes past n return. The rest is the
    // caller's promise.
    unsafe { stream.launch("kmeans_seed_nearer_f64", geometry, arguments) }
}

/// Candidates that [`seed_masses`] can weigh at a time: what shared memory holds without being asked.
pub(crate) const SEED_CANDIDATES: usize = 48 * 1024 / 16;

/// `masses`: two words a candidate, to be added to.
///
/// # Safety
/// No array is touched or freed before the stream's next `wait`.
pub(crate) unsafe fn seed_masses(
    stream: &Stream,
    shape: Shape,
    seeded: &Seeded,
    candidates: &Centroids,
    scale: f64,
    masses: &Array<u64>,
) -> Result<(), Failure> {
    seeded.assert(shape);
    candidates.assert(shape);
    assert!(shape.k <= SEED_CANDIDATES, "candidates");
    assert!(masses.len() >= 2 * shape.k, "masses");
    let geometry = Geometry { blocks: shape.n.div_ceil(1024), threads: 256, shared: 16 * shape.k as u32 };
    let arguments = &mut [
        seeded.rows.argument(),
        seeded.row_norms.argument(),
        candidates.values.argument(),
        candidates.norms.argument(),
        seeded.squares.argument(),
        seeded.weights.argument(),
        whole(shape.n),
        whole(shape.k),
        whole(shape.dim),
        shape.metric(),
        Argument::from(scale),
        masses.argument(),
    ];
    // SAFETY: a block reads 1024 rows, fewer at the end, and all candidates, and adds to their masses. The rest is the
    // caller's promise.
    unsafe { stream.launch("kmeans_seed_masses_i128", geometry, arguments) }
}
