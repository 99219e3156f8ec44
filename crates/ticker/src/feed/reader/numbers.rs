//! Reads numbers, most of which are short and read in one step.

use super::Reader;
use crate::feed::number::{Digits, Number};
use crate::record::Maybe;

impl Reader<'_> {
    /// Reads a number, or a string that contains one.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        match self.peek() {
            b'n' => {
                self.word(b"null");
                None
            }
            b'"' => self.number_in_string(),
            _ => self.plain_number(),
        }
    }

    /// Reads a number, or a string that contains one, as a price or size.
    #[inline(always)]
    pub fn real(&mut self) -> Maybe<f64> {
        self.number().map(Number::real).into()
    }

    /// Reads a whole number.
    #[inline(always)]
    pub fn whole(&mut self) -> Maybe<i64> {
        if self.null() {
            return Maybe::NONE;
        }
        match self.plain_number() {
            Some(Number::Whole(number)) => Some(number).into(),
            _ => {
                self.expected("a whole number was expected");
                Maybe::NONE
            }
        }
    }

    #[inline(always)]
    fn number_in_string(&mut self) -> Option<Number> {
        let inside = &self.rest[1..];
        let digits = Digits::of(inside);
        if inside.get(digits.length()) == Some(&b'"')
            && let Some(number) = digits.number()
        {
            self.pass(digits.length() + 2);
            return Some(number);
        }
        self.any_number_in_string()
    }

    #[cold]
    fn any_number_in_string(&mut self) -> Option<Number> {
        let number = Number::parse(&self.string().meaning());
        if number.is_none() {
            self.expected("a number was expected");
        }
        number
    }

    #[inline(always)]
    pub(super) fn plain_number(&mut self) -> Option<Number> {
        let rest = self.rest;
        let digits = Digits::of(rest);
        if matches!(rest.get(digits.length()), Some(b',' | b'}' | b']'))
            && digits.are_json(rest)
            && let Some(number) = digits.number()
        {
            self.pass(digits.length());
            return Some(number);
        }
        self.any_plain_number()
    }

    #[cold]
    fn any_plain_number(&mut self) -> Option<Number> {
        self.peek();
        let from = self.rest;
        self.next_is(b'-');
        let zero = self.rest.first() == Some(&b'0');
        let digits = self.digits();
        let mut right = digits == 1 || (digits > 1 && !zero);
        let mut whole = true;
        if self.next_is(b'.') {
            whole = false;
            right &= self.digits() > 0;
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            whole = false;
            let _ = self.next_is(b'+') || self.next_is(b'-');
            right &= self.digits() > 0;
        }
        let text = &from[..from.len() - self.rest.len()];
        let text = std::str::from_utf8(text).unwrap_or_default();
        let number = match (right, whole) {
            (false, _) => None,
            (true, true) => Number::parse(text),
            (true, false) => Number::real_of(text),
        };
        if number.is_none() {
            self.expected("a number was expected");
        }
        number
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.rest.first() == Some(&byte);
        self.pass(usize::from(is));
        is
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest.iter();
        let digits = rest.take_while(|byte| byte.is_ascii_digit()).count();
        self.pass(digits);
        digits
    }
}
