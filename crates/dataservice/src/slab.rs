//! Items with a number of their own, which is used again when they are gone.

#[derive(Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: Vec::new(),
            vacant: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.vacant.len()
    }

    pub(crate) fn insert(&mut self, item: T) -> u32 {
        match self.vacant.pop() {
            Some(number) => {
                self.items[number as usize] = Some(item);
                number
            }
            None => {
                let number = u32::try_from(self.items.len());
                let number = number.expect("keys and subscribers are capped by the range of u32");
                self.items.push(Some(item));
                number
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let item = self.items.get_mut(number as usize)?.take()?;
        self.vacant.push(number);
        Some(item)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number as usize)?.as_ref()
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = (0_u32..).zip(&self.items);
        numbered.filter_map(|(number, item)| Some((number, item.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let numbered = (0_u32..).zip(&mut self.items);
        numbered.filter_map(|(number, item)| Some((number, item.as_mut()?)))
    }
}
