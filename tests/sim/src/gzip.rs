//! gzip: of a page, and of a body that is small on the way and huge when it is unpacked.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// A MiB.
const MIB: usize = 1 << 20;

/// A body, compressed fast rather than well.
pub(crate) fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    // Writing to memory does not fail.
    Bytes::from(written.unwrap_or_default())
}

/// The parts of a gzip stream of `mib` MiB of spaces in a JSON array: head, one part to repeat, tail.
pub(crate) struct Bomb {
    pub(crate) head: Bytes,
    /// A MiB of spaces, compressed so that it can be repeated.
    pub(crate) part: Bytes,
    pub(crate) tail: Bytes,
}

/// See [`Bomb`]. RFC 1952 for the frame, RFC 1951 section 3.2.3 for the blocks.
pub(crate) fn bomb(mib: u32) -> Bomb {
    let spaces = vec![b' '; MIB];
    let mut head = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut deflate = Compress::new(Compression::best(), false);
    // A full flush forgets what came before, so that the part can stand anywhere.
    let mut step = |input: &[u8], flush| {
        let mut out = Vec::with_capacity(64 * 1024);
        let _ = deflate.compress_vec(input, &mut out, flush);
        out
    };
    head.extend(step(b"[", FlushCompress::Full));
    let part = step(&spaces, FlushCompress::Full);
    let mut tail = step(b"]", FlushCompress::Finish);

    let mut sum = Crc::new();
    sum.update(b"[");
    let mut block = Crc::new();
    block.update(&spaces);
    (0..mib).for_each(|_| sum.combine(&block));
    let mut last = Crc::new();
    last.update(b"]");
    sum.combine(&last);
    tail.extend(sum.sum().to_le_bytes());
    tail.extend(sum.amount().to_le_bytes());
    Bomb {
        head: head.into(),
        part: part.into(),
        tail: tail.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_bomb_is_good_gzip_of_the_size_asked_for() {
        let bomb = bomb(3);
        let mut whole = bomb.head.to_vec();
        (0..3).for_each(|_| whole.extend(&bomb.part));
        whole.extend(&bomb.tail);
        let mut plain = Vec::new();
        GzDecoder::new(whole.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain.len(), 3 * MIB + 2);
        assert!(bomb.part.len() < 4_096);
    }
}
