//! The tensors of a model folder, by name and expected shape.

use crate::Error;
use compute::transformer::{Linear, Matrix, Norm, NormKind};
use pipe::safetensors::File;
use serde::de::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One file, or the shards that an index names.
#[derive(Debug)]
pub(crate) struct Weights {
    /// The one file or the index, for messages.
    path: PathBuf,
    files: Vec<File>,
    /// Tensor to index of its file.
    places: HashMap<String, usize>,
    /// What stands before the names, `bert.` for one.
    prefix: String,
}

impl Weights {
    /// `model.safetensors`, or what `model.safetensors.index.json` names.
    pub(crate) fn open(folder: &Path) -> Result<Weights, Error> {
        let index = folder.join("model.safetensors.index.json");
        let single = folder.join("model.safetensors");
        if !single.exists() && index.exists() {
            Weights::open_shards(folder, &index)
        } else {
            Weights::open_file(&single)
        }
    }

    fn open_file(path: &Path) -> Result<Weights, Error> {
        if !path.exists() && path.with_file_name("pytorch_model.bin").exists() {
            let why = "is missing, and pytorch_model.bin is not read; write the model anew with safe_serialization";
            return Err(Error::new(path, why));
        }
        let file = File::open(path)?;
        let places = file.names().map(|name| (name.to_string(), 0)).collect();
        Ok(Weights { path: path.to_path_buf(), files: vec![file], places, prefix: String::new() })
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Weights, Error> {
        let map = read_index(index)?;
        let mut names: Vec<&String> = map.values().collect();
        names.sort();
        names.dedup();
        if let Some(name) = names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..") {
            return Err(Error::new(index, format!("weight_map: {name:?} is not a file of this folder")));
        }
        let files = names.iter().map(|name| File::open(&folder.join(name))).collect::<Result<Vec<_>, _>>()?;
        let mut places = HashMap::new();
        for (tensor, name) in &map {
            let at = names.binary_search(&name).unwrap_or_default();
            if files[at].shape(tensor).is_none() {
                return Err(Error::new(index, format!("weight_map: tensor {tensor:?} is not in {name}")));
            }
            places.insert(tensor.clone(), at);
        }
        Ok(Weights { path: index.to_path_buf(), files, places, prefix: String::new() })
    }

    /// Settles what stands before all names, by the place of one tensor that must be there.
    pub(crate) fn settle_prefix(&mut self, tensor: &str, prefixes: &[&str]) -> Result<(), Error> {
        match prefixes.iter().find(|prefix| self.places.contains_key(&format!("{prefix}{tensor}"))) {
            Some(prefix) => self.prefix = prefix.to_string(),
            None => {
                let others: Vec<String> =
                    prefixes.iter().filter(|p| !p.is_empty()).map(|p| format!("{p}{tensor}")).collect();
                let why = format!("tensor {tensor:?} is missing (looked also for {})", others.join(", "));
                return Err(Error::new(&self.path, why));
            }
        }
        Ok(())
    }

    /// From here on nothing stands before the names.
    pub(crate) fn end_prefix(&mut self) {
        self.prefix.clear();
    }

    fn file(&self, name: &str) -> Option<&File> {
        self.places.get(name).map(|&at| &self.files[at])
    }

    /// The shape of a tensor, where it is there.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        let name = format!("{}{name}", self.prefix);
        self.file(&name).and_then(|file| file.shape(&name))
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let name = format!("{}{name}", self.prefix);
        let Some(file) = self.file(&name) else {
            return Err(Error::new(&self.path, format!("tensor {name:?} is missing")));
        };
        match file.shape(&name) {
            Some(found) if found == shape => {
                let values = file.read(&name)?.values;
                match values.iter().find(|value| !value.is_finite()) {
                    Some(value) => Err(Error::new(file.path(), format!("tensor {name:?}: has the value {value}"))),
                    None => Ok(values),
                }
            }
            found => {
                let found = found.unwrap_or_default();
                Err(Error::new(file.path(), format!("tensor {name:?}: expected shape {shape:?}, found {found:?}")))
            }
        }
    }

    /// A matrix of the given shape.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, Error> {
        Ok(Matrix { rows, columns, values: self.values(name, &[rows, columns])? })
    }

    /// `NAME.weight` of shape `(outputs, inputs)`, and `NAME.bias` where the architecture has it.
    pub(crate) fn linear(&self, name: &str, outputs: usize, inputs: usize, has_bias: bool) -> Result<Linear, Error> {
        let weight = self.matrix(&format!("{name}.weight"), outputs, inputs)?;
        let bias = if has_bias { self.values(&format!("{name}.bias"), &[outputs])? } else { Vec::new() };
        Ok(Linear { weight, bias })
    }

    /// As [`Weights::linear`], of several maps that are stored one below the other.
    pub(crate) fn fused<const N: usize>(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<[Linear; N], Error> {
        Ok(split(&self.linear(name, N * outputs, inputs, bias)?))
    }

    /// As [`Weights::linear`], the weight stored as `(inputs, outputs)` (GPT-2's `Conv1D`); there is always a bias.
    pub(crate) fn turned(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear, Error> {
        let stored = self.values(&format!("{name}.weight"), &[inputs, outputs])?;
        let values = (0..outputs).flat_map(|o| stored[o..].iter().step_by(outputs).copied()).collect();
        let bias = self.values(&format!("{name}.bias"), &[outputs])?;
        Ok(Linear { weight: Matrix { rows: outputs, columns: inputs, values }, bias })
    }

    /// `NAME.weight` and `NAME.bias`; files from before 2020 call them gamma and beta.
    pub(crate) fn norm(&self, name: &str, size: usize, epsilon: f32, has_bias: bool) -> Result<Norm, Error> {
        let old = self.shape(&format!("{name}.weight")).is_none() && self.shape(&format!("{name}.gamma")).is_some();
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        let weight = self.values(&format!("{name}.{weight}"), &[size])?;
        let bias = if has_bias { self.values(&format!("{name}.{bias}"), &[size])? } else { Vec::new() };
        Ok(Norm { kind: NormKind::Layer, weight, bias, epsilon })
    }
}

/// Maps that stand one below the other, of equally many outputs.
pub(crate) fn split<const N: usize>(whole: &Linear) -> [Linear; N] {
    let (outputs, inputs) = (whole.weight.rows / N, whole.weight.columns);
    std::array::from_fn(|i| {
        let values = whole.weight.values[i * outputs * inputs..(i + 1) * outputs * inputs].to_vec();
        let bias = whole.bias.get(i * outputs..(i + 1) * outputs).unwrap_or_default().to_vec();
        Linear { weight: Matrix { rows: outputs, columns: inputs, values }, bias }
    })
}

/// Which file holds which tensor, from a `model.safetensors.index.json`.
fn read_index(path: &Path) -> Result<HashMap<String, String>, Error> {
    #[derive(Debug)]
    struct Index(HashMap<String, String>);
    impl<'de> Deserialize<'de> for Index {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Index, D::Error> {
            let value = serde_json::Value::deserialize(deserializer)?;
            let map = value.get("weight_map").ok_or_else(|| serde::de::Error::custom("weight_map is missing"))?;
            HashMap::deserialize(map).map(Index).map_err(|why| serde::de::Error::custom(format!("weight_map: {why}")))
        }
    }
    let text = std::fs::read(path).map_err(|why| Error::io(path, &why))?;
    let index: Index = serde_json::from_slice(&text).map_err(|why| Error::new(path, why))?;
    Ok(index.0)
}
