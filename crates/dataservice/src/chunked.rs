//! A list that only grows, and never moves what it holds once it is large.
//!
//! A plain vector of a million keys would be copied while commits wait, and hold up to twice the
//! memory that it needs. The first chunk grows as a vector does, so that small lists stay small.

#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

impl<T> Chunked<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(item),
            last => {
                let mut chunk = match last {
                    Some(_) => Vec::with_capacity(CHUNK),
                    None => Vec::new(),
                };
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index >> CHUNK_BITS)?.get(index % CHUNK)
    }

    #[inline(always)]
    pub(crate) fn at(&self, index: usize) -> &T {
        &self.chunks[index >> CHUNK_BITS][index % CHUNK]
    }

    #[inline(always)]
    pub(crate) fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index >> CHUNK_BITS][index % CHUNK]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = &T> {
        let chunks = self.chunks.get(first >> CHUNK_BITS..).unwrap_or_default();
        chunks.iter().flatten().skip(first % CHUNK)
    }
}
