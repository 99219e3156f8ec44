//! A stream of YAML, document by document, of which only one is in memory.
//!
//! The stream is cut before it is parsed: a line that begins with `---` or `...` ends a document wherever it is, also inside
//! of quotes and blocks of text (YAML 1.2.2, 9.1.2 and the production `c-forbidden`). So a document that is wrong does not
//! take those after it with it, and each has budgets of its own.

use std::io::BufRead;

use super::Problem;

/// The largest document, in bytes. The large ones of the Device-Type Library have some ten thousand.
pub const LARGEST: usize = 64 * 1024;

/// The text of a document, and where it begins.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// The number of its first line in the stream, from 1.
    pub line: u64,
    /// Its text, with the line `---` that opens it if it has one.
    pub text: String,
}

/// Reads the documents of a stream that say something. After an error of reading there is nothing more.
pub struct Documents<R> {
    from: R,
    largest: usize,
    /// The number of lines that were read.
    lines: u64,
    /// A line that opens the next document.
    opening: Option<Vec<u8>>,
    ended: bool,
}

impl<R: BufRead> Documents<R> {
    /// The documents of this stream, each of at most `largest` bytes.
    pub fn new(from: R, largest: usize) -> Self {
        Documents {
            from,
            largest,
            lines: 0,
            opening: None,
            ended: false,
        }
    }

    /// The next line with its end, of which no more than `largest` bytes are kept, and one more if there are more.
    fn next_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let found = self.from.fill_buf()?;
            if found.is_empty() {
                break;
            }
            let end = found.iter().position(|&byte| byte == b'\n');
            let count = end.map_or(found.len(), |at| at + 1);
            let room = (self.largest + 1).saturating_sub(line.len());
            line.extend_from_slice(&found[..count.min(room)]);
            self.from.consume(count);
            if end.is_some() {
                break;
            }
        }
        self.lines += u64::from(!line.is_empty());
        Ok((!line.is_empty()).then_some(line))
    }

    fn next_document(&mut self) -> std::io::Result<Option<Result<Document, Problem>>> {
        let mut begins = self.lines.max(1);
        let mut bytes = self.opening.take().unwrap_or_default();
        let mut begun = !bytes.is_empty();
        let mut too_large = false;
        loop {
            let Some(mut line) = self.next_line()? else {
                self.ended = true;
                break;
            };
            // Files with byte order marks that were joined have them in the middle.
            if !begun {
                begins = self.lines;
                if let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
                    line = rest.to_vec();
                }
            }
            if is_marker(&line, b"...") {
                break;
            }
            if is_marker(strip_mark(&line), b"---") && begun {
                self.opening = Some(strip_mark(&line).to_vec());
                break;
            }
            begun = true;
            too_large |= bytes.len() + line.len() > self.largest;
            if !too_large {
                bytes.extend(line);
            }
        }
        if !begun && self.ended {
            return Ok(None);
        }
        let wrong = |what: String| {
            Err(Problem {
                line: Some(begins),
                what,
            })
        };
        Ok(Some(if too_large {
            let kib = self.largest / 1024;
            wrong(format!("the document is larger than {kib} KiB"))
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => Ok(Document { line: begins, text }),
                Err(error) if looks_like_utf_16(error.as_bytes()) => {
                    self.ended = true;
                    wrong("the text is UTF-16; save it as UTF-8".into())
                }
                Err(_) => wrong("the text is not UTF-8".into()),
            }
        }))
    }
}

impl<R: BufRead> Iterator for Documents<R> {
    type Item = Result<Document, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_document() {
                Ok(Some(Ok(document))) if says_nothing(&document.text) => {}
                Ok(found) => return found,
                Err(error) => {
                    self.ended = true;
                    let line = Some(self.lines + 1);
                    let what = format!("cannot be read: {error}");
                    return Some(Err(Problem { line, what }));
                }
            }
        }
        None
    }
}

fn strip_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    let rest = line.strip_prefix(marker);
    rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// PowerShell's redirection writes it.
fn looks_like_utf_16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

/// Whether it has only comments, directives and markers. Directives before a `---` are no document, and the library has none.
fn says_nothing(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        line.is_empty() || line.starts_with(['#', '%'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(stream: &[u8], largest: usize) -> Vec<Result<(u64, String), String>> {
        Documents::new(stream, largest)
            .map(|found| match found {
                Ok(document) => Ok((document.line, document.text)),
                Err(problem) => Err(problem.to_string()),
            })
            .collect()
    }

    fn good(line: u64, text: &str) -> Result<(u64, String), String> {
        Ok((line, text.into()))
    }

    #[test]
    fn a_stream_is_cut_at_its_markers_and_lines_are_counted_through() {
        let stream =
            b"# mine\n---\na: 1\n---  # second\nb: 2\n...\n%YAML 1.2\n---\nc: ---\n\n--- {d: 4}";
        assert_eq!(
            documents(stream, 100),
            [
                good(2, "---\na: 1\n"),
                good(4, "---  # second\nb: 2\n"),
                good(8, "---\nc: ---\n\n"),
                good(11, "--- {d: 4}"),
            ]
        );
    }

    #[test]
    fn what_says_nothing_is_no_document() {
        for stream in ["", "\n", "---\n", "# a\n---\n...\n---\n", "\u{feff}"] {
            assert_eq!(documents(stream.as_bytes(), 100), [], "{stream:?}");
        }
    }

    #[test]
    fn byte_order_marks_and_ends_of_lines_of_other_systems_are_no_part_of_it() {
        let stream = "\u{feff}a: 1\r\n---\r\nb: 2\r\n\u{feff}---\r\nc: 3\r\n";
        assert_eq!(
            documents(stream.as_bytes(), 100),
            [
                good(1, "a: 1\r\n"),
                good(2, "---\r\nb: 2\r\n"),
                good(4, "---\r\nc: 3\r\n"),
            ]
        );
    }

    #[test]
    fn a_document_that_is_too_large_is_not_kept_and_the_next_one_is_read() {
        let long = format!("a: {}\n---\nb: 2\n", "x".repeat(1_000_000));
        let lines = format!("{}---\nb: 2\n", "a: 1\n".repeat(300));
        assert_eq!(
            documents(long.as_bytes(), 1024),
            [
                Err("line 1: the document is larger than 1 KiB".into()),
                good(2, "---\nb: 2\n"),
            ]
        );
        assert_eq!(
            documents(lines.as_bytes(), 1024)[1],
            good(301, "---\nb: 2\n")
        );
    }

    #[test]
    fn what_is_no_text_is_named() {
        let stream = b"a: \xff\n---\nb: 2\n";
        assert_eq!(
            documents(stream, 100),
            [
                Err("line 1: the text is not UTF-8".into()),
                good(2, "---\nb: 2\n"),
            ]
        );
        let utf_16 = documents(b"\xff\xfea\0:\0 \x001\0\n\0", 100);
        assert_eq!(utf_16.len(), 1);
        assert!(utf_16[0].as_ref().unwrap_err().contains("UTF-16"));
    }
}
