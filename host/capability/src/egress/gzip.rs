//! gzip, unpacked piece by piece up to a limit.

use std::mem;

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, DecompressError, FlushDecompress, Status};
use wasmtime_wasi_http::Error;

/// Unpacked bytes that are handed on together: as many as our own plugin reads at once, since each read wakes the guest and
/// is a call of it.
const PIECE_BYTES: usize = 256 * 1024;
/// The largest window of deflate (RFC 1951, section 2): 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Gzip (RFC 1952), unpacked into the buffers that are handed on. Nothing else has a part of such a buffer, so that none is
/// copied before the guest's memory is written.
pub(super) struct Unpacking {
    packed: Bytes,
    /// None before the first member of the stream, and between two.
    member: Option<Decompress>,
    piece: Vec<u8>,
    total: u64,
    limit: u64,
}

impl Unpacking {
    /// Nothing yet of a body that may have `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            packed: Bytes::new(),
            member: None,
            piece: Vec::new(),
            total: 0,
            limit,
        }
    }

    /// Gives it more packed bytes, once all that it had are unpacked.
    pub(super) fn go_on_with(&mut self, packed: Bytes) {
        self.packed = packed;
    }

    /// Unpacks until a piece is full; says whether one is. Else more packed bytes are needed.
    pub(super) fn fill_piece(&mut self) -> Result<bool, Error> {
        while !self.is_full() {
            if !self.step()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The piece, as far as it is filled. None when it is not at all. Of one that is mostly empty the buffer stays here: those
    /// that wait are counted by what is in them.
    pub(super) fn take_piece(&mut self) -> Option<Bytes> {
        if self.piece.len() < PIECE_BYTES / 2 {
            let piece = self.has_some().then(|| Bytes::copy_from_slice(&self.piece));
            self.piece.clear();
            return piece;
        }
        Some(Bytes::from(mem::take(&mut self.piece)))
    }

    /// Whether anything is unpacked.
    pub(super) fn has_some(&self) -> bool {
        !self.piece.is_empty()
    }

    fn is_full(&self) -> bool {
        self.has_some() && self.piece.len() == self.piece.capacity()
    }

    /// Unpacks what the piece has room for; says whether that led anywhere.
    fn step(&mut self) -> Result<bool, Error> {
        if self.member.is_none() && self.packed.is_empty() {
            return Ok(false);
        }
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE_BYTES);
        }
        let member = self
            .member
            .get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
        let (read_before, unpacked_before) = (member.total_in(), member.total_out());
        // Without packed bytes too: a part of what was read may have had no room before.
        let status = member
            .decompress_vec(&self.packed, &mut self.piece, FlushDecompress::None)
            .map_err(|error| code(&error))?;
        let read = member.total_in() - read_before;
        let unpacked = member.total_out() - unpacked_before;
        if status == Status::StreamEnd {
            self.member = None;
        }
        self.packed.advance(usize::try_from(read).unwrap_or(usize::MAX));
        self.total += unpacked;
        if self.total > self.limit {
            return Err(Error::HttpResponseBodySize(Some(self.total)));
        }
        Ok(read > 0 || unpacked > 0)
    }

    /// Whether the packed bytes may end here. An answer to HEAD, and one without content, names the coding and has none.
    pub(super) fn check_end(&self) -> Result<(), Error> {
        if self.member.is_some() {
            return Err(Error::HttpResponseIncomplete);
        }
        Ok(())
    }
}

fn code(error: &DecompressError) -> Error {
    match error.message() {
        // What came is not what was sent: asking again may help.
        Some("incorrect data check" | "incorrect length check") => Error::HttpResponseIncomplete,
        _ => Error::HttpResponseContentCoding(Some("gzip".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: u64 = 4 << 20;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Some MiB that pack well in parts and badly in others.
    fn listing() -> Vec<u8> {
        let rows = (0_u32..20_000).map(|n| {
            let odd = n.wrapping_mul(2_654_435_769);
            format!(r#"{{"id":"00u{odd}","status":"ACTIVE","profile":{{"login":"user{n}@acme.test"}}}},"#)
        });
        rows.collect::<String>().into_bytes()
    }

    /// What comes of packed bytes that come in parts of `part_bytes`.
    fn unpacked(packed: &[u8], part_bytes: usize) -> Result<Vec<Bytes>, Error> {
        let mut unpacking = Unpacking::new(LIMIT);
        let mut pieces = Vec::new();
        for part in packed.chunks(part_bytes) {
            unpacking.go_on_with(Bytes::copy_from_slice(part));
            while unpacking.fill_piece()? {
                pieces.extend(unpacking.take_piece());
            }
            assert!(unpacking.packed.is_empty(), "all is unpacked before more comes");
        }
        unpacking.check_end()?;
        pieces.extend(unpacking.take_piece());
        Ok(pieces)
    }

    #[test]
    fn a_body_is_the_same_in_whatever_parts_it_comes() {
        let listing = listing();
        let once = packed(&listing);
        for part_bytes in [7, 1000, 16 << 10, once.len()] {
            assert_eq!(
                unpacked(&once, part_bytes).unwrap().concat(),
                listing,
                "{part_bytes}"
            );
        }
        let pieces = unpacked(&once, 1000).unwrap();
        let (last, full) = pieces.split_last().unwrap();
        assert!(full.len() > 3 && full.iter().all(|piece| piece.len() == PIECE_BYTES));
        assert!(last.len() <= PIECE_BYTES);
        let twice = [packed(b"[1,"), packed(b"2]")].concat();
        for part_bytes in 1..twice.len() {
            assert_eq!(unpacked(&twice, part_bytes).unwrap().concat(), b"[1,2]");
        }
    }

    #[test]
    fn a_piece_is_handed_on_without_a_copy() {
        for piece in unpacked(&packed(&listing()), 16 << 10).unwrap() {
            let place = piece.as_ptr();
            let for_the_guest = Vec::from(piece);
            assert_eq!(for_the_guest.as_ptr(), place);
        }
    }

    #[test]
    fn no_more_is_unpacked_than_may_be_and_one_piece() {
        let bomb = packed(&vec![b' '; 64 << 20]);
        let error = unpacked(&bomb, bomb.len()).unwrap_err();
        let Error::HttpResponseBodySize(Some(bytes)) = error else {
            panic!("{error:?}");
        };
        assert!(
            (LIMIT + 1..=LIMIT + PIECE_BYTES as u64).contains(&bytes),
            "{bytes}"
        );
    }

    #[test]
    fn what_was_cut_or_changed_on_the_way_is_told_from_what_is_no_gzip() {
        let good = packed(&listing());
        for length in 1..20 {
            let error = unpacked(&good[..good.len() - length], 1000).unwrap_err();
            assert!(
                matches!(error, Error::HttpResponseIncomplete),
                "{length}: {error:?}"
            );
        }
        // The checksum and the length are the last eight bytes (RFC 1952, section 2.3.1).
        for place in 1..=8 {
            let mut bad = good.clone();
            let end = bad.len();
            bad[end - place] ^= 1;
            let error = unpacked(&bad, 1000).unwrap_err();
            assert!(
                matches!(error, Error::HttpResponseIncomplete),
                "{place}: {error:?}"
            );
        }
        let followed = [&good[..], b"and more"].concat();
        let error = unpacked(&followed, 1000).unwrap_err();
        assert!(matches!(error, Error::HttpResponseContentCoding(_)), "{error:?}");
    }
}
