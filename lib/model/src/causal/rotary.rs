//! The frequencies of rotary embeddings, with the rules that stretch them for longer texts.
//!
//! Both ways to write them are read: `rope_parameters` of transformers 5, and `rope_theta`, `rope_scaling`,
//! `rotary_pct` before it. Rules that depend on the length of the text (dynamic NTK, LongRoPE) would give a prefix
//! other numbers than the whole, and are refused.

use crate::Error;
use crate::json::Settings;
use compute::transformer::Rotary;
use std::f64::consts::TAU;

/// A setting by its newer and its older place.
struct Rope<'a>(&'a Settings);

impl Rope<'_> {
    fn names(name: &str) -> [String; 2] {
        [format!("rope_parameters.{name}"), format!("rope_scaling.{name}")]
    }

    fn number_or(&self, name: &str, default: f64) -> Result<f64, Error> {
        let names = Rope::names(name);
        self.0.number_or(&names.each_ref().map(String::as_str), default)
    }

    /// A number that must be there.
    fn number(&self, name: &str) -> Result<f64, Error> {
        let found = self.number_or(name, f64::INFINITY)?;
        if found.is_infinite() {
            return Err(self.0.error(format!("{} is missing", Rope::names(name).join(" or "))));
        }
        Ok(found)
    }

    /// The length that the model was first trained at.
    fn original_length(&self) -> Result<f64, Error> {
        let [new, old] = Rope::names("original_max_position_embeddings");
        let names = ["original_max_position_embeddings", &new, &old, "max_position_embeddings"];
        Ok(self.0.count(&names)? as f64)
    }
}

/// The rotary embedding that the configuration describes, for heads of `size`; `share` of a head is turned where
/// nothing is said.
pub(super) fn rotary(config: &Settings, size: usize, share: f64) -> Result<Rotary, Error> {
    let rope = Rope(config);
    for kind in ["full_attention", "sliding_attention"] {
        if config.get(&[&format!("rope_parameters.{kind}")]).is_some() {
            return Err(config.error(format!("rope_parameters.{kind}: parameters a kind of block are not supported")));
        }
    }
    let theta = ["rope_parameters.rope_theta", "rope_theta", "rotary_emb_base"];
    let theta = config.number_or(&theta, 10_000.0)?;
    let shares = ["rope_parameters.partial_rotary_factor", "partial_rotary_factor", "rotary_pct"];
    let turned = (size as f64 * config.number_or(&shares, share)?) as usize;
    if turned > size || !turned.is_multiple_of(2) {
        return Err(config.error(format!("{turned} of the {size} values of a head cannot be turned in pairs")));
    }
    let plain = Rotary::new(theta as f32, turned);
    let kinds = ["rope_parameters.rope_type", "rope_parameters.type", "rope_scaling.rope_type", "rope_scaling.type"];
    match config.text(&kinds)?.unwrap_or("default") {
        "default" => Ok(plain),
        "linear" => linear(&rope, plain),
        "llama3" => llama3(&rope, plain),
        "yarn" => yarn(&rope, plain, theta),
        other => {
            let why = format!("rope_type {other:?} is not supported, only default, linear, llama3 and yarn");
            Err(config.error(why))
        }
    }
}

fn linear(rope: &Rope, plain: Rotary) -> Result<Rotary, Error> {
    let factor = rope.number("factor")? as f32;
    Ok(Rotary { frequencies: plain.frequencies.iter().map(|f| f / factor).collect(), ..plain })
}

/// Llama 3: long waves are stretched by the factor, short ones stay, and between the two is a ramp.
fn llama3(rope: &Rope, plain: Rotary) -> Result<Rotary, Error> {
    let (factor, length) = (rope.number("factor")?, rope.original_length()?);
    let (low, high) = (rope.number("low_freq_factor")?, rope.number("high_freq_factor")?);
    let stretched = |&frequency: &f32| {
        let frequency = f64::from(frequency);
        let waves = length * frequency / TAU;
        let smooth = ((waves - low) / (high - low)).clamp(0.0, 1.0);
        ((1.0 - smooth) * frequency / factor + smooth * frequency) as f32
    };
    Ok(Rotary { frequencies: plain.frequencies.iter().map(stretched).collect(), ..plain })
}

/// YaRN (Peng et al. 2023): a ramp over the pairs from those that turn often within the first length to those that turn
/// seldom; and scores are sharpened.
fn yarn(rope: &Rope, plain: Rotary, theta: f64) -> Result<Rotary, Error> {
    let pairs = plain.frequencies.len();
    let (turned, length) = (2.0 * pairs as f64, rope.original_length()?);
    let whole = rope.0.count(&["max_position_embeddings"])? as f64;
    let factor = rope.number_or("factor", whole / length)?;
    let pair = |turns: f64| turned * (length / (turns * TAU)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (pair(rope.number_or("beta_fast", 32.0)?), pair(rope.number_or("beta_slow", 1.0)?));
    let names = Rope::names("truncate");
    if rope.0.flag_or(&names.each_ref().map(String::as_str), true)? {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(turned - 1.0));
    if low == high {
        high += 0.001;
    }
    let stretched = |(p, &frequency): (usize, &f32)| {
        let ramp = ((p as f64 - low) / (high - low)).clamp(0.0, 1.0);
        let frequency = f64::from(frequency);
        (ramp * frequency / factor + (1.0 - ramp) * frequency) as f32
    };
    let frequencies = plain.frequencies.iter().enumerate().map(stretched).collect();
    Ok(Rotary { frequencies, scale: yarn_scale(rope, factor)? as f32 })
}

fn yarn_scale(rope: &Rope, factor: f64) -> Result<f64, Error> {
    let sharper = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    let [by, by_all] = [rope.number_or("mscale", f64::NAN)?, rope.number_or("mscale_all_dim", f64::NAN)?];
    let usual = if by.is_nan() || by_all.is_nan() { sharper(1.0) } else { sharper(by) / sharper(by_all) };
    rope.number_or("attention_factor", usual)
}
