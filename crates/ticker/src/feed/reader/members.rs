//! Recognises the names of members without comparing them letter by letter.

/// The names of members in their usual order, with the reader's value for each.
pub struct Members<F, const N: usize>(pub(super) [(Name, F); N]);

/// A member's name, including its quotes and colon.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) name: &'static str,
    /// `"name":`, with the first byte in the lowest position.
    bytes: u128,
    mask: u128,
}

impl<F: Copy, const N: usize> Members<F, N> {
    /// Creates the table; names with more than thirteen letters do not fit.
    pub const fn of(members: [(&'static str, F); N]) -> Self {
        let mut all = [(Name::of(""), members[0].1); N];
        let mut at = 0;
        while at < N {
            all[at] = (Name::of(members[at].0), members[at].1);
            at += 1;
        }
        Members(all)
    }
}

impl Name {
    const fn of(name: &'static str) -> Self {
        let (letters, length) = (name.as_bytes(), name.len());
        let mut bytes = [0; 16];
        let mut mask = [0; 16];
        let mut at = 0;
        while at < length + 3 {
            mask[at] = 255;
            bytes[at] = match at {
                at if at == 0 || at == length + 1 => b'"',
                at if at == length + 2 => b':',
                at => letters[at - 1],
            };
            at += 1;
        }
        Name {
            name,
            bytes: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
        }
    }

    #[inline(always)]
    pub(super) fn is_at(&self, text: &[u8]) -> bool {
        let bytes = match text.first_chunk() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; 16];
                bytes[..text.len()].copy_from_slice(text);
                bytes
            }
        };
        u128::from_le_bytes(bytes) & self.mask == self.bytes
    }
}
