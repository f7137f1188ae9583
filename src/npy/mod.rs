//! NumPy files (`.npy`), read as what they are: files from elsewhere.
//!
//! A file is a header, `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }` with a length in front of it, and the values
//! one behind the other. NumPy reads the header as a literal of Python, which may nest without end; here it is this dictionary and
//! nothing else. The header says how many bytes follow, and is believed only if the file has as many.

use std::io::{self, Read, Write};

use crate::error::{Error, ErrorKind, Result};

/// Longest header that is read: NumPy writes 118 bytes for arrays of plain numbers.
const LONGEST_HEADER: usize = 64 << 10;
/// Most dimensions, as in NumPy.
const MOST_DIMENSIONS: usize = 64;
const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes that are converted at a time.
const CHUNK: usize = 64 << 10;

/// An array whose header is read and whose values are not yet.
#[derive(Debug)]
pub struct Npy<R> {
    file: R,
    header: Header,
    /// Whether the file is known to be as long as its header says.
    sized: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<R: Read> Npy<R> {
    /// Reads the header of a file of `length` bytes; `None` where that is not known (a pipe).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for what is no NumPy file of plain values, or is longer or shorter than its header says. The message says
    /// what is wrong and leaves it to the caller to say where.
    pub fn open(mut file: R, length: Option<u64>) -> Result<Self> {
        let text = header_text(&mut file)?;
        let before = text.0;
        let header =
            Header::parse(&text.1).ok_or_else(|| wrong("its header is not one of an array of plain values"))?;
        let values =
            header.bytes().ok_or_else(|| wrong(format!("{:?} of {} are too many", header.shape, header.descr)))?;
        if let Some(length) = length
            && before.checked_add(values) != Some(length)
        {
            let there = length.saturating_sub(before);
            let message = format!("{there} bytes of values where {:?} of {} take {values}", header.shape, header.descr);
            return Err(wrong(message));
        }
        Ok(Self { file, header, sized: length.is_some() })
    }

    /// Type of the values, as NumPy writes it: `<f4`.
    pub fn descr(&self) -> &str {
        &self.header.descr
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The values, the last dimension fastest (C order) whatever the file's order is.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for values of another type, too many for the memory there is, or a file that cannot be read to its end.
    pub fn values<T: Number>(self) -> Result<Vec<T>> {
        let Some(big_endian) = self.header.is_of::<T>() else {
            return Err(wrong(format!("values of type {} instead of {}", self.header.descr, T::CODE)));
        };
        let Header { fortran_order, shape, .. } = &self.header;
        let (fortran_order, shape) = (*fortran_order, shape.clone());
        let number = |bytes: &[u8]| T::of(bytes, big_endian);
        let values = self.convert(size_of::<T>(), number)?;
        Ok(if fortran_order { c_order(&values, &shape) } else { values })
    }

    /// The values as they lie in the file, not converted.
    ///
    /// # Errors
    /// As [`Npy::values`].
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        self.convert(1, |bytes| Some(bytes[0]))
    }

    /// What `one` makes of each `size` bytes of all the values, which end the file.
    fn convert<T>(mut self, size: usize, one: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>> {
        let mut left = self.header.bytes().unwrap_or(0);
        let mut values = Vec::new();
        if self.sized {
            let count = usize::try_from(left).unwrap_or(usize::MAX) / size;
            let full = |e| wrong(format!("there is no memory for its {count} values")).caused_by(e);
            values.try_reserve_exact(count).map_err(full)?;
        }
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let bytes = &mut chunk[..left.min(CHUNK as u64) as usize];
            self.file.read_exact(bytes).map_err(unreadable)?;
            left -= bytes.len() as u64;
            for bytes in bytes.chunks_exact(size) {
                values.push(one(bytes).ok_or_else(|| wrong("a value that is neither true nor false"))?);
            }
        }
        match self.file.read(&mut chunk[..1]).map_err(unreadable)? {
            0 => Ok(values),
            _ => Err(wrong("it goes on behind its values")),
        }
    }
}

/// Number of bytes in front of the values, and the header's text.
fn header_text(file: &mut impl Read) -> Result<(u64, String)> {
    let no_magic = || wrong("it does not begin as NumPy files do");
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|e| no_magic().caused_by(e))?;
    if !start.starts_with(MAGIC) {
        return Err(no_magic());
    }
    let digits = match start[6..] {
        [1, 0] => 2,
        [2 | 3, 0] => 4,
        _ => return Err(wrong(format!("version {}.{} of NumPy's format is not known", start[6], start[7]))),
    };
    let mut length = [0; 4];
    file.read_exact(&mut length[..digits]).map_err(unreadable)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_HEADER {
        return Err(wrong(format!("a header of {length} bytes, {LONGEST_HEADER} at most are read")));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(unreadable)?;
    let text = String::from_utf8(text).map_err(|e| wrong("its header is no text").caused_by(e))?;
    Ok(((start.len() + digits + length) as u64, text))
}

impl Header {
    /// Reads the dictionary; `None` for anything else. Its three keys may come in any order.
    fn parse(text: &str) -> Option<Self> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        let mut rest = Literal(text);
        rest.token("{")?;
        while rest.token("}").is_none() {
            let key = rest.quoted()?;
            rest.token(":")?;
            let again = match key {
                "descr" => descr.replace(rest.quoted()?.to_owned()).is_some(),
                "fortran_order" => order.replace(rest.truth()?).is_some(),
                "shape" => shape.replace(rest.tuple()?).is_some(),
                _ => true,
            };
            if again {
                return None;
            }
            if rest.token(",").is_none() {
                rest.token("}")?;
                break;
            }
        }
        let header = Self { descr: descr?, fortran_order: order?, shape: shape? };
        (rest.0.trim().is_empty() && header.size().is_some()).then_some(header)
    }

    /// Bytes of one value: `4` of `<f4`, four for each character of `<U7`.
    fn size(&self) -> Option<u64> {
        let code = self.descr.strip_prefix(['<', '>', '|'])?;
        let kind = code.chars().next().filter(char::is_ascii_alphabetic)?;
        let digits = &code[1..];
        let size = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())??;
        size.checked_mul(if kind == 'U' { 4 } else { 1 })
    }

    /// Bytes of all values.
    fn bytes(&self) -> Option<u64> {
        let extents = self.shape.iter().map(|&extent| u64::try_from(extent).ok());
        extents.chain([self.size()]).try_fold(1, |product: u64, factor| product.checked_mul(factor?))
    }

    /// Whether the values are big-endian `T`; `None` where they are of another type.
    fn is_of<T: Number>(&self) -> Option<bool> {
        let (order, code) = self.descr.split_at_checked(1)?;
        let fits = code == T::CODE && (order == "|") == (size_of::<T>() == 1);
        fits.then_some(order == ">")
    }
}

/// What is left of a literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn token(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(token)?;
        Some(())
    }

    /// A text in quotes of either kind, without escapes.
    fn quoted(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_ascii_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = rest[1..].split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn truth(&mut self) -> Option<bool> {
        let is_true = self.token("True").is_some();
        if is_true { Some(true) } else { self.token("False").map(|()| false) }
    }

    /// `()`, `(2,)`, `(2, 3)`.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.token("(")?;
        let mut numbers = Vec::new();
        while self.token(")").is_none() {
            let rest = self.0.trim_ascii_start();
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            numbers.push(rest[..end].parse().ok()?);
            self.0 = &rest[end..];
            if self.token(",").is_none() {
                self.token(")")?;
                // (2) is a number in Python, and no tuple.
                return (numbers.len() > 1 && numbers.len() <= MOST_DIMENSIONS).then_some(numbers);
            }
        }
        (numbers.len() <= MOST_DIMENSIONS).then_some(numbers)
    }
}

/// Values that lie with the first dimension fastest, as they lie with the last one fastest.
fn c_order<T: Number>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = vec![1; shape.len()];
    for at in 1..shape.len() {
        strides[at] = strides[at - 1] * shape[at - 1];
    }
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    while ordered.len() < values.len() {
        ordered.push(values[index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()]);
        for at in (0..shape.len()).rev() {
            index[at] += 1;
            if index[at] < shape[at] {
                break;
            }
            index[at] = 0;
        }
    }
    ordered
}

/// Writes an array in C order, as NumPy does (format 1.0).
///
/// # Errors
/// The writer's; [`io::ErrorKind::InvalidInput`] where `values` are not as many as `shape` has, or the shape is of thousands of dimensions.
pub fn write(out: &mut impl Write, shape: &[usize], values: &[f32]) -> io::Result<()> {
    if shape.iter().product::<usize>() != values.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let extents: String = shape.iter().map(|extent| format!("{extent},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}");
    // The values begin at a multiple of 64, behind a line end.
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// A type of values that is read.
pub trait Number: Copy {
    /// NumPy's name without the order of bytes: `f4`.
    const CODE: &'static str;

    /// The value of these bytes, as many as the type has; `None` where they are none.
    fn of(bytes: &[u8], big_endian: bool) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty: $code:literal,)*) => {$(
        impl Number for $type {
            const CODE: &'static str = $code;

            fn of(bytes: &[u8], big_endian: bool) -> Option<Self> {
                let bytes = bytes.try_into().ok()?;
                Some(if big_endian { Self::from_be_bytes(bytes) } else { Self::from_le_bytes(bytes) })
            }
        }
    )*};
}

numbers! { u8: "u1", i8: "i1", u16: "u2", i16: "i2", u32: "u4", i32: "i4", i64: "i8", f32: "f4", }

impl Number for bool {
    const CODE: &'static str = "b1";

    fn of(bytes: &[u8], _: bool) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Io, message)
}

fn unreadable(error: io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => format!("it cannot be read: {}", crate::error::reason(&error)),
    };
    wrong(message).caused_by(error)
}

#[cfg(test)]
mod tests;
