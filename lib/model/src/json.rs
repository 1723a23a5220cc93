//! JSON settings whose every wrong value is refused by file and field.

use crate::Error;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One JSON object from a file.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    path: PathBuf,
    value: Value,
}

impl Settings {
    /// Reads a file that must be there and hold an object.
    pub(crate) fn read(path: &Path) -> Result<Settings, Error> {
        let text = std::fs::read(path).map_err(|why| Error::io(path, &why))?;
        let value: Value = serde_json::from_slice(&text).map_err(|why| Error::new(path, why))?;
        match value {
            Value::Object(_) => Ok(Settings { path: path.to_path_buf(), value }),
            other => Err(Error::new(path, format!("expected an object, found {}", kind(&other)))),
        }
    }

    /// As [`Settings::read`]; no file: an object without fields.
    pub(crate) fn read_if_there(path: &Path) -> Result<Settings, Error> {
        match path.try_exists() {
            Ok(false) => Ok(Settings { path: path.to_path_buf(), value: Value::Object(Default::default()) }),
            _ => Settings::read(path),
        }
    }

    /// An error about this file.
    pub(crate) fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::new(&self.path, why)
    }

    /// The value of the first of `names` that is there and not null; a name may be dotted.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&Value> {
        let find = |name: &&str| name.split('.').try_fold(&self.value, |value, part| value.get(part));
        names.iter().filter_map(find).find(|v| !v.is_null())
    }

    fn wrong(&self, names: &[&str], expected: &str, found: &Value) -> Error {
        self.error(format!("{}: expected {expected}, found {}", names.join(" or "), kind(found)))
    }

    fn required(&self, names: &[&str]) -> Result<&Value, Error> {
        self.get(names).ok_or_else(|| self.error(format!("{} is missing", names.join(" or "))))
    }

    /// A positive whole number that must be there.
    pub(crate) fn count(&self, names: &[&str]) -> Result<usize, Error> {
        self.required(names)?;
        self.count_if_there(names).map(|n| n.unwrap_or_default())
    }

    /// A positive whole number.
    pub(crate) fn count_if_there(&self, names: &[&str]) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(names) else { return Ok(None) };
        match value.as_u64().filter(|&n| n > 0).and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(names, "a positive whole number", value)),
        }
    }

    /// A finite number above zero.
    pub(crate) fn number_or(&self, names: &[&str], default: f64) -> Result<f64, Error> {
        let Some(value) = self.get(names) else { return Ok(default) };
        match value.as_f64().filter(|&x| x.is_finite() && x > 0.0) {
            Some(x) => Ok(x),
            None => Err(self.wrong(names, "a positive number", value)),
        }
    }

    /// True or false.
    pub(crate) fn flag_or(&self, names: &[&str], default: bool) -> Result<bool, Error> {
        let Some(value) = self.get(names) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(names, "true or false", value))
    }

    /// As [`Settings::number_or`] for a setting that null turns off; one that is not there has the default.
    pub(crate) fn number_or_off(&self, name: &str, default: f64) -> Result<Option<f64>, Error> {
        match self.value.get(name) {
            Some(Value::Null) => Ok(None),
            _ => self.number_or(&[name], default).map(Some),
        }
    }

    /// The same for a positive whole number.
    pub(crate) fn count_or_off(&self, name: &str, default: usize) -> Result<Option<usize>, Error> {
        match self.value.get(name) {
            Some(Value::Null) => Ok(None),
            _ => Ok(Some(self.count_if_there(&[name])?.unwrap_or(default))),
        }
    }

    /// A string.
    pub(crate) fn text(&self, names: &[&str]) -> Result<Option<&str>, Error> {
        let Some(value) = self.get(names) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(names, "a string", value))
    }

    /// Refuses a setting that is there with another value than the one that is supported.
    pub(crate) fn refuse_unless(&self, names: &[&str], supported: &Value) -> Result<(), Error> {
        match self.get(names) {
            Some(value) if !same(value, supported) => {
                Err(self.error(format!("{}: {value} is not supported, only {supported}", names.join(" or "))))
            }
            _ => Ok(()),
        }
    }
}

/// Equal, and 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|x| b.as_f64() == Some(x))
}

fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        other => other.to_string(),
    }
}
