//! Answers, written as HTTP/1.1 into one buffer.

/// An answer to one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// The standard phrase when absent.
    pub(super) reason: Option<&'a str>,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) close: bool,
    /// The answer to a HEAD request: the headers of the body without the body.
    pub(super) head_only: bool,
}

impl Answer<'_> {
    /// Writes the head and the body to `out`, which goes to the socket in one write.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        self.write_head(out, self.body.len());
        if self.sends_body() {
            out.extend_from_slice(self.body);
        }
    }

    pub(super) fn sends_body(&self) -> bool {
        !self.head_only && has_body(self.status)
    }

    /// Writes the head of an answer whose body has this length.
    pub(super) fn write_head(&self, out: &mut Vec<u8>, length: usize) {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_number(out, usize::from(self.status));
        out.push(b' ');
        out.extend_from_slice(self.reason.unwrap_or_else(|| reason_of(self.status)).as_bytes());
        out.extend_from_slice(b"\r\n");
        let mut framed = !has_body(self.status);
        for (name, value) in self.headers {
            framed |= name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !framed {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if self.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn write_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn has_body(status: u16) -> bool {
    !(100..200).contains(&status) && status != 204 && status != 304
}

fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        420 => "Enhance Your Calm",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: Answer<'_>) -> String {
        let mut out = Vec::new();
        answer.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_has_its_length() {
        let answer = Answer { status: 200, headers: &[("A", "b")], body: b"hello", ..Answer::default() };
        assert_eq!(written(answer), "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello");
    }

    #[test]
    fn no_content_has_neither_body_nor_length() {
        let answer = Answer { status: 204, body: b"lost", close: true, ..Answer::default() };
        assert_eq!(written(answer), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn framing_and_reason_that_are_given_stay() {
        let answer = Answer {
            status: 599,
            reason: Some(""),
            headers: &[("content-length", "9")],
            body: b"short",
            ..Answer::default()
        };
        assert_eq!(written(answer), "HTTP/1.1 599 \r\ncontent-length: 9\r\n\r\nshort");
    }

    #[test]
    fn an_answer_to_head_keeps_the_length_of_the_body() {
        let answer = Answer { status: 200, body: &[b'x'; 1234], head_only: true, ..Answer::default() };
        assert_eq!(written(answer), "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    }
}
