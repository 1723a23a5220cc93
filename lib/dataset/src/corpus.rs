//! The documents of a run: token files by domain, in order, and which of them qualify.

use pipe::failure::Failure;
use pipe::identity::{Identity, changed};
use pipe::input::Bytes;
use pipe::lines::Tally;
use pipe::progress::Meter;
use pipe::settings::{Common, Shard};
use pipe::tokens::{Dtype, TokenReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Files that carry one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// The label.
    pub name: String,
    /// Read one after another.
    pub files: Vec<PathBuf>,
}

/// One document.
pub struct Document<'a> {
    /// Its tokens: at least one.
    pub tokens: &'a [u32],
    /// Its place in the whole input, from 0.
    pub number: u64,
    /// The place of its domain in the list.
    pub domain: usize,
}

/// What a reader of the documents is told.
pub enum Step<'a> {
    /// The next document.
    Document(Document<'a>),
    /// A domain has no more.
    End(usize),
}

/// All documents of a run.
pub struct Corpus<'a> {
    /// The run's flags.
    pub common: &'a Common,
    /// Domains in order.
    pub domains: Vec<Domain>,
    /// Shorter documents do not qualify.
    pub length_min: u64,
    /// Longer documents do not qualify.
    pub length_max: u64,
    /// Larger tokens end the run.
    pub token_max: u32,
    /// Which documents of each file are this shard's.
    ranges: Vec<Range<u64>>,
    /// How many documents each file holds, where there are shards.
    counts: Vec<u64>,
    /// Bytes of all files, where they are known.
    bytes_total: Option<u64>,
    /// What each file was when the run began, since it may be read more than once; `None`: it is no regular file.
    identities: Vec<Option<Identity>>,
}

/// How many documents there were.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Documents, and bytes of input.
    pub tally: Tally,
    /// Those without tokens.
    pub missing: u64,
    /// Those that do not qualify by their length.
    pub unqualified: u64,
    /// Tokens of those that do.
    pub tokens: u64,
}

impl<'a> Corpus<'a> {
    /// Makes sure that all files are there; counts their documents where only a shard of each is wanted.
    ///
    /// # Errors
    /// A file that is not there, or of which no shard can be taken.
    pub fn open(common: &'a Common, domains: Vec<Domain>) -> Result<Corpus<'a>, Failure> {
        let mut bytes_total = Some(0);
        for file in domains.iter().flat_map(|domain| &domain.files) {
            let size = Bytes::check_for(file, common.shard)?;
            bytes_total = bytes_total.zip(size).map(|(total, size)| total + size / common.shard.map_or(1, |s| s.count));
        }
        let mut corpus = Corpus {
            common,
            domains,
            length_min: 0,
            length_max: u64::MAX,
            token_max: u32::MAX,
            ranges: Vec::new(),
            counts: Vec::new(),
            bytes_total,
            identities: Vec::new(),
        };
        corpus.identities = corpus.files().map(|(_, file)| Identity::of(file)).collect();
        if let Some(shard) = common.shard {
            let files = corpus.files().map(|(_, file)| TokenReader::count(file));
            corpus.counts = files.collect::<Result<_, _>>()?;
            corpus.ranges = corpus.counts.iter().map(|&count| part(count, shard)).collect();
        }
        Ok(corpus)
    }

    fn files(&self) -> impl Iterator<Item = (usize, &Path)> {
        let files = |(place, domain)| std::iter::repeat(place).zip(Domain::paths(domain));
        self.domains.iter().enumerate().flat_map(files)
    }

    /// Refuses what cannot be read twice, for the sake of `flag`.
    ///
    /// # Errors
    /// A file that is none, or standard input.
    pub fn check_rereadable(&self, flag: &str) -> Result<(), Failure> {
        for (_, file) in self.files() {
            if file == Path::new("-") || Bytes::check(file)?.is_none() {
                let message = format!("--{flag} reads the tokens more than once: they must be regular files");
                return Err(Failure::usage(message));
            }
        }
        Ok(())
    }

    /// Whether every file that can be looked into before its turn begins with an array of 16-bit integers. Gives the
    /// documents of the first file back, since standard input cannot be opened twice.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no tokens.
    pub fn first(&self) -> Result<(TokenReader, bool), Failure> {
        let mut narrow = true;
        for (_, file) in self.files().skip(1) {
            if file != Path::new("-") && Bytes::check(file)?.is_some() {
                narrow &= TokenReader::open(file)?.first_dtype.is_none_or(|dtype| dtype == Dtype::U16);
            }
        }
        let first = self.documents(0)?;
        narrow &= first.first_dtype.is_none_or(|dtype| dtype == Dtype::U16);
        Ok((first, narrow))
    }

    fn documents(&self, file: usize) -> Result<TokenReader, Failure> {
        let path = self.files().nth(file).map_or(Path::new("-"), |(_, path)| path);
        TokenReader::open_range(path, self.ranges.get(file).cloned().unwrap_or(0..u64::MAX))
    }

    /// Every pass reads what the first one read: a file that has changed ends the run.
    fn check_unchanged(&self, place: usize, path: &Path) -> Result<(), Failure> {
        let known = self.identities[place];
        if known.is_none() || known == Identity::of(path) {
            return Ok(());
        }
        Err(changed(path))
    }

    /// Visits the shard's documents, or those of all shards. `first`: the documents of the first file, where they are
    /// open already.
    ///
    /// # Errors
    /// A file that cannot be read or has changed since the run began, what is no token or too large a one, and those of
    /// `visit`.
    pub fn each(
        &self,
        shard: bool,
        mut first: Option<TokenReader>,
        mut visit: impl FnMut(Step) -> Result<(), Failure>,
    ) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        let mut meter = Meter::new(self.common, self.bytes_total);
        let mut tokens = Vec::new();
        let mut before = 0;
        let files: Vec<_> = self.files().collect();
        for (place, &(domain, path)) in files.iter().enumerate() {
            let mut documents = match first.take() {
                Some(documents) => documents,
                None if shard => self.documents(place)?,
                None => TokenReader::open(path)?,
            };
            let mut told = 0;
            while documents.next(&mut tokens)? {
                let number = before + documents.number() - 1;
                seen.tally.rows += 1;
                if tokens.is_empty() {
                    seen.missing += 1;
                } else if !(self.length_min..=self.length_max).contains(&(tokens.len() as u64)) {
                    seen.unqualified += 1;
                } else {
                    self.check(&tokens, &documents)?;
                    seen.tokens += tokens.len() as u64;
                    visit(Step::Document(Document { tokens: &tokens, number, domain }))?;
                }
                if documents.bytes_read() != told {
                    told = documents.bytes_read();
                    meter.show(seen.tally.bytes + told, seen.tally.rows);
                }
            }
            self.check_unchanged(place, path)?;
            seen.tally.bytes += documents.bytes_read();
            before += self.counts.get(place).copied().unwrap_or(documents.number());
            if files.get(place + 1).is_none_or(|next| next.0 != domain) {
                visit(Step::End(domain))?;
            }
        }
        Ok(seen)
    }

    fn check(&self, tokens: &[u32], documents: &TokenReader) -> Result<(), Failure> {
        let max = self.token_max;
        // All bits together are at least the largest: a quick look that mostly is enough, where one is needed at all.
        if documents.dtype.id_max() <= max {
            return Ok(());
        }
        if tokens.iter().fold(0, |all, token| all | token) <= max || tokens.iter().all(|&token| token <= max) {
            return Ok(());
        }
        let (place, token) = tokens.iter().enumerate().find(|&(_, &token)| token > max).expect("one is larger");
        Err(documents.wrong(&format!("token {}: expected 0 to {max}, found {token}", place + 1)))
    }
}

impl Domain {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

/// The documents of a shard out of so many.
pub fn part(count: u64, shard: Shard) -> Range<u64> {
    let cut = |index: u64| (u128::from(count) * u128::from(index) / u128::from(shard.count)) as u64;
    cut(shard.index)..cut(shard.index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// An array of one document.
    fn tokens(ids: &[u16]) -> Vec<u8> {
        let numbers = [&[1, ids.len() as u16], ids].concat();
        let mut bytes = pipe::npy::Header::array("<u2", &[numbers.len() as u64]);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_file_that_changes_between_two_passes_ends_the_run() {
        let folder = std::env::temp_dir().join(format!("corpus-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("t"), folder.join("other"));
        let common = Common::default();
        let domains = || vec![Domain { name: String::new(), files: vec![path.clone()] }];
        let pass = |corpus: &Corpus| corpus.each(true, None, |_| Ok(()));
        let replace = |bytes: &[u8]| {
            fs::write(&other, bytes).unwrap();
            fs::rename(&other, &path).unwrap();
        };
        let changes: [&dyn Fn(); 3] = [&|| replace(&tokens(&[7, 8, 9])), &|| replace(&tokens(&[1, 2, 3])), &|| {
            fs::write(&path, [tokens(&[1, 2, 3]), tokens(&[4])].concat()).unwrap()
        }];
        for change in changes {
            fs::write(&path, tokens(&[1, 2, 3])).unwrap();
            let corpus = Corpus::open(&common, domains()).unwrap();
            assert_eq!(pass(&corpus).unwrap().tokens, 3);
            assert_eq!(pass(&corpus).unwrap().tokens, 3);
            change();
            let Err(Failure::Work(message)) = pass(&corpus) else { panic!("it was not seen") };
            assert!(message.contains("t: changed while it was read"), "{message}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
