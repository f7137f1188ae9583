//! Bodies that come in chunks (RFC 9112, section 7.1), as they come.

/// Takes the chunks' lines out of a body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the line that says how long the chunk is; its digits so far, and whether more may come.
    Length(u64, bool),
    /// In a chunk; bytes that are left of it.
    Data(u64),
    /// In the line end behind a chunk.
    Behind,
}

impl Default for State {
    fn default() -> Self {
        Self::Length(0, true)
    }
}

impl Chunks {
    /// The bytes of the body in the next bytes of the connection.
    pub(super) fn body<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut body = Vec::new();
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Data(left) => {
                    let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let (data, behind) = bytes.split_at(count);
                    body.push(data);
                    bytes = behind;
                    let left = left - count as u64;
                    self.state = if left > 0 { State::Data(left) } else { State::Behind };
                    continue;
                }
                State::Behind if first == b'\n' => self.state = State::default(),
                State::Behind => {}
                // A chunk of no bytes is the last: what follows is the connection's end.
                State::Length(length, _) if first == b'\n' => {
                    self.state = if length > 0 { State::Data(length) } else { State::default() };
                }
                State::Length(length, true) => {
                    let digit = (first as char).to_digit(16);
                    let longer = digit.map(|digit| length.saturating_mul(16).saturating_add(digit.into()));
                    self.state = longer.map_or(State::Length(length, false), |length| State::Length(length, true));
                }
                State::Length(_, false) => {}
            }
            bytes = rest;
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_is_in_the_chunks_whatever_the_pieces() {
        let stream = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n";
        for size in [1, 2, 3, 7, 100] {
            let mut chunks = Chunks::default();
            let body: Vec<u8> = stream.chunks(size).flat_map(|piece| chunks.body(piece).concat()).collect();
            assert_eq!(body, b"hello 0123456789", "{size}");
        }
    }

    #[test]
    fn nonsense_is_passed_on_or_over() {
        let mut chunks = Chunks::default();
        assert!(chunks.body(b"ffffffffffffffffffffffffffffff\r\nabc").concat() == b"abc");
        assert!(chunks.body(&[0xff; 5000]).concat().len() == 5000);
    }
}
