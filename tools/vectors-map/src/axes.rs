//! Principal axes: the two directions in which vectors vary most.
//!
//! Subspace iteration with Rayleigh and Ritz's step (Golub and Van Loan, Matrix Computations, section 8.2): a few
//! orthonormal columns are multiplied by the covariances and made orthonormal again, and turned within their span so
//! that each is as good an eigenvector as that span has; until the first two are. All of it in 64-bit floats, on one
//! thread, in one order; only additions, products, quotients and square roots, which are the same everywhere.

use pipe::key::{noise_bits, uniform};

/// Columns that are iterated: the more, the fewer times.
const COLUMNS: usize = 16;

/// A column is an eigenvector where what it is multiplied to is off by this share of the largest eigenvalue.
const ACCURACY: f64 = 1e-13;

/// Where two eigenvalues are all but the same, neither axis is any better than another.
const ITERATIONS_MAX: usize = 2000;

/// The plane that shows most of some vectors.
#[derive(Debug, Clone)]
pub struct Axes {
    mean: Vec<f64>,
    axes: [Vec<f64>; 2],
    /// What share of the variance each axis has.
    pub shares: [f64; 2],
}

type Column = Vec<f64>;

impl Axes {
    /// The axes of covariances (row by row, in any unit) around a mean. The value of an axis that is farthest from 0 is
    /// above it, of equally far ones the first.
    pub fn of(mean: Vec<f64>, covariances: &[f64]) -> Axes {
        let dim = mean.len();
        let trace: f64 = (0..dim).map(|i| covariances[i * dim + i]).sum();
        let (values, columns) = largest(covariances, dim);
        let mut columns = columns.into_iter().map(signed);
        let axes = [0, 1].map(|_| columns.next().unwrap_or_else(|| vec![0.0; dim]));
        let share = |i: usize| if trace > 0.0 { values.get(i).map_or(0.0, |value| value / trace) } else { 0.0 };
        Axes { mean, axes, shares: [share(0), share(1)] }
    }

    /// Where a vector lies.
    pub fn place(&self, row: &[f32]) -> [f64; 2] {
        let place = |axis: &Column| {
            let mut sums = [0.0; 8];
            for (i, (&value, (mean, axis))) in row.iter().zip(self.mean.iter().zip(axis)).enumerate() {
                sums[i % 8] += (f64::from(value) - mean) * axis;
            }
            sums.iter().sum()
        };
        [place(&self.axes[0]), place(&self.axes[1])]
    }
}

fn signed(mut column: Column) -> Column {
    let far = column.iter().fold(0.0, |far: f64, &value| if value.abs() > far.abs() { value } else { far });
    if far < 0.0 {
        column.iter_mut().for_each(|value| *value = -*value);
    }
    column
}

/// The largest eigenvalues with their eigenvectors, largest first; of these, the first two are good. Where the matrix
/// has not so many above 0, they are zero.
fn largest(matrix: &[f64], dim: usize) -> (Vec<f64>, Vec<Column>) {
    let count = dim.min(COLUMNS);
    let start = |j: usize| (0..dim).map(move |i| uniform(noise_bits(0, "vectors-map", (i * count + j) as u64)) - 0.5);
    let mut columns: Vec<Column> = (0..count).map(|j| start(j).collect()).collect();
    orthonormalise(&mut columns);
    let mut values = vec![0.0; count];
    for _ in 0..ITERATIONS_MAX {
        let mut images: Vec<Column> = columns.iter().map(|column| multiply(matrix, column)).collect();
        let mut small: Vec<Column> =
            columns.iter().map(|column| images.iter().map(|image| dot(column, image)).collect()).collect();
        let turn = jacobi(&mut small);
        values = (0..count).map(|j| small[turn[j].0][turn[j].0]).collect();
        let turned = |columns: &[Column]| turn.iter().map(|(_, by)| combined(columns, by)).collect::<Vec<_>>();
        (columns, images) = (turned(&columns), turned(&images));
        let off = |j: usize| {
            let rest = columns[j].iter().zip(&images[j]).map(|(own, image)| (image - values[j] * own).powi(2));
            rest.sum::<f64>().sqrt()
        };
        if (0..count.min(2)).all(|j| off(j) <= ACCURACY * values[0].abs()) {
            break;
        }
        columns = images;
        orthonormalise(&mut columns);
    }
    (values, columns)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

fn multiply(matrix: &[f64], column: &[f64]) -> Column {
    matrix.chunks_exact(column.len()).map(|row| dot(row, column)).collect()
}

fn combined(columns: &[Column], by: &[f64]) -> Column {
    let mut sum = vec![0.0; columns[0].len()];
    for (column, by) in columns.iter().zip(by) {
        sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += by * value);
    }
    sum
}

/// Gram and Schmidt's, twice. A column that is made of those before it becomes zero.
fn orthonormalise(columns: &mut [Column]) {
    for j in 0..columns.len() {
        let before = dot(&columns[j], &columns[j]).sqrt();
        let (done, rest) = columns.split_at_mut(j);
        let own = &mut rest[0];
        for other in done.iter().chain(&*done) {
            let part = dot(own, other);
            own.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
        }
        let norm = dot(own, own).sqrt();
        let scale = if norm > 1e-14 * before { 1.0 / norm } else { 0.0 };
        own.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Makes a small symmetric matrix diagonal by Jacobi's rotations. Gives for each eigenvalue, largest first, its place
/// on the diagonal and its eigenvector.
fn jacobi(matrix: &mut [Column]) -> Vec<(usize, Column)> {
    let n = matrix.len();
    let mut vectors: Vec<Column> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..100 {
        let off = |i: usize| (i + 1..n).map(|j| matrix[i][j].powi(2)).sum::<f64>();
        let (off, on) = ((0..n).map(off).sum::<f64>(), (0..n).map(|i| matrix[i][i].powi(2)).sum::<f64>());
        if off <= 1e-36 * on {
            break;
        }
        for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
            if matrix[p][q] != 0.0 {
                rotate(matrix, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| matrix[b][b].total_cmp(&matrix[a][a]));
    order.into_iter().map(|i| (i, vectors[i].clone())).collect()
}

/// Makes an element zero.
fn rotate(matrix: &mut [Column], vectors: &mut [Column], p: usize, q: usize) {
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for row in matrix.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    for lines in [matrix, vectors] {
        let (before, from_q) = lines.split_at_mut(q);
        for (a, b) in before[p].iter_mut().zip(&mut from_q[0]) {
            (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::kmeans::trials::Random;

    /// A matrix with these eigenvalues, and its eigenvectors.
    fn matrix(values: &[f64], random: &mut Random) -> (Vec<f64>, Vec<Column>) {
        let dim = values.len();
        let mut vectors: Vec<Column> =
            (0..dim).map(|_| random.vector(dim).into_iter().map(f64::from).collect()).collect();
        orthonormalise(&mut vectors);
        let entry = |at: usize| {
            let (i, j) = (at / dim, at % dim);
            values.iter().zip(&vectors).map(|(value, vector)| value * vector[i] * vector[j]).sum()
        };
        ((0..dim * dim).map(entry).collect(), vectors)
    }

    #[test]
    fn axes_are_the_eigenvectors_of_the_two_largest_eigenvalues() {
        let mut random = Random(3);
        for dim in [1, 2, 3, 17, 60] {
            for decay in [0.1, 0.5, 0.9, 0.98] {
                let values: Vec<f64> = (0..dim).map(|i| 7.0 * f64::powi(decay, i)).collect();
                let (matrix, vectors) = matrix(&values, &mut random);
                let axes = Axes::of(vec![0.0; dim as usize], &matrix);
                let all: f64 = values.iter().sum();
                for i in 0..2.min(dim as usize) {
                    assert!((dot(&axes.axes[i], &vectors[i]).abs() - 1.0).abs() < 1e-9, "{dim} {decay} {i}");
                    assert!((axes.shares[i] - values[i] / all).abs() < 1e-10);
                    let far = axes.axes[i].iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
                    assert!(far.unwrap() > 0.0);
                }
            }
        }
    }

    #[test]
    fn where_nothing_varies_all_lie_at_one_place() {
        let axes = Axes::of(vec![1.0, 2.0, 3.0], &[0.0; 9]);
        assert_eq!(axes.place(&[1.0, 2.0, 3.0]), [0.0, 0.0]);
        assert_eq!(axes.shares, [0.0, 0.0]);
        let line = Axes::of(vec![0.0; 2], &[4.0, 0.0, 0.0, 0.0]);
        let ([x, y], [most, rest]) = (line.place(&[3.0, 0.0]), line.shares);
        assert!((x - 3.0).abs() < 1e-15 && y.abs() < 1e-15 && (most - 1.0).abs() < 1e-15 && rest.abs() < 1e-15);
    }
}
