//! A strict reader of one shape of Python pickle: a list of floats, as `pickle.dump([1.0, 2.0], file)` writes it in
//! protocols 2 to 5.
//!
//! A pickle is a program for a stack machine. Of its instructions (CPython, `Lib/pickletools.py`) this knows those that
//! such a list is made of, and refuses all others by name: nothing is imported, called or executed.

/// Takes bytes off the front.
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.all[self.at..];
        let taken = rest.get(..count).ok_or_else(|| format!("byte {}: the pickle is truncated", self.all.len()))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many as were asked for"))
    }
}

/// What is on the stack: the list alone, or floats above it, behind a mark or alone.
#[derive(PartialEq)]
enum Stack {
    Empty,
    List,
    Marked,
    One,
}

/// The floats of a pickled list.
///
/// # Errors
/// The bytes are something else; the message says where, and what was found.
pub fn floats(pickle: &[u8]) -> Result<Vec<f64>, String> {
    let mut bytes = Bytes { all: pickle, at: 0 };
    let (mut list, mut stack) = (Vec::new(), Stack::Empty);
    if bytes.array::<2>().map(|[begin, protocol]| begin != 0x80 || !(2..=5).contains(&protocol))? {
        return Err("expected a pickle of protocol 2 to 5: a list of floats".to_string());
    }
    loop {
        let at = bytes.at;
        let [instruction] = bytes.array()?;
        stack = match (instruction, stack) {
            // FRAME, its length; MEMOIZE; BINPUT
            (0x95, stack) => bytes.array::<8>().map(|_| stack)?,
            (0x94, Stack::List) => Stack::List,
            (b'q', Stack::List) => bytes.array::<1>().map(|_| Stack::List)?,
            // EMPTY_LIST; MARK
            (b']', Stack::Empty) => Stack::List,
            (b'(', Stack::List) => Stack::Marked,
            // BINFLOAT, behind a mark or alone; APPENDS, APPEND
            (b'G', Stack::Marked) => number(&mut bytes, &mut list).map(|()| Stack::Marked)?,
            (b'G', Stack::List) => number(&mut bytes, &mut list).map(|()| Stack::One)?,
            (b'e', Stack::Marked) | (b'a', Stack::One) => Stack::List,
            // STOP
            (b'.', Stack::List) if bytes.at == pickle.len() => return Ok(list),
            _ => {
                return Err(format!(
                    "byte {at}: expected a pickled list of floats, found instruction 0x{instruction:02x}"
                ));
            }
        };
    }
}

fn number(bytes: &mut Bytes, list: &mut Vec<f64>) -> Result<(), String> {
    list.push(f64::from_be_bytes(bytes.array()?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps([1.5, -2.0], protocol)`.
    fn two(protocol: u8) -> Vec<u8> {
        let (frame, memo): (&[u8], &[u8]) =
            if protocol < 4 { (b"", b"q\0") } else { (b"\x95\x17\0\0\0\0\0\0\0", b"\x94") };
        let (one, two) = (1.5_f64.to_be_bytes(), (-2.0_f64).to_be_bytes());
        [&[0x80, protocol], frame, b"]", memo, b"(G", &one, b"G", &two, b"e."].concat()
    }

    #[test]
    fn lists_of_floats_are_read() {
        for protocol in 2..=5 {
            assert_eq!(floats(&two(protocol)), Ok(vec![1.5, -2.0]), "protocol {protocol}");
        }
        assert_eq!(floats(b"\x80\x02]q\0."), Ok(vec![]));
        assert_eq!(floats(&[&b"\x80\x02]q\0G"[..], &3.0_f64.to_be_bytes(), b"a."].concat()), Ok(vec![3.0]));
    }

    #[test]
    fn all_else_is_refused() {
        let whole = two(4);
        (0..whole.len()).for_each(|length| assert!(floats(&whole[..length]).is_err(), "{length} bytes"));
        assert!(floats(&[&whole[..], b"x"].concat()).is_err());
        let os_system = b"\x80\x02cos\nsystem\nq\0X\x02\0\0\0lsq\x01\x85q\x02Rq\x03.";
        assert_eq!(floats(os_system), Err("byte 2: expected a pickled list of floats, found instruction 0x63".into()));
        let integers = b"\x80\x02]q\0(K\x01K\x02e.";
        assert_eq!(floats(integers), Err("byte 6: expected a pickled list of floats, found instruction 0x4b".into()));
        assert!(floats(b"[1.5]").is_err());
    }
}
