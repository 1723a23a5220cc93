//! t-SNE (van der Maaten and Hinton, 2008, Visualizing Data using t-SNE) of some rows, and other rows among them.
//!
//! With d_ij the squared distance of rows i and j, row i gives row j the share `p_j|i ~ exp(-b_i d_ij)`, b_i such that
//! the entropy of its shares is the logarithm of the perplexity; `p_ij = (p_j|i + p_i|j) / 2n`. The places y are moved
//! down the gradient of the divergence of `q_ij ~ 1 / (1 + |y_i - y_j|^2)` from p, by momentum and gains (Jacobs,
//! 1988), first with p multiplied (early exaggeration). The constants are those of scikit-learn's `TSNE`, the start is
//! the principal axes; all pairs are computed, none is left out or approximated.
//!
//! Sums over j have eight parts, by j mod 8, which are added in ascending order; sums over rows are in the order of
//! rows. Exponentials and logarithms are those of the `libm` crate. So the places are the same on any threads and any
//! machine.

use compute::as_wide_as_can_be;
use compute::kmeans::exact::squared_distance;
use compute::kmeans::{Assigner, Centroids, Cpu, Metric, Nearest, Scratch};
use pipe::crew::beside;
use pipe::failure::Failure;

/// How many landmarks a row is placed among.
const AMONG: usize = 10;

const ITERATIONS: usize = 1000;
const EXAGGERATED: usize = 250;
const EXAGGERATION: f64 = 12.0;
const LANES: usize = 8;

type Place = [f64; 2];

/// Landmarks with their places.
pub struct Map {
    landmarks: Cpu,
    places: Vec<Place>,
    /// How far around each the rows lie that are nearest to it.
    reaches: Vec<f64>,
    dim: usize,
}

/// What [`Map::place`] keeps from call to call.
#[derive(Default)]
pub struct Work {
    scratch: Scratch,
    found: Vec<Nearest>,
}

impl Map {
    /// Places landmarks, from where they begin on.
    ///
    /// # Errors
    /// Where threads cannot be started.
    pub fn new(values: Vec<f32>, dim: usize, start: &[Place], perplexity: f64, threads: usize) -> Result<Map, Failure> {
        let places = embed(&values, dim, start, perplexity, threads)?;
        let reaches = reaches(&places, threads)?;
        let landmarks = Centroids::new(Metric::Euclidean, dim, values).expect("landmarks are finite");
        Ok(Map { landmarks: Cpu::new(landmarks), places, reaches, dim })
    }

    /// Where rows lie: beside the nearest landmark, towards the mean of the nearest ten. (That mean itself is a bad
    /// place: in many dimensions the ten are almost equally far, and lie all over the map.) A row that is a landmark
    /// lies where this does; one with a value that is not finite lies nowhere.
    pub fn place(&self, rows: &[f32], work: &mut Work, mut place: impl FnMut(Option<Place>)) {
        let count = AMONG.min(self.places.len());
        work.found.clear();
        work.found.resize(rows.len() / self.dim * count, Nearest::MISSING);
        self.landmarks.nearest_several(rows, count, &mut work.found, &mut work.scratch);
        let found = work.found.chunks_exact(count);
        found.for_each(|found| place((found[0].cluster != Nearest::NONE).then(|| self.among(found))));
    }

    /// From the nearest landmark on towards the mean of all, within the landmark's cell: `r` is how far that reaches,
    /// and a mean that is `d` away draws the row by `d r / (d + r)`.
    fn among(&self, found: &[Nearest]) -> Place {
        let nearest = found[0].cluster as usize;
        let (from, reach) = (self.places[nearest], self.reaches[nearest]);
        let mean = self.mean(found);
        let by = [mean[0] - from[0], mean[1] - from[1]];
        let far = (by[0] * by[0] + by[1] * by[1]).sqrt();
        if found[0].distance == 0.0 || far == 0.0 {
            return mean;
        }
        let share = reach / (far + reach);
        [from[0] + by[0] * share, from[1] + by[1] * share]
    }

    /// Weighed by one over the squares of the distances.
    fn mean(&self, found: &[Nearest]) -> Place {
        let own = found[0].distance == 0.0;
        let (mut sum, mut all) = ([0.0; 2], 0.0);
        for near in found {
            let weight = if own {
                f64::from(u8::from(near.distance == 0.0))
            } else {
                // As a share of the largest, which is never beyond what a float holds.
                (found[0].distance / near.distance).powi(2)
            };
            let place = self.places[near.cluster as usize];
            (0..2).for_each(|axis| sum[axis] += weight * place[axis]);
            all += weight;
        }
        sum.map(|sum| sum / all)
    }
}

/// Half of how far the nearest other landmark is on the map, for each.
fn reaches(places: &[Place], threads: usize) -> Result<Vec<f64>, Failure> {
    let square = |a: Place, b: Place| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let one = |i: usize| {
        let others = places[..i].iter().chain(&places[i + 1..]);
        let nearest = others.map(|&other| square(places[i], other)).fold(f64::INFINITY, f64::min);
        if nearest.is_finite() { nearest.sqrt() / 2.0 } else { 0.0 }
    };
    rows(places.len(), threads, one)
}

/// The places of rows.
fn embed(values: &[f32], dim: usize, start: &[Place], perplexity: f64, threads: usize) -> Result<Vec<Place>, Failure> {
    let rows = start.len();
    // With fewer there are no neighbourhoods.
    if rows < 4 {
        return Ok(start.to_vec());
    }
    let padded = rows.next_multiple_of(LANES);
    let shares = shares(values, dim, padded, perplexity.min((rows - 1) as f64 / 3.0), threads)?;
    let mut state = State::new(scaled(start), padded);
    for iteration in 0..ITERATIONS {
        let early = iteration < EXAGGERATED;
        if iteration == EXAGGERATED {
            state.rest();
        }
        let (times, momentum) = if early { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
        state.step(&shares, times, momentum, threads)?;
    }
    Ok(state.places())
}

/// The beginning: small, so that no two rows are apart before the gradient says so.
fn scaled(start: &[Place]) -> Vec<Place> {
    let rows = start.len() as f64;
    let mean = start.iter().map(|place| place[0]).sum::<f64>() / rows;
    let square = start.iter().map(|place| (place[0] - mean).powi(2)).sum::<f64>() / rows;
    let scale = if square > 0.0 { 1e-4 / square.sqrt() } else { 0.0 };
    start.iter().map(|place| place.map(|value| value * scale)).collect()
}

/// What becomes of each row, in order, on several threads.
fn rows<T: Send>(count: usize, threads: usize, one: impl Fn(usize) -> T + Sync) -> Result<Vec<T>, Failure> {
    let size = count.div_ceil(threads);
    let parts: Vec<_> = (0..count).step_by(size).map(|from| from..count.min(from + size)).collect();
    let (parts, ()) = beside(parts.into_iter(), |part| part.map(&one).collect::<Vec<T>>(), || ())?;
    Ok(parts.into_iter().flatten().collect())
}

/// `p`, row by row, each padded with zeros.
fn shares(
    values: &[f32],
    dim: usize,
    padded: usize,
    perplexity: f64,
    threads: usize,
) -> Result<Vec<Vec<f64>>, Failure> {
    let count = values.len() / dim;
    let row = |i: usize| &values[i * dim..][..dim];
    let one = |i: usize| {
        let squares: Vec<f64> = (0..count).map(|j| squared_distance(row(i), row(j))).collect();
        given(&squares, i, libm::log(perplexity))
    };
    let given = rows(count, threads, one)?;
    let both = |i: usize| {
        let mut line: Vec<f64> = (0..count).map(|j| (given[i][j] + given[j][i]) / (2 * count) as f64).collect();
        line.resize(padded, 0.0);
        line
    };
    rows(count, threads, both)
}

/// `p_j|i` for all j: by halving, until the entropy is as wanted to 1e-10.
fn given(squares: &[f64], i: usize, entropy_wanted: f64) -> Vec<f64> {
    let others = || squares.iter().enumerate().filter(|&(j, _)| j != i).map(|(_, &square)| square);
    let nearest = others().fold(f64::INFINITY, f64::min);
    let mean = others().map(|square| square - nearest).sum::<f64>() / (squares.len() - 1) as f64;
    // In units in which distances are about 1. Where all are equal, so are the shares.
    let unit = if mean > 0.0 { 1.0 / mean } else { 0.0 };
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    let mut shares = vec![0.0; squares.len()];
    for _ in 0..100 {
        let (mut sum, mut weighed) = (0.0, 0.0);
        for (j, &square) in squares.iter().enumerate().filter(|&(j, _)| j != i) {
            let far = (square - nearest) * unit;
            shares[j] = libm::exp(-beta * far);
            sum += shares[j];
            weighed += shares[j] * far;
        }
        shares.iter_mut().for_each(|share| *share /= sum);
        let over = libm::log(sum) + beta * weighed / sum - entropy_wanted;
        if over.abs() < 1e-10 {
            break;
        }
        (low, high) = if over > 0.0 { (beta, high) } else { (low, beta) };
        beta = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * beta };
    }
    shares
}

/// Where all rows are, and how they move.
struct State {
    rows: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    /// Of x, then of y.
    moves: [Vec<f64>; 2],
    gains: [Vec<f64>; 2],
    rate: f64,
}

/// Of one row: the sum of its `q` (not yet a share), what draws it, what drives it.
struct Forces {
    near: f64,
    draw: Place,
    drive: Place,
}

impl State {
    fn new(start: Vec<Place>, padded: usize) -> State {
        let rows = start.len();
        // Rows that are not there are so far away that they drive nobody.
        let axis = |axis: usize| {
            let mut values: Vec<f64> = start.iter().map(|place| place[axis]).collect();
            values.resize(padded, 1e150);
            values
        };
        let rate = (rows as f64 / EXAGGERATION / 4.0).max(50.0);
        let per_axis = |value: f64| [vec![value; rows], vec![value; rows]];
        State { rows, x: axis(0), y: axis(1), moves: per_axis(0.0), gains: per_axis(1.0), rate }
    }

    /// Forgets how rows moved, as what moves them is another from here on.
    fn rest(&mut self) {
        self.moves.iter_mut().for_each(|moves| moves.fill(0.0));
        self.gains.iter_mut().for_each(|gains| gains.fill(1.0));
    }

    fn places(&self) -> Vec<Place> {
        (0..self.rows).map(|i| [self.x[i], self.y[i]]).collect()
    }

    fn step(&mut self, shares: &[Vec<f64>], times: f64, momentum: f64, threads: usize) -> Result<(), Failure> {
        let forces = rows(self.rows, threads, |i| forces(&shares[i], &self.x, &self.y, i))?;
        let all: f64 = forces.iter().map(|forces| forces.near).sum();
        let mut means = [0.0; 2];
        for (i, forces) in forces.iter().enumerate() {
            for (axis, mean) in means.iter_mut().enumerate() {
                let gradient = 4.0 * (times * forces.draw[axis] - forces.drive[axis] / all);
                let (moved, gain) = (&mut self.moves[axis][i], &mut self.gains[axis][i]);
                let turned = (gradient > 0.0) != (*moved > 0.0);
                *gain = if turned { *gain + 0.2 } else { (*gain * 0.8).max(0.01) };
                *moved = momentum * *moved - self.rate * *gain * gradient;
                let at = if axis == 0 { &mut self.x[i] } else { &mut self.y[i] };
                *at += *moved;
                *mean += *at / self.rows as f64;
            }
        }
        self.x[..self.rows].iter_mut().for_each(|x| *x -= means[0]);
        self.y[..self.rows].iter_mut().for_each(|y| *y -= means[1]);
        Ok(())
    }
}

/// Compiled once more for wider registers, with the same bits.
fn forces(shares: &[f64], x: &[f64], y: &[f64], i: usize) -> Forces {
    as_wide_as_can_be!(forces_plainly(shares: &[f64], x: &[f64], y: &[f64], i: usize) -> Forces)
}

#[inline(always)]
fn forces_plainly<'a>(shares: &'a [f64], x: &'a [f64], y: &'a [f64], i: usize) -> Forces {
    let mut sums = [[0.0; LANES]; 5];
    let (own_x, own_y) = (x[i], y[i]);
    let lanes = |values: &'a [f64]| values.as_chunks::<LANES>().0.iter();
    let parts = lanes(shares).zip(lanes(x)).zip(lanes(y));
    for ((share, x), y) in parts {
        for l in 0..LANES {
            let (dx, dy) = (own_x - x[l], own_y - y[l]);
            let near = 1.0 / (1.0 + dx * dx + dy * dy);
            let (draw, drive) = (share[l] * near, near * near);
            sums[0][l] += near;
            sums[1][l] += draw * dx;
            sums[2][l] += draw * dy;
            sums[3][l] += drive * dx;
            sums[4][l] += drive * dy;
        }
    }
    let [near, draw_x, draw_y, drive_x, drive_y] = sums.map(|lanes| lanes.iter().sum::<f64>());
    // The row is as near to itself as can be, which is not meant.
    Forces { near: near - 1.0, draw: [draw_x, draw_y], drive: [drive_x, drive_y] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::kmeans::trials::Random;

    /// Three groups of rows, in turn, far from each other.
    fn groups(count: usize, dim: usize) -> Vec<f32> {
        let mut random = Random(5);
        let centres = random.vector(3 * dim);
        let row = |i: usize| {
            random.vector(dim).into_iter().zip(&centres[i % 3 * dim..]).map(|(a, b)| 0.1 * a + 3.0 * b).collect()
        };
        (0..count).map(row).collect::<Vec<Vec<f32>>>().concat()
    }

    fn start(count: usize) -> Vec<Place> {
        let mut random = Random(6);
        (0..count).map(|_| [0, 1].map(|_| f64::from(random.value()))).collect()
    }

    #[test]
    fn shares_have_the_perplexity_and_are_symmetric() {
        let (count, dim) = (100, 5);
        let values = groups(count, dim);
        let row = |i: usize| &values[i * dim..][..dim];
        for i in [0, 7, 99] {
            let squares: Vec<f64> = (0..count).map(|j| squared_distance(row(i), row(j))).collect();
            let given = given(&squares, i, libm::log(20.0));
            let entropy: f64 = given.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            assert!((entropy.exp() - 20.0).abs() < 1e-6 && given[i] == 0.0, "{entropy}");
        }
        let all = shares(&values, dim, 104, 20.0, 2).unwrap();
        assert!((all.iter().flatten().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((0..count).all(|i| (0..count).all(|j| all[i][j] == all[j][i])));
    }

    /// The divergence by its definition, and its slope by differences.
    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let (count, dim) = (30, 4);
        let shares = shares(&groups(count, dim), dim, 32, 5.0, 1).unwrap();
        let places = start(count);
        let divergence = |places: &[Place]| {
            let near = |i: usize, j: usize| {
                let apart = [0, 1].map(|axis| places[i][axis] - places[j][axis]);
                1.0 / (1.0 + apart[0].powi(2) + apart[1].powi(2))
            };
            let pairs = || (0..count).flat_map(|i| (0..count).filter(move |&j| j != i).map(move |j| (i, j)));
            let all: f64 = pairs().map(|(i, j)| near(i, j)).sum();
            let term = |(i, j): (usize, usize)| shares[i][j] * (shares[i][j] / (near(i, j) / all)).ln();
            pairs().filter(|&(i, j)| shares[i][j] > 0.0).map(term).sum::<f64>()
        };
        let state = State::new(places.clone(), 32);
        let all: f64 = (0..count).map(|i| forces(&shares[i], &state.x, &state.y, i).near).sum();
        for (i, axis) in [(0, 0), (3, 1), (29, 0)] {
            let forces = forces(&shares[i], &state.x, &state.y, i);
            let found = 4.0 * (forces.draw[axis] - forces.drive[axis] / all);
            let moved = |by: f64| {
                let mut places = places.clone();
                places[i][axis] += by;
                divergence(&places)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }

    #[test]
    fn groups_stay_together_on_any_threads_and_others_lie_among_them() {
        let (count, dim) = (90, 6);
        let values = groups(count, dim);
        let map = |threads| Map::new(values.clone(), dim, &start(count), 10.0, threads).unwrap();
        let (one, three) = (map(1), map(3));
        assert_eq!(one.places, three.places);
        let apart = |i: usize, j: usize| {
            [0, 1].map(|axis| (one.places[i][axis] - one.places[j][axis]).powi(2)).iter().sum::<f64>()
        };
        for i in 0..count {
            let nearest = (0..count).filter(|&j| j != i).min_by(|&a, &b| apart(i, a).total_cmp(&apart(i, b)));
            assert_eq!(nearest.unwrap() % 3, i % 3, "row {i}");
        }
        let (mut places, mut work) = (Vec::new(), Work::default());
        one.place(&values, &mut work, |place| places.push(place));
        assert_eq!(places, one.places.iter().copied().map(Some).collect::<Vec<_>>());
        one.place(&[f32::NAN; 6], &mut work, |place| assert_eq!(place, None));
        let near: Vec<f32> = values[..dim].iter().map(|value| value + 1e-3).collect();
        one.place(&near, &mut work, |place| {
            let place = place.expect("it is finite");
            assert!((0..2).all(|axis| (place[axis] - one.places[0][axis]).abs() < 1.0), "{place:?}");
        });
        // As far from all groups as can be, and yet beside one landmark.
        let mean: Vec<f32> = (0..dim).map(|i| values.iter().skip(i).step_by(dim).sum::<f32>() / count as f32).collect();
        one.place(&mean, &mut work, |place| {
            let place = place.expect("it is finite");
            let away = |of: Place| ((of[0] - place[0]).powi(2) + (of[1] - place[1]).powi(2)).sqrt();
            let beside = one.places.iter().zip(&one.reaches).filter(|&(&of, reach)| away(of) <= *reach);
            assert_eq!(beside.count(), 1, "{place:?}");
        });
    }
}
