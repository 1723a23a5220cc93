//! The kernels as they are loaded, and the numbers that are compiled into them.

/// PTX and the kernels in it. Made by `scripts/kernels`.
pub(crate) const MODULES: &[(&str, &[&str])] = &[
    (
        include_str!("../../kernels/kmeans_assign.ptx"),
        &[
            "kmeans_assign_naive_f64",
            "kmeans_rank_naive_f64",
            "kmeans_prepare_f16",
            "kmeans_propose_f16",
            "kmeans_decide_f64",
            "kmeans_probe_f16",
        ],
    ),
    (
        include_str!("../../kernels/kmeans_seed.ptx"),
        &["kmeans_seed_norms_f64", "kmeans_seed_nearer_f64", "kmeans_seed_masses_i128"],
    ),
    (include_str!("../../kernels/kmeans_sums.ptx"), &["kmeans_sums_add_i64"]),
];

/// Kernels that take more shared memory than is given without asking.
pub(crate) const DYNAMIC_SHARED: &[(&str, u32)] = &[("kmeans_propose_f16", PROPOSE_SHARED)];

/// Rows and centroids of a tile: both are padded to whole ones.
pub(crate) const TILE: usize = 128;
/// Dimensions of a step: rows of 16-bit floats are padded to whole ones.
pub(crate) const STEP: usize = 32;
/// Candidates that a row can have without having all.
pub(crate) const CANDIDATES: usize = 16;
/// 64-bit words of a cluster's totals.
pub(crate) const TOTALS: usize = 9;

/// Three stages of two tiles of 16-bit floats, and for each row the best, the window, the best dropped, the count,
/// numbers and scores of candidates.
pub(crate) const PROPOSE_SHARED: u32 = (3 * 2 * TILE * STEP * 2 + TILE * (16 + CANDIDATES * 8)) as u32;
