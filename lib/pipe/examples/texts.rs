//! Reads documents, takes their texts out of the JSON, and prints how many bytes these are: the least that any tool on
//! documents does. `scripts/bench` times it beside the tools.

use pipe::failure::Failure;
use pipe::input::Input;
use pipe::lines::{Lines, Worker};
use pipe::record::Reader;
use pipe::settings::Common;
use std::ops::ControlFlow;

struct Texts {
    reader: Reader,
    bytes: usize,
}

impl Worker for Texts {
    type Out = ();

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.bytes += self.reader.text(line)?.len();
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) {}
}

fn main() -> Result<(), Failure> {
    let operands = std::env::args_os().skip(1).map(Into::into).collect();
    let common = Common { tool: "texts", operands, ..Common::default() };
    let reader = Reader::new(&common)?;
    let lines = Lines::new(&common, Input::open(&common)?);
    let (_, workers) = lines.run(|| Texts { reader: reader.clone(), bytes: 0 }, |()| Ok(ControlFlow::Continue(())))?;
    println!("{}", workers.iter().map(|worker| worker.bytes).sum::<usize>());
    Ok(())
}
